/// What one sequence number means to a receiver.
public enum SequenceVerdict: Hashable, Sendable {
    /// Higher than all before. `gap` names the numbers between the last highest one and this one, none of which has come so far.
    case fresh(gap: ClosedRange<UInt64>?)
    /// Lower than the highest, and not heard before: deliver and count.
    case late
    /// Heard before, or part of a gap that was given up for want of room: drop and count.
    case duplicate
}

/// Which sequence numbers of one origin, epoch and channel were heard.
///
/// Kept as the highest number and the ranges below it that are missing, so an origin that loses nothing costs no memory beyond this value,
/// and a number is judged exactly however far it lags. A forged jump to a huge number opens one range; the real numbers still pass, as late.
/// - Complexity: constant for a number in order or with nothing missing; otherwise O(log ranges), and O(ranges) when a range splits.
public struct SequenceWindow: Sendable, Equatable {
    /// The highest number heard; 0 before the first.
    public private(set) var highest: UInt64 = 0

    /// Numbers below `highest` that have not come, ascending and disjoint, at most `rangeLimit`.
    ///
    /// Numbers before the first one heard are not listed: nobody promised that we were listening.
    public private(set) var missing: [ClosedRange<UInt64>] = []

    /// Every number up to here came before we listened; one that still arrives is late, not a duplicate.
    private var unheard: UInt64 = 0

    /// Whether number 1 was due: we listened before it was given out.
    private let isHeardFromStart: Bool

    /// Set while nobody promises that we listened since `highest`; cleared by the next number above it.
    public private(set) var isRebased = false

    /// - Parameter isHeardFromStart: whether numbers before the first one heard are missing too.
    public init(isHeardFromStart: Bool = false) {
        self.isHeardFromStart = isHeardFromStart
    }

    /// - Parameters:
    ///   - sequence: counts from 1; 0 is nobody's number and judged a duplicate.
    ///   - rangeLimit: most ranges kept; past it the lowest one is given up, and what still comes from it is a duplicate.
    public mutating func judge(_ sequence: UInt64, rangeLimit: Int = Self.defaultRangeLimit) -> SequenceVerdict {
        guard sequence > self.highest else { return self.judgeBehind(sequence, rangeLimit: rangeLimit) }
        let expected = self.highest + 1
        let isFirst = self.highest == 0 && !self.isHeardFromStart
        let isRebased = self.isRebased
        self.highest = sequence
        self.isRebased = false
        if sequence == expected { return .fresh(gap: nil) }
        if isFirst {
            self.unheard = sequence - 1
            return .fresh(gap: nil)
        }
        let gap = expected...(sequence - 1)
        self.missing.append(gap)
        self.giveUp(beyond: rangeLimit)
        return .fresh(gap: isRebased ? nil : gap)
    }

    public static let defaultRangeLimit = 256

    /// Whether a number would be judged a duplicate.
    public func contains(_ sequence: UInt64) -> Bool {
        guard sequence <= self.highest else { return false }
        return sequence == 0 || sequence > self.unheard && self.indexOfRange(containing: sequence) == nil
    }

    /// The origin says that it gave out all numbers up to `sequence`; the answer names those that are missing at the end.
    ///
    /// Nothing happens where nobody promised that we listened: before the first number, and after ``rebase()``.
    public mutating func mark(_ sequence: UInt64, rangeLimit: Int = Self.defaultRangeLimit) -> ClosedRange<UInt64>? {
        guard sequence > self.highest, self.highest > 0 || self.isHeardFromStart, !self.isRebased else { return nil }
        let gap = (self.highest + 1)...sequence
        self.highest = sequence
        self.missing.append(gap)
        self.giveUp(beyond: rangeLimit)
        return gap
    }

    /// Says that we may not have listened since the highest number: what lies between it and the next one is not a gap, and late when it arrives.
    public mutating func rebase() {
        self.isRebased = true
    }

    /// The lowest missing number in `range`.
    /// - Complexity: O(log ranges).
    public func firstMissing(in range: ClosedRange<UInt64>) -> UInt64? {
        let index = self.index(from: range.lowerBound)
        guard index < self.missing.count, self.missing[index].lowerBound <= range.upperBound else { return nil }
        return max(self.missing[index].lowerBound, range.lowerBound)
    }

    /// Gives up what is missing in `range`: what still comes from it is a duplicate.
    public mutating func forget(_ range: ClosedRange<UInt64>) {
        var kept: [ClosedRange<UInt64>] = []
        for missing in self.missing {
            guard missing.overlaps(range) else {
                kept.append(missing)
                continue
            }
            if missing.lowerBound < range.lowerBound { kept.append(missing.lowerBound...(range.lowerBound - 1)) }
            if missing.upperBound > range.upperBound { kept.append((range.upperBound + 1)...missing.upperBound) }
        }
        self.missing = kept
    }

    private mutating func judgeBehind(_ sequence: UInt64, rangeLimit: Int) -> SequenceVerdict {
        if sequence <= self.unheard {
            guard sequence > 0 else { return .duplicate }
            if sequence < self.unheard { self.missing.insert((sequence + 1)...self.unheard, at: 0) }
            self.unheard = sequence - 1
            self.giveUp(beyond: rangeLimit)
            return .late
        }
        guard let index = self.indexOfRange(containing: sequence) else { return .duplicate }
        let range = self.missing.remove(at: index)
        if sequence < range.upperBound { self.missing.insert((sequence + 1)...range.upperBound, at: index) }
        if sequence > range.lowerBound { self.missing.insert(range.lowerBound...(sequence - 1), at: index) }
        self.giveUp(beyond: rangeLimit)
        return .late
    }

    private func indexOfRange(containing sequence: UInt64) -> Int? {
        let index = self.index(from: sequence)
        return index < self.missing.count && self.missing[index].contains(sequence) ? index : nil
    }

    /// Of the first range that does not end before `sequence`.
    private func index(from sequence: UInt64) -> Int {
        var low = 0
        var high = self.missing.count
        while low < high {
            let middle = (low + high) / 2
            if self.missing[middle].upperBound < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func giveUp(beyond rangeLimit: Int) {
        guard self.missing.count > rangeLimit else { return }
        self.unheard = 0
        self.missing.removeFirst(self.missing.count - rangeLimit)
    }
}
