public import LinkspanBridgeKit
public import NIOCore

/// What one bridge wants its upstream to send, and what the upstream was told so far.
///
/// The difference between the two is the work: a name that is subscribed and left again before the bridge looked costs nothing upstream.
public struct InterestTable: Sendable {
    /// Most names at a time; channels past it are not subscribed upstream and are counted in ``refusedCount``.
    public let limit: Int

    /// Subscriptions that found the table full or had no upstream name.
    public private(set) var refusedCount: UInt64 = 0

    /// Filters that the upstream refused in this conversation.
    public private(set) var rejected: Set<UpstreamFilter> = []

    private let linger: TimeAmount
    /// Of `always` rules.
    private let fixed: [UpstreamFilter]
    private var names: [UpstreamName: Entry] = [:]
    private var wantedCount = 0
    private var leaving = CircularBuffer<Departure>()
    private var changed: [UpstreamName] = []
    private var fixedIsTold = false
    /// Names of this round of ``renew(every:at:)`` that are still to come.
    private var renewals: [UpstreamName] = []
    private var renewedAt: NIODeadline?
    private var roundBegan = NIODeadline.uptimeNanoseconds(0)

    /// A table that follows the channels.
    ///
    /// - Parameter linger: how long a name stays subscribed after its channel lost its last subscriber.
    public init(linger: Duration, limit: Int = Self.defaultLimit) {
        self.linger = TimeAmount(linger)
        self.limit = limit
        self.fixed = []
    }

    /// A table that wants the same from the start to the end; channels make no difference.
    ///
    /// - Parameter apart: filters that are kept although others cover them.
    public init(always filters: [UpstreamFilter], apart: [UpstreamFilter] = []) {
        self.linger = .zero
        self.limit = 0
        self.fixed = Self.covering(filters) + apart
    }

    public static let defaultLimit = 1_000_000

    /// Filters wanted, lingering ones included.
    public var count: Int { self.fixed.count + self.wantedCount }

    /// Whether the upstream is asked for `name`, alone or as one of many.
    public func covers(_ name: String) -> Bool {
        self.names[UpstreamName(name)]?.isWanted == true || self.fixed.contains { $0.covers(.exact(name)) }
    }

    public var hasChanges: Bool { !self.changed.isEmpty || (!self.fixedIsTold && !self.fixed.isEmpty) }

    // MARK: What the channels want

    /// The first local subscriber of the channel with this upstream name came. Ignored by a table of fixed filters.
    public mutating func subscribed(_ name: String) {
        guard self.fixed.isEmpty else { return }
        let name = UpstreamName(name)
        guard self.names.count < self.limit || self.names[name] != nil else { return self.refuse() }
        self.update(name) { entry in
            entry.isWanted = true
            entry.leavesAt = nil
        }
    }

    /// A channel cannot be subscribed upstream: it has no name there, or the table is full.
    public mutating func refuse() {
        self.refusedCount += 1
    }

    /// The last local subscriber left; the name stays wanted for the linger time.
    public mutating func unsubscribed(_ name: String, at now: NIODeadline) {
        let name = UpstreamName(name)
        guard var entry = self.names[name], entry.isWanted else { return }
        entry.leavesAt = now + self.linger
        if !entry.isQueued {
            entry.isQueued = true
            self.leaving.append(Departure(name: name, due: now + self.linger))
        }
        self.names[name] = entry
    }

    /// Gives up names whose linger time is over. A name that came and went again meanwhile may stay for up to twice that time.
    public mutating func expire(at now: NIODeadline) {
        while let departure = self.leaving.first, departure.due <= now {
            self.leaving.removeFirst()
            guard let leavesAt = self.names[departure.name]?.leavesAt else {
                self.names[departure.name]?.isQueued = false
                continue
            }
            if leavesAt > now {
                self.leaving.append(Departure(name: departure.name, due: leavesAt))
            } else {
                self.update(departure.name) { entry in
                    entry.isQueued = false
                    entry.isWanted = false
                }
            }
        }
    }

    // MARK: What the upstream is told

    /// What to tell the upstream since the last time, in the order in which it came up.
    public mutating func takeChanges() -> [InterestChange] {
        guard self.hasChanges else { return [] }
        var changes: [InterestChange] = []
        if !self.fixedIsTold {
            self.fixedIsTold = true
            changes = self.fixed.map { .subscribe($0) }
        }
        for name in self.changed {
            if let change = self.settleChange(of: name) { changes.append(change) }
        }
        self.changed.removeAll(keepingCapacity: true)
        return changes
    }

