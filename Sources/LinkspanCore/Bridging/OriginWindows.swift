public import LinkspanBridgeKit
public import NIOCore

/// The sequence windows of one channel: one for each origin and epoch that published into it.
///
/// A new epoch of an instance gets a window of its own; the old one ages out when nothing more comes from it.
public struct OriginWindows: Sendable {
    /// Most windows; past it the one that was idle longest makes room.
    public var limit: Int

    /// Windows that had to make room while still young: a duplicate of theirs would now be delivered.
    public private(set) var evictedCount: UInt64 = 0

    var windows: [OriginWindow] = []
    private var lastIndex = 0

    /// Windows in which messages wait, or would, for missing ones before them.
    public internal(set) var waitingCount = 0

    /// Windows that had to make room while messages or gaps were left in them, until ``release(at:_:_:)``.
    var evicted: [OriginWindow] = []

    public init(limit: Int = Self.defaultLimit) {
        self.limit = max(limit, 1)
    }

    public static let defaultLimit = 256

    public var count: Int { self.windows.count }

    public var isEmpty: Bool { self.windows.isEmpty }

    /// - Parameter isDirect: whether the origin itself sent this to the upstream. The first message of a newer life of an instance that was heard
    ///   before then counts from 1: we listened when it began.
    /// - Complexity: constant while one origin publishes at a time; O(origins) when they alternate. No allocation once a window exists.
    public mutating func judge(_ origin: Origin, isDirect: Bool = false, at now: NIODeadline) -> SequenceVerdict {
        let index = self.index(of: origin) ?? self.insert(origin, isDirect: isDirect, at: now)
        self.lastIndex = index
        self.windows[index].lastHeard = now
        return self.windows[index].sequences.judge(origin.sequence)
    }

    /// Whether a message would be judged a duplicate.
    public func contains(_ origin: Origin) -> Bool {
        self.index(of: origin).map { self.windows[$0].sequences.contains(origin.sequence) } ?? false
    }

    /// Forgets windows from which nothing came since `deadline` and nothing is awaited, and says how many went.
    @discardableResult
    public mutating func forget(idleSince deadline: NIODeadline) -> Int {
        let before = self.windows.count
        self.windows.removeAll { $0.lastHeard < deadline && !$0.isOpen }
        self.lastIndex = 0
        return before - self.windows.count
    }

    /// The window of one instance and epoch, for status; nil when none is kept.
    public func window(of instance: InstanceID, epoch: UInt64) -> SequenceWindow? {
        self.windows.first { $0.epoch == epoch && $0.instance == instance }?.sequences
    }

    func index(of origin: Origin) -> Int? {
        if self.lastIndex < self.windows.count, self.windows[self.lastIndex].belongs(to: origin) {
            return self.lastIndex
        }
        return self.windows.firstIndex { $0.belongs(to: origin) }
    }

    mutating func insert(_ origin: Origin, isDirect: Bool, at now: NIODeadline) -> Int {
        let window = OriginWindow(
            instance: origin.instance, epoch: origin.epoch, lastHeard: now,
            isHeardFromStart: isDirect && self.isSuccessor(origin))
        guard self.windows.count >= self.limit else {
            self.windows.append(window)
            return self.windows.count - 1
        }
        var oldest = 0
        for index in self.windows.indices where self.windows[index].lastHeard < self.windows[oldest].lastHeard {
            oldest = index
        }
        if self.windows[oldest].isOpen { self.evicted.append(self.windows[oldest]) }
        if self.windows[oldest].isWaiting { self.waitingCount -= 1 }
        self.windows[oldest] = window
        self.evictedCount += 1
        return oldest
    }

    /// Whether an earlier life of the instance was heard, and we listened ever since.
    func isSuccessor(_ origin: Origin) -> Bool {
        let newest = self.windows.filter { $0.instance == origin.instance }.max { $0.epoch < $1.epoch }
        return newest.map { $0.epoch < origin.epoch && !$0.sequences.isRebased } ?? false
    }
}

struct OriginWindow: Sendable {
    let instance: InstanceID
    let epoch: UInt64
    var lastHeard: NIODeadline
    var sequences: SequenceWindow
    /// Named and not closed, ascending; see ``OriginWindows/book(_:of:_:)``.
    var gaps: [TrackedGap] = []
    /// Messages that wait for missing ones before them, ascending.
    var held: [HeldEnvelope] = []

    init(instance: InstanceID, epoch: UInt64, lastHeard: NIODeadline, isHeardFromStart: Bool) {
        self.instance = instance
        self.epoch = epoch
        self.lastHeard = lastHeard
        self.sequences = SequenceWindow(isHeardFromStart: isHeardFromStart)
    }

    /// Epochs differ nearly always, so the name is compared only when they agree.
    func belongs(to origin: Origin) -> Bool {
        self.epoch == origin.epoch && self.instance == origin.instance
    }
}
