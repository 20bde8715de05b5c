public import LinkspanBridgeKit
public import NIOCore

/// Who listens where, as one bridge heard it, so that the subscriptions of an instance that died can be withdrawn.
///
/// Probes are the signs of life: an instance's subscriptions hold for ``lease`` after the last one. Then one of the others says `unsubscribe` for it: the first by name
/// of those that are alive, and should it die too the next one a lease later; of several bridges of one instance that hear the same the first, and the others spread
/// over the lease behind it. A new run of an instance takes over what its earlier run held, and what it has
/// not subscribed to again within a lease is withdrawn.
///
/// A pure value. Bounded by ``instanceLimit`` instances and ``entryLimit`` subscriptions; past that nobody here withdraws what was not noted.
public struct OccupancyTable: Sendable {
    public static let instanceLimit = ProbeTable.peerLimit
    public static let entryLimit = 1_000_000
    /// Most events that one ``tick(at:)`` returns.
    public static let batchLimit = 1000

    public let own: InstanceLife
    public let lease: Duration
    public let turn: Turn

    /// Which of the bridges of one instance that hear the same mirrored events this one is.
    public struct Turn: Sendable, Hashable {
        public var place: Int
        public var count: Int

        public init(place: Int = 0, of count: Int = 1) {
            self.place = place
            self.count = max(count, 1)
        }
    }

    /// Subscriptions of instances that were gone, withdrawn by us.
    public private(set) var withdrawnCount: UInt64 = 0
    /// Own subscriptions that were told again.
    public private(set) var repeatedCount: UInt64 = 0
    /// Subscriptions that found no room.
    public private(set) var ignoredCount: UInt64 = 0
    /// Subscriptions of others.
    public private(set) var entryCount = 0

    private var mine: Set<ChannelName> = []
    /// What an earlier run of this instance told and nobody took back.
    private var leftBehind: Set<ChannelName> = []
    /// What changed of ``mine`` and ``leftBehind`` since ``takeJournal()``: whether it is in either now. Nil where nobody keeps it.
    private var unwritten: [ChannelName: Bool]?
    private var holders: [InstanceID: Holder] = [:]
    /// Since when we hear the others; nil while we do not.
    private var listeningSince: NIODeadline?
    private var downSince: NIODeadline?
    private var untold: [ChannelName] = []
    private var shown: [ChannelName] = []

    private struct Holder: Sendable {
        var epoch: UInt64
        var lastSign: NIODeadline
        /// Whether it keeps such a table as well, and so withdraws.
        var keepsTable = false
        var channels: Set<ChannelName> = []
        /// Of its earlier run, and not subscribed to again.
        var inherited: Set<ChannelName> = []
        var inheritedAt: NIODeadline
        /// When another instance last withdrew something of it.
        var withdrawnAt: NIODeadline?

        var count: Int { self.channels.count + self.inherited.count }
    }

    public init(own: InstanceLife, lease: Duration, turn: Turn = Turn()) {
        self.own = own
        self.lease = lease
        self.turn = turn
    }

    public var instanceCount: Int { self.holders.count }

    // MARK: Ourselves

    public mutating func subscribed(_ channel: ChannelName) {
        guard self.mine.count < Self.entryLimit else { return self.ignoredCount += 1 }
        self.mine.insert(channel)
        self.leftBehind.remove(channel)
        self.unwritten?[channel] = true
    }

    public mutating func unsubscribed(_ channel: ChannelName) {
        self.mine.remove(channel)
        self.unwritten?[channel] = false
    }

    // MARK: The run before

    /// Begins a journal of what our clients hold, with what the one of the run before said at its end: of that, what our clients do not
    /// subscribe to again is taken back, by the others or else by us.
    public mutating func keepJournal(leftBehind: Set<ChannelName>) {
        self.leftBehind = leftBehind.subtracting(self.mine)
        self.unwritten = Dictionary(uniqueKeysWithValues: self.mine.union(leftBehind).map { ($0, true) })
    }

    /// What is to be added to the journal; empty when nothing changed.
    public mutating func takeJournal() -> [ChannelName: Bool] {
        guard let unwritten = self.unwritten, !unwritten.isEmpty else { return [:] }
        self.unwritten = [:]
        return unwritten
    }