    /// Asks the upstream again for what it was told, in turns: everything once in `period`, but no more than ``renewalsPerSecond`` names.
    ///
    /// To be called again and again while the upstream is there; the first round begins a period after the first call.
    public mutating func renew(every period: Duration, at now: NIODeadline) {
        guard let last = self.renewedAt else {
            self.roundBegan = now
            self.renewedAt = now
            return
        }
        self.renewedAt = now
        if self.renewals.isEmpty {
            guard self.roundBegan + TimeAmount(period) <= now else { return }
            self.roundBegan = now
            self.fixedIsTold = false
            self.renewals = Array(self.names.keys)
        }
        let quota = (now - last).nanoseconds / (1_000_000_000 / Int64(Self.renewalsPerSecond))
        for _ in 0..<min(max(quota, 1), Int64(Self.renewalsPerSecond)) {
            guard let name = self.renewals.popLast() else { return }
            self.renew(name)
        }
    }

    public static let renewalsPerSecond = 200

    private mutating func renew(_ name: UpstreamName) {
        guard var entry = self.names[name], entry.isWanted, entry.isTold else { return }
        entry.isRenewed = true
        if !entry.isChanged {
            entry.isChanged = true
            self.changed.append(name)
        }
        self.names[name] = entry
    }

    /// The conversation ended: the next ``takeChanges()`` returns the whole interest.
    public mutating func linkLost() {
        self.fixedIsTold = false
        self.rejected.removeAll()
        self.renewals.removeAll()
        self.renewedAt = nil
        self.names = self.names.filter { $0.value.isWanted }
        self.changed = Array(self.names.keys)
        for name in self.changed {
            self.names[name]?.isTold = false
            self.names[name]?.isRenewed = false
            self.names[name]?.isChanged = true
        }
    }

    /// The upstream's answer to a subscription. Answers about filters that are not wanted (any more) are ignored.
    public mutating func settled(_ filter: UpstreamFilter, accepted: Bool) {
        guard !accepted else {
            self.rejected.remove(filter)
            return
        }
        if self.wants(filter) { self.rejected.insert(filter) }
    }

    private func wants(_ filter: UpstreamFilter) -> Bool {
        if case .exact(let name) = filter, self.names[UpstreamName(name)]?.isWanted == true { return true }
        return self.fixed.contains(filter)
    }

    private mutating func update(_ name: UpstreamName, _ body: (inout Entry) -> Void) {
        var entry = self.names[name] ?? Entry()
        self.wantedCount -= entry.isWanted ? 1 : 0
        body(&entry)
        self.wantedCount += entry.isWanted ? 1 : 0
        if entry.isWanted != entry.isTold, !entry.isChanged {
            entry.isChanged = true
            self.changed.append(name)
        }
        self.names[name] = entry
    }

    private mutating func settleChange(of name: UpstreamName) -> InterestChange? {
        guard var entry = self.names[name] else { return nil }
        let (wasTold, isRenewed) = (entry.isTold, entry.isRenewed)
        entry.isChanged = false
        entry.isRenewed = false
        entry.isTold = entry.isWanted
        self.names[name] = entry.isWanted ? entry : nil
        guard entry.isWanted != wasTold || entry.isWanted && isRenewed else { return nil }
        if entry.isWanted { return .subscribe(.exact(name.string)) }
        self.rejected.remove(.exact(name.string))
        return .unsubscribe(.exact(name.string))
    }

    /// The smallest set that matches the same: no filter is covered by another prefix of the set.
    static func covering(_ filters: [UpstreamFilter]) -> [UpstreamFilter] {
        var kept: [UpstreamFilter] = []
        for filter in filters where !kept.contains(where: { $0.covers(filter) }) {
            kept.removeAll { filter.covers($0) }
            kept.append(filter)
        }
        return kept
    }

    private struct Entry: Sendable {
        var isWanted = false
        var isTold = false
        /// Told, and to be told again.
        var isRenewed = false
        /// In `changed`.
        var isChanged = false
        /// In `leaving`, at most once.
        var isQueued = false
        var leavesAt: NIODeadline?
    }

    private struct Departure: Sendable {
        var name: UpstreamName
        var due: NIODeadline
    }
}

extension UpstreamFilter {
    /// Whether everything that `other` matches matches this too.
    public func covers(_ other: UpstreamFilter) -> Bool {
        switch (self, other) {
        case (.exact(let mine), .exact(let others)): mine.utf8.elementsEqual(others.utf8)
        case (.exact, .prefix): false
        case (.prefix(let mine), .exact(let others)), (.prefix(let mine), .prefix(let others)):
            others.utf8.starts(with: mine.utf8)
        }
    }
}

extension InterestTable {
    /// The filters that bring every channel of a rule: exact names for globs without wildcards, prefixes for the others.
    public static func filters(for selector: ChannelSelector, through template: NameTemplate) -> [UpstreamFilter] {
        selector.include.compactMap { glob in
            guard glob.isLiteral else { return .prefix(template.encodePrefix(glob.literalPrefix)) }
            return template.encode(ChannelName(glob.literalPrefix)).map { .exact($0) }
        }
    }
}
