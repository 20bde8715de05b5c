/// Numbers as ascending ranges that do not touch.
public struct SequenceRanges: Sendable, Hashable {
    public private(set) var ranges: [ClosedRange<UInt64>]

    public init(_ range: ClosedRange<UInt64>) {
        self.ranges = [range]
    }

    public var isEmpty: Bool { self.ranges.isEmpty }

    /// - Complexity: O(ranges).
    public mutating func remove(_ range: ClosedRange<UInt64>) {
        // What is asked for mostly comes in order.
        if let first = self.ranges.first, first.lowerBound == range.lowerBound, range.upperBound < first.upperBound {
            return self.ranges[0] = (range.upperBound + 1)...first.upperBound
        }
        self.ranges = self.ranges.flatMap { own -> [ClosedRange<UInt64>] in
            guard own.overlaps(range) else { return [own] }
            var rest: [ClosedRange<UInt64>] = []
            if own.lowerBound < range.lowerBound { rest.append(own.lowerBound...(range.lowerBound - 1)) }
            if own.upperBound > range.upperBound { rest.append((range.upperBound + 1)...own.upperBound) }
            return rest
        }
    }

    /// Whether `others` have everything that is here.
    public func isCovered(by others: [ClosedRange<UInt64>]) -> Bool {
        self.ranges.allSatisfy { own in
            others.contains { $0.lowerBound <= own.lowerBound && own.upperBound <= $0.upperBound }
        }
    }
}