    public var hasJournalWork: Bool { self.unwritten?.isEmpty == false }

    /// At most so many lines ``journal`` is long.
    public var journalCount: Int { self.mine.count + self.leftBehind.count }

    /// Everything that a journal has to say now.
    public var journal: Set<ChannelName> { self.mine.union(self.leftBehind) }

    /// What to tell the upstream of an own change, the lease included.
    public func event(_ kind: OccupancyEvent.Kind, _ channel: ChannelName) -> OccupancyEvent {
        OccupancyEvent(kind, channel, of: self.own.instance, epoch: self.own.epoch, lease: self.lease)
    }

    // MARK: The link

    /// After a lease without a connection the others may have given us up, so everything is told again.
    public mutating func linkUp(at now: NIODeadline) {
        self.listeningSince = now
        if let downSince = self.downSince, downSince + TimeAmount(self.lease) <= now { self.untold = Array(self.mine) }
        self.downSince = nil
    }

    public mutating func linkDown(at now: NIODeadline) {
        self.listeningSince = nil
        if self.downSince == nil { self.downSince = now }
    }

    // MARK: The others

    /// - Parameter keepsTable: whether that instance withdraws like we do.
    public mutating func signOfLife(of life: InstanceLife, keepsTable: Bool, at now: NIODeadline) {
        guard life.instance != self.own.instance else { return }
        self.withHolder(life.instance, epoch: life.epoch, at: now) { holder in
            holder.lastSign = now
            holder.keepsTable = keepsTable
        }
    }

    /// - Returns: what is to be said to the contrary, when somebody withdrew what our clients hold.
    public mutating func heard(_ event: OccupancyEvent, at now: NIODeadline) -> OccupancyEvent? {
        guard let epoch = event.epoch else { return nil }
        guard event.instance != self.own.instance else {
            guard event.kind == .unsubscribe, event.withdrawer != nil else { return nil }
            guard self.mine.contains(event.channel) else {
                if self.leftBehind.remove(event.channel) != nil { self.unwritten?[event.channel] = false }
                return nil
            }
            self.repeatedCount += 1
            return self.event(.subscribe, event.channel)
        }
        switch event.kind {
        case .subscribe: self.add([event.channel], to: event.instance, epoch: epoch, at: now)
        case .unsubscribe: self.remove(event, at: now)
        }
        return nil
    }

    public mutating func heard(_ snapshot: OccupancySnapshot, at now: NIODeadline) {
        guard snapshot.instance != self.own.instance else { return }
        self.add(snapshot.channels, to: snapshot.instance, epoch: snapshot.epoch, at: now)
    }

    private mutating func add(_ channels: [ChannelName], to instance: InstanceID, epoch: UInt64, at now: NIODeadline) {
        var room = Self.entryLimit - self.entryCount
        var ignored: UInt64 = 0
        self.withHolder(instance, epoch: epoch, at: now) { holder in
            guard holder.epoch == epoch else { return }
            for channel in channels {
                if holder.inherited.remove(channel) != nil { room += 1 }
                guard !holder.channels.contains(channel) else { continue }
                if room > 0 {
                    holder.channels.insert(channel)
                    room -= 1
                } else {
                    ignored += 1
                }
            }
        }
        self.ignoredCount += ignored
    }

    private mutating func remove(_ event: OccupancyEvent, at now: NIODeadline) {
        guard var holder = self.holders[event.instance], let epoch = event.epoch else { return }
        self.entryCount -= holder.count
        if epoch == holder.epoch { holder.channels.remove(event.channel) }
        holder.inherited.remove(event.channel)
        if event.withdrawer != nil { holder.withdrawnAt = now }
        self.entryCount += holder.count
        self.holders[event.instance] = holder
    }

    /// Changes what is noted of an instance; of an earlier run of it nothing is noted any more.
    private mutating func withHolder(
        _ instance: InstanceID, epoch: UInt64, at now: NIODeadline, _ body: (inout Holder) -> Void
    ) {
        guard self.holders[instance] != nil || self.holders.count < Self.instanceLimit else {
            return self.ignoredCount += 1
        }
        var holder = self.holders[instance] ?? Holder(epoch: epoch, lastSign: now, inheritedAt: now)
        guard epoch >= holder.epoch else { return }
        self.entryCount -= holder.count
        if epoch > holder.epoch {
            holder.epoch = epoch
            holder.lastSign = now
            holder.inherited.formUnion(holder.channels)
            holder.channels = []
            holder.inheritedAt = now
            holder.withdrawnAt = nil
        }
        body(&holder)
        self.entryCount += holder.count
        self.holders[instance] = holder
    }

