internal import LinkspanBridgeKit
internal import NIOCore

/// Hands batches to the host, a few at a time, and stops reading from the upstream while the host has not taken them.
///
/// How long that may last is the upstream's decision: Redis keeps what we do not read up to its `client-output-buffer-limit`, then
/// closes the connection, and so does TCP when it is dead. Either is seen as a lost upstream when reading goes on.
final class IngressGate {
    /// Most batches that the host has not taken.
    static let batchLimit = 4

    /// Set once it exists.
    weak var connection: (any RedisConnection)?

    private let link: BridgeLink
    private let eventLoop: any EventLoop
    private var batchesUnderWay = 0
    /// Whether the host must first take something.
    private(set) var isClosed = false

    /// Whether the host has taken everything.
    var isIdle: Bool { self.batchesUnderWay == 0 }

    init(link: BridgeLink, eventLoop: any EventLoop) {
        self.link = link
        self.eventLoop = eventLoop
    }

    /// - Parameter whenTaken: called on the event loop, after the gate has opened again.
    func deliver(_ batch: [IngressMessage], whenTaken: @escaping () -> Void) {
        self.batchesUnderWay += 1
        let taken = NIOLoopBound(
            {
                self.taken()
                whenTaken()
            }, eventLoop: self.eventLoop)
        self.link.deliver(batch) { [eventLoop] in
            if eventLoop.inEventLoop { taken.value() } else { eventLoop.execute { taken.value() } }
        }
        if self.batchesUnderWay >= Self.batchLimit, !self.isClosed {
            self.isClosed = true
            self.connection?.pauseReading()
        }
    }

    private func taken() {
        self.batchesUnderWay -= 1
        if self.isClosed, self.batchesUnderWay < Self.batchLimit {
            self.isClosed = false
            self.connection?.resumeReading()
        }
    }
}

@available(*, unavailable)
extension IngressGate: Sendable {}
