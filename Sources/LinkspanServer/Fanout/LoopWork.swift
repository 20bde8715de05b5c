internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore
internal import Synchronization

/// What one loop asks of the owners on another loop: all that gathered in one turn, in order.
struct OwnerBatch: Sendable {
    struct Request: Sendable {
        enum Kind: Sendable {
            /// A client of the asking loop published.
            case publish
            /// The same, with somebody who waits for what becomes of it: index into ``OwnerBatch/receipts``.
            case publishForReceipt(Int32)
            /// The asking loop has its first subscriber of the channel who reads its form.
            case join(ShardChannel)
            /// The asking loop has no subscriber of the channel any more who reads this form.
            case leave(FrameForm)
        }

        var kind: Kind
        var hash: NameTable.Hash
        /// In ``OwnerBatch/bytes``; the data follows right behind.
        var nameStart: Int
        var nameCount: Int
        /// 0 for a publish without data.
        var dataCount: Int
    }

    /// Index of the asking loop.
    var source: Int
    var requests: ContiguousArray<Request> = []
    var receipts: [EgressReceipt] = []
    var bytes: FrameBlock
}

/// A channel of a shard in messages between loops. The generation tells two lives of one number apart.
struct ShardChannel: Sendable, Hashable {
    var number: Int32
    var generation: UInt32
    /// What its subscribers read; each form has channels of its own.
    var form = FrameForm.plain
}

/// Frames for the subscribers of one loop, from one owner and turn.
struct DeliveryBatch: Sendable {
    struct Delivery: Sendable {
        var channel: ShardChannel
        var start: Int
        var count: Int
        var frameCount: Int
    }

    var deliveries: ContiguousArray<Delivery> = []
    var bytes: FrameBlock
}

/// Messages that no client of ours sent: from the library or a bridge.
struct Injection: Sendable {
    enum Source: Sendable {
        /// ``Broker/publish(_:_:)``: to local subscribers, without an event.
        case library
        /// A publish that enters here: it gets a sequence number, raises the event and leaves by bridges.
        case exchange
        /// The same, for a program that waits for what becomes of it at its bridges.
        case exchangeForReceipt(EgressReceipt)
        case bridge(BridgeIndex, hopLimit: Int, progress: IngressProgress)
        /// As `bridge`, for messages that were asked for: only what is missing counts.
        case repair(BridgeIndex, hopLimit: Int, progress: IngressProgress)

        var progress: IngressProgress? {
            switch self {
            case .library, .exchange, .exchangeForReceipt: nil
            case .bridge(_, _, let progress), .repair(_, _, let progress): progress
            }
        }
    }

    var source: Source
    var messages: [(envelope: Envelope, hash: NameTable.Hash)]
}

/// Gathers what the owners made of one ingress batch, and reports when the last of them is done.
final class IngressProgress: Sendable {
    private struct State {
        var tally = IngressTally()
        var pending: Int
    }

    private let state: Mutex<State>
    private let taken: @Sendable (IngressTally) -> Void

    init(owners: Int, taken: @escaping @Sendable (IngressTally) -> Void) {
        self.state = Mutex(State(pending: owners))
        self.taken = taken
    }

    func ownerFinished(_ tally: IngressTally) {
        let total = self.state.withLock { state -> IngressTally? in
            state.tally += tally
            state.pending -= 1
            return state.pending == 0 ? state.tally : nil
        }
        if let total { self.taken(total) }
    }
}

enum LoopWork: Sendable {
    case owner(OwnerBatch)
    case deliveries(DeliveryBatch)
    case injection(Injection)
    case control(@Sendable (ServerLoop) -> Void)

    /// The loop ended before it came to this; whoever waits for it is told.
    func abandoned() {
        if case .injection(let injection) = self { injection.source.progress?.ownerFinished(IngressTally()) }
    }
}