    // MARK: For those who were not there

    /// Another instance came: everything of ours is shown once more.
    public mutating func peerCame() {
        self.shown = Array(self.mine)
    }

    public var hasSnapshot: Bool { !self.shown.isEmpty }

    /// The next part of what our clients hold.
    public mutating func takeSnapshot() -> OccupancySnapshot? {
        let channels = self.shown.suffix(OccupancySnapshot.channelLimit)
        self.shown.removeLast(channels.count)
        let present = channels.filter { self.mine.contains($0) }
        guard !present.isEmpty else { return nil }
        return OccupancySnapshot(instance: self.own.instance, epoch: self.own.epoch, channels: present)
    }

    // MARK: Time

    /// What is to be told now: own subscriptions once more, and the withdrawals that are ours to make.
    public mutating func tick(at now: NIODeadline) -> [OccupancyEvent] {
        guard let listeningSince = self.listeningSince else { return [] }
        var events: [OccupancyEvent] = []
        let again = self.untold.suffix(Self.batchLimit)
        self.untold.removeLast(again.count)
        for channel in again where self.mine.contains(channel) {
            self.repeatedCount += 1
            events.append(self.event(.subscribe, channel))
        }
        let wait = self.wait(at: now, listeningSince: listeningSince)
        self.takeBack(since: listeningSince, at: now, into: &events)
        for instance in self.holders.keys.sorted(by: { $0.string < $1.string }) where events.count < Self.batchLimit {
            self.withdraw(from: instance, after: wait, since: listeningSince, at: now, into: &events)
        }
        return events
    }

    /// Whoever is there inherited what our earlier run held, and withdraws it after a lease; after one more for each of them it is for us.
    private mutating func takeBack(
        since listeningSince: NIODeadline, at now: NIODeadline, into events: inout [OccupancyEvent]
    ) {
        guard !self.leftBehind.isEmpty else { return }
        let lease = TimeAmount(self.lease)
        let others = self.holders.values.count { $0.keepsTable && $0.lastSign + lease > now }
        guard listeningSince + lease * (1 + others) <= now else { return }
        while events.count < Self.batchLimit, let channel = self.leftBehind.popFirst() {
            self.unwritten?[channel] = false
            self.withdrawnCount += 1
            events.append(self.event(.unsubscribe, channel))
        }
    }

    /// How long we leave it to those who withdraw before us: a lease to each instance, and a part of one to each bridge of ours.
    private func wait(at now: NIODeadline, listeningSince: NIODeadline) -> TimeAmount {
        let lease = TimeAmount(self.lease)
        let instances = self.holders.count { instance, holder in
            holder.keepsTable && instance.string < self.own.instance.string
                && max(holder.lastSign, listeningSince) + lease > now
        }
        return lease * instances + .nanoseconds(lease.nanoseconds * Int64(self.turn.place) / Int64(self.turn.count))
    }

    private mutating func withdraw(
        from instance: InstanceID, after wait: TimeAmount, since listeningSince: NIODeadline, at now: NIODeadline,
        into events: inout [OccupancyEvent]
    ) {
        guard var holder = self.holders[instance] else { return }
        let lease = TimeAmount(self.lease)
        let isGone = max(holder.lastSign, listeningSince) + lease <= now
        let start = isGone ? holder.lastSign : holder.inheritedAt
        let due = max(start + lease, holder.withdrawnAt ?? start, listeningSince + lease) + wait
        guard due <= now, isGone || !holder.inherited.isEmpty else { return }
        self.entryCount -= holder.count
        while events.count < Self.batchLimit,
            let channel = holder.inherited.popFirst() ?? (isGone ? holder.channels.popFirst() : nil)
        {
            self.withdrawnCount += 1
            events.append(
                OccupancyEvent(.unsubscribe, channel, of: instance, epoch: holder.epoch, by: self.own.instance))
        }
        self.entryCount += holder.count
        self.holders[instance] = isGone && holder.count == 0 ? nil : holder
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
