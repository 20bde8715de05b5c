internal import LinkspanBridgeKit

/// Where a gap stands.
public enum GapState: String, Sendable, Hashable, CaseIterable {
    /// Some of it may still come.
    case open
    /// All of it came after all.
    case closed
    /// Given up: what is missing now was lost. Should it come nevertheless, it is delivered and the gap corrected.
    case final
}

/// How many messages gaps were named for, and what became of them.
public struct GapCounts: Sendable, Hashable {
    public var named: UInt64 = 0
    public var open: UInt64 = 0
    public var closed: UInt64 = 0
    public var final: UInt64 = 0

    public init() {}

    /// `named = open + closed + final`.
    public var isBalanced: Bool { self.named == self.open &+ self.closed &+ self.final }
}

/// One gap as status shows it.
public struct GapRecord: Sendable, Hashable {
    public var gap: Gap
    /// Messages of it that did not come.
    public var missing: UInt64
    public var state = GapState.open

    public init(_ gap: Gap) {
        self.gap = gap
        self.missing = gap.count
    }
}

/// The account of one bridge of what its upstream did not bring: every gap counted, the latest ones by name.
///
/// Numbers wrap instead of trapping: a forged message can name a gap of any length.
public struct GapLedger: Sendable {
    /// Most gaps by name. Past it closed ones go first, the oldest of them, then final ones, then open ones; the counts go on.
    public let limit: Int

    public private(set) var counts = GapCounts()

    /// In the order in which they were named.
    public private(set) var records: [GapRecord] = []

    public init(limit: Int = Self.defaultLimit) {
        self.limit = max(limit, 1)
    }

    public static let defaultLimit = 256

    public mutating func apply(_ event: GapEvent) {
        switch event {
        case .named(let gap): self.named(gap)
        case .filled(let id, let range, let wasFinal): self.filled(id, range, wasFinal: wasFinal)
        case .final(let id, let count): self.final(id, count)
        }
    }

    private mutating func named(_ gap: Gap) {
        self.counts.named &+= gap.count
        self.counts.open &+= gap.count
        self.records.append(GapRecord(gap))
        guard self.records.count > self.limit else { return }
        let index =
            self.records.firstIndex { $0.state == .closed } ?? self.records.firstIndex { $0.state == .final } ?? 0
        self.records.remove(at: index)
    }

    private mutating func filled(_ id: UInt64, _ range: ClosedRange<UInt64>, wasFinal: Bool) {
        let count = range.upperBound &- range.lowerBound &+ 1
        if wasFinal { self.counts.final &-= count } else { self.counts.open &-= count }
        self.counts.closed &+= count
        guard let index = self.index(of: id) else { return }
        self.records[index].missing &-= count
        if self.records[index].missing == 0 { self.records[index].state = .closed }
    }

    private mutating func final(_ id: UInt64, _ count: UInt64) {
        self.counts.open &-= count
        self.counts.final &+= count
        if let index = self.index(of: id) { self.records[index].state = .final }
    }

    private func index(of id: UInt64) -> Int? {
        self.records.lastIndex { $0.gap.id == id }
    }
}
