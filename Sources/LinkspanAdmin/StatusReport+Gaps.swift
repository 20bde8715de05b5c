internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer

extension StatusReport {
    /// What the upstream did not bring, in messages: `named = open + closed + final`.
    public struct Gaps: Codable, Hashable, Sendable {
        public var named, open, closed, final: UInt64
        /// The latest gaps, the oldest first.
        public var list: [Gap]
        public var skippedMarks: UInt64

        enum CodingKeys: String, CodingKey {
            case named, open, closed, final, list
            case skippedMarks = "skipped_marks"
        }
    }

    public struct Gap: Codable, Hashable, Sendable {
        public var channel, origin: String
        public var epoch: UInt64
        /// The first and the last number that was missing when the gap was named.
        public var from, to: UInt64
        /// Messages of it that did not come.
        public var missing: UInt64
        /// A `GapState`.
        public var state: String
        /// Milliseconds since 1970.
        public var namedAt: UInt64

        enum CodingKeys: String, CodingKey {
            case channel, origin, epoch, from, to, missing, state
            case namedAt = "named_at"
        }
    }

    /// What the bridge remembers for others, and what became of requests.
    public struct Repair: Codable, Hashable, Sendable {
        public var rememberedMessages, rememberedBytes: Int
        public var answered, unknown, denied, unasked: UInt64

        enum CodingKeys: String, CodingKey {
            case answered, unknown, denied, unasked
            case rememberedMessages = "remembered_messages"
            case rememberedBytes = "remembered_bytes"
        }
    }
}

extension StatusReport.Gaps {
    init(_ status: GapStatus) {
        self.init(
            named: status.counts.named, open: status.counts.open, closed: status.counts.closed,
            final: status.counts.final, list: status.records.map(StatusReport.Gap.init),
            skippedMarks: status.skippedMarks)
    }
}

extension StatusReport.Gap {
    init(_ record: GapRecord) {
        let gap = record.gap
        self.init(
            channel: gap.channel.string, origin: gap.instance.string, epoch: gap.epoch, from: gap.range.lowerBound,
            to: gap.range.upperBound, missing: record.missing, state: record.state.rawValue, namedAt: gap.namedAt)
    }
}

extension StatusReport.Repair {
    init(_ status: RepairStatus) {
        self.init(
            rememberedMessages: status.rememberedMessages, rememberedBytes: status.rememberedBytes,
            answered: status.answered, unknown: status.unknown, denied: status.denied, unasked: status.unasked)
    }
}
