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

    private var windows: [OriginWindow] = []
    private var lastIndex = 0

    public init(limit: Int = Self.defaultLimit) {
        self.limit = max(limit, 1)
    }

    public static let defaultLimit = 256

    public var count: Int { self.windows.count }

    public var isEmpty: Bool { self.windows.isEmpty }

    /// - Complexity: constant while one origin publishes at a time; O(origins) when they alternate. No allocation once a window exists.
    public mutating func judge(_ origin: Origin, at now: NIODeadline) -> SequenceVerdict {
        let index = self.index(of: origin) ?? self.insert(origin, at: now)
        self.lastIndex = index
        self.windows[index].lastHeard = now
        return self.windows[index].sequences.judge(origin.sequence)
    }

    /// Forgets windows from which nothing came since `deadline`, and says how many went.
    @discardableResult
    public mutating func forget(idleSince deadline: NIODeadline) -> Int {
        let before = self.windows.count
        self.windows.removeAll { $0.lastHeard < deadline }
        self.lastIndex = 0
        return before - self.windows.count
    }

    /// The window of one instance and epoch, for status; nil when none is kept.
    public func window(of instance: InstanceID, epoch: UInt64) -> SequenceWindow? {
        self.windows.first { $0.epoch == epoch && $0.instance == instance }?.sequences
    }

    private func index(of origin: Origin) -> Int? {
        if self.lastIndex < self.windows.count, self.windows[self.lastIndex].belongs(to: origin) {
            return self.lastIndex
        }
        return self.windows.firstIndex { $0.belongs(to: origin) }
    }

    private mutating func insert(_ origin: Origin, at now: NIODeadline) -> Int {
        let window = OriginWindow(instance: origin.instance, epoch: origin.epoch, lastHeard: now)
        guard self.windows.count >= self.limit else {
            self.windows.append(window)
            return self.windows.count - 1
        }
        var oldest = 0
        for index in self.windows.indices where self.windows[index].lastHeard < self.windows[oldest].lastHeard {
            oldest = index
        }
        self.windows[oldest] = window
        self.evictedCount += 1
        return oldest
    }
}

private struct OriginWindow: Sendable {
    let instance: InstanceID
    let epoch: UInt64
    var lastHeard: NIODeadline
    var sequences = SequenceWindow()

    /// Epochs differ nearly always, so the name is compared only when they agree.
    func belongs(to origin: Origin) -> Bool {
        self.epoch == origin.epoch && self.instance == origin.instance
    }
}
