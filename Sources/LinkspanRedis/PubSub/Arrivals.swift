internal import LinkspanBridgeKit
internal import NIOCore

/// What arrives by one connection for subscriptions, handed over in one batch for each read.
final class Arrivals {
    private struct Arrived {
        var name: String
        var start: Int
        var length: Int
    }

    private var names = NameCache()
    /// What arrived and was not yet handed over; its bytes are the reader's.
    private var arrived: [Arrived] = []
    private let gate: IngressGate

    init(link: BridgeLink, eventLoop: any EventLoop) {
        self.gate = IngressGate(link: link, eventLoop: eventLoop)
    }

    func attach(_ connection: (any RedisConnection)?) {
        self.gate.connection = connection
    }

    func name(_ token: ReplyToken, in reader: ReplyReader) -> String {
        reader.withBytes { bytes in
            self.names.name(UnsafeRawBufferPointer(rebasing: bytes[token.start..<token.start + token.length]))
        }
    }

    func append(_ name: String, _ payload: ReplyToken, in reader: ReplyReader) {
        self.arrived.append(Arrived(name: name, start: payload.start, length: payload.length))
        reader.keepReply()
    }

    func readCompleted(_ reader: ReplyReader) {
        // When the other side has closed, all that is left arrives at once although reading was paused.
        if !self.gate.isClosed { self.deliver(reader) }
    }

    func deliver(_ reader: ReplyReader) {
        guard !self.arrived.isEmpty else { return }
        let bytes = reader.takeBytes()
        var batch: [IngressMessage] = []
        batch.reserveCapacity(self.arrived.count)
        for one in self.arrived {
            batch.append(IngressMessage(name: one.name, payload: bytes.getSlice(at: one.start, length: one.length)!))
        }
        self.arrived.removeAll(keepingCapacity: true)
        self.gate.deliverUntracked(batch) { [weak self, weak reader] in
            guard let self, let reader, !self.arrived.isEmpty else { return }
            self.deliver(reader)
        }
    }
}

@available(*, unavailable)
extension Arrivals: Sendable {}
