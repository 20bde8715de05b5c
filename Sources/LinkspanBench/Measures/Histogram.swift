/// Counts of durations in buckets of at most 1.6 % width: recording is one addition, and any percentile is at hand.
struct Histogram: Sendable {
    private static let linearBits: UInt64 = 6
    private static let buckets = Int((64 - Histogram.linearBits) << Histogram.linearBits)

    private var counts = [UInt64](repeating: 0, count: Histogram.buckets)
    private(set) var count: UInt64 = 0

    mutating func record(_ nanoseconds: UInt64) {
        self.counts[Self.bucket(nanoseconds)] += 1
        self.count += 1
    }

    mutating func add(_ other: Histogram) {
        for index in self.counts.indices { self.counts[index] += other.counts[index] }
        self.count += other.count
    }

    /// The middle of the bucket below which a share of all values lies, in nanoseconds; nil when there are none.
    ///
    /// - Parameter share: 0.5 for the median, 0.99 for p99.
    func percentile(_ share: Double) -> Double? {
        guard self.count > 0 else { return nil }
        let wanted = max(1, UInt64((share * Double(self.count)).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in self.counts.enumerated() {
            seen += count
            if seen >= wanted { return Self.middle(index) }
        }
        return Self.middle(Self.buckets - 1)
    }

    /// Values below 2^6 have a bucket each; above, each power of two has 2^6.
    private static func bucket(_ value: UInt64) -> Int {
        guard value >> Self.linearBits > 0 else { return Int(value) }
        let shift = UInt64(63 - value.leadingZeroBitCount) - Self.linearBits
        let index = (shift + 1) << Self.linearBits + (value >> shift - 1 << Self.linearBits)
        return min(Int(index), Self.buckets - 1)
    }

    private static func middle(_ index: Int) -> Double {
        let power = UInt64(index) >> Self.linearBits
        guard power > 0 else { return Double(index) }
        let shift = power - 1
        let low = (1 << Self.linearBits + UInt64(index) & (1 << Self.linearBits - 1)) << shift
        return Double(low) + Double(1 << shift - 1) / 2
    }
}
