public import LinkspanCore

/// What one bridge's upstream did not bring, and what was done about it.
public struct GapStatus: Sendable {
    public var counts = GapCounts()
    /// The latest gaps by name, the oldest first.
    public var records: [GapRecord] = []
    /// Marks that were left out, because too many channels went quiet at a time.
    public var skippedMarks: UInt64 = 0
    /// Nil when the rule has no `repair`.
    public var repair: RepairStatus?

    public init(
        counts: GapCounts = GapCounts(), records: [GapRecord] = [], skippedMarks: UInt64 = 0,
        repair: RepairStatus? = nil
    ) {
        self.counts = counts
        self.records = records
        self.skippedMarks = skippedMarks
        self.repair = repair
    }
}

/// What one bridge remembers for others and asked of them.
public struct RepairStatus: Sendable, Hashable {
    public var rememberedMessages: Int
    /// Payloads, and 128 bytes for each message.
    public var rememberedBytes: Int
    /// Messages that were sent again.
    public var answered: UInt64
    /// Ranges that were asked for of which nothing is remembered.
    public var unknown: UInt64
    /// Ranges that were answered in part, because the requester or the answer had its share.
    public var denied: UInt64
    /// Gaps that were not asked for, because there were too many.
    public var unasked: UInt64

    public init(
        rememberedMessages: Int, rememberedBytes: Int, answered: UInt64, unknown: UInt64, denied: UInt64,
        unasked: UInt64
    ) {
        self.rememberedMessages = rememberedMessages
        self.rememberedBytes = rememberedBytes
        self.answered = answered
        self.unknown = unknown
        self.denied = denied
        self.unasked = unasked
    }
}
