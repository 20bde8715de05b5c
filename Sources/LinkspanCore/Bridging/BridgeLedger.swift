/// Why an envelope that a bridge had accepted will never be confirmed.
public enum DropReason: String, Sendable, Hashable, CaseIterable {
    /// The buffer was full.
    case bufferFull = "buffer_full"
    /// The buffer was full, and a later message of the same channel took its place.
    case superseded
    /// Larger than the whole buffer, or than the upstream takes.
    case tooLarge = "too_large"
    /// The link broke while it was in flight, and the rule promises no second attempt.
    case linkLost = "link_lost"
    /// The channel cannot be expressed as an upstream name, or the upstream refused the name.
    case badName = "bad_name"
    case forbidden
    /// The upstream said no for another reason, and would again.
    case rejected
    /// The upstream accepted it and had nowhere to put it.
    case unroutable
    /// The instance stopped before the upstream took it.
    case stopped
    /// The disk buffer had no way to write it, and no room to let it wait.
    case unstored
    /// Its record in the disk buffer was damaged.
    case damaged
}

/// Why a message from an upstream was not handed to its channel.
public enum IngressRefusal: String, Sendable, Hashable, CaseIterable {
    /// No channel of the rule has that name, or the rule takes nothing in.
    case notMatched = "not_matched"
    /// The name is not one that the template makes.
    case badName = "bad_name"
    /// A channel that is reserved for Linkspan itself.
    case reserved
    /// JSON nested deeper than the server takes.
    case invalid
    case tooLarge = "too_large"
    /// A raw message without payload: MQTT's way to clear a retained message.
    case empty
    case tooManyHops = "too_many_hops"
}

/// A count for each reason of a closed list.
public struct ReasonCounts<Reason: Hashable & CaseIterable & Sendable>: Sendable, Hashable {
    private var counts: [Reason: UInt64]

    public init() {
        self.counts = Dictionary(uniqueKeysWithValues: Reason.allCases.map { ($0, 0) })
    }

    public subscript(reason: Reason) -> UInt64 {
        get { self.counts[reason, default: 0] }
        set { self.counts[reason] = newValue }
    }

    public var total: UInt64 { self.counts.values.reduce(0, +) }
}

/// What became of everything that the channel owners offered to one bridge.
public struct EgressLedger: Sendable, Hashable {
    public var accepted: UInt64 = 0
    public var confirmed: UInt64 = 0
    /// Passed over on purpose: it had already been through as many instances as the rule allows.
    public var filtered: UInt64 = 0
    /// Older than the rule's buffer keeps.
    public var expired: UInt64 = 0
    public var dropped = ReasonCounts<DropReason>()
    public var buffered: UInt64 = 0
    public var inFlight: UInt64 = 0
    /// Of `accepted`: found in the disk buffer when the instance started.
    public var recovered: UInt64 = 0

    public init() {}

    /// What is not settled yet.
    public var pending: UInt64 { self.buffered + self.inFlight }

    /// `accepted = confirmed + filtered + expired + dropped + buffered + in flight`.
    public var isBalanced: Bool {
        self.accepted == self.confirmed + self.filtered + self.expired + self.dropped.total + self.buffered
            + self.inFlight
    }
}

/// What became of everything that one bridge received.
public struct IngressLedger: Sendable, Hashable {
    public var received: UInt64 = 0
    public var delivered: UInt64 = 0
    /// Came after a later one of the same origin and channel; delivered, or held until what is missing before it came.
    public var late: UInt64 = 0
    /// Of `late`: came because it was asked for.
    public var repaired: UInt64 = 0
    public var duplicate: UInt64 = 0
    public var looped: UInt64 = 0
    public var refused = ReasonCounts<IngressRefusal>()
    /// With the channel owners: not judged yet, or waiting for missing ones before it.
    public var held: UInt64 = 0

    public init() {}

    /// `received = delivered + duplicate + looped + refused + held`.
    public var isBalanced: Bool {
        self.received == self.delivered + self.duplicate + self.looped + self.refused.total + self.held
    }

    /// Books the owners' verdict on `count` messages that were held; those that the tally has as held stay so.
    public mutating func settle(_ tally: IngressTally, of count: Int) {
        self.held -= UInt64(count - tally.held)
        self.delivered += UInt64(tally.delivered)
        self.late += UInt64(tally.late)
        self.repaired += UInt64(tally.repaired)
        self.duplicate += UInt64(tally.duplicate)
        self.looped += UInt64(tally.looped)
        self.refused[.tooManyHops] += UInt64(tally.tooManyHops)
    }
}
