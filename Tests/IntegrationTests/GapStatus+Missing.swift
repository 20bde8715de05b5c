internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer

extension GapStatus {
    /// The numbers of all channels that did not come, as far as they are listed by name.
    var missing: Set<Int> { Self.missing(self.records.map { ($0.gap.range, $0.missing) }) }

    /// The same of one channel.
    func missing(in channel: String) -> Set<Int> {
        let name = ChannelName(channel)
        return Self.missing(self.records.filter { $0.gap.channel == name }.map { ($0.gap.range, $0.missing) })
    }

    private static func missing(_ gaps: [(range: ClosedRange<UInt64>, missing: UInt64)]) -> Set<Int> {
        // Only gaps that were filled in part would need more than this, and nothing comes late in these tests.
        Set(gaps.filter { $0.missing > 0 }.flatMap { Int($0.range.lowerBound)...Int($0.range.upperBound) })
    }
}
