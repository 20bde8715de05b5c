internal import LinkspanBridgeKit
internal import NIOCore
internal import Synchronization

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
    private let taken = TakenBatches()
    private var handedOver = 0
    /// Whether the host must first take something.
    private(set) var isClosed = false

    private var underWay: Int { self.handedOver - self.taken.count.load(ordering: .acquiring) }

    /// Whether the host has taken everything.
    var isIdle: Bool { self.underWay == 0 }

    init(link: BridgeLink, eventLoop: any EventLoop) {
        self.link = link
        self.eventLoop = eventLoop
    }

    /// - Parameter whenTaken: called on the event loop, after the gate has opened again.
    func deliver(_ batch: [IngressMessage], whenTaken: @escaping () -> Void) {
        self.deliver(batch, isAlwaysTold: true, whenTaken)
    }

    /// The same for who need not know of each batch: an open gate wakes nobody.
    ///
    /// - Parameter whenOpened: called on the event loop when this batch was taken while the gate was closed.
    func deliverUntracked(_ batch: [IngressMessage], whenOpened: @escaping () -> Void) {
        self.deliver(batch, isAlwaysTold: false, whenOpened)
    }

    private func deliver(_ batch: [IngressMessage], isAlwaysTold: Bool, _ body: @escaping () -> Void) {
        self.handedOver += 1
        // Before this batch can be taken: should all earlier ones be taken unheard, this one still opens the gate.
        if self.underWay >= Self.batchLimit { self.taken.isAwaited.store(true, ordering: .releasing) }
        let told = NIOLoopBound(
            {
                self.judge()
                body()
            }, eventLoop: self.eventLoop)
        self.link.deliver(batch) { [taken, eventLoop] in
            guard taken.add() || isAlwaysTold else { return }
            if eventLoop.inEventLoop { told.value() } else { eventLoop.execute { told.value() } }
        }
        self.judge()
    }

    private func judge() {
        let isFull = self.underWay >= Self.batchLimit
        self.taken.isAwaited.store(isFull, ordering: .releasing)
        guard isFull != self.isClosed else { return }
        self.isClosed = isFull
        if isFull { self.connection?.pauseReading() } else { self.connection?.resumeReading() }
    }
}

@available(*, unavailable)
extension IngressGate: Sendable {}

/// Counts batches as the host takes them, on any thread.
private final class TakenBatches: Sendable {
    let count = Atomic<Int>(0)
    let isAwaited = Atomic<Bool>(false)

    /// - Returns: whether the gate waits for it.
    func add() -> Bool {
        self.count.add(1, ordering: .acquiringAndReleasing)
        return self.isAwaited.load(ordering: .acquiring)
    }
}
