public import NIOCore

/// The calls of the server that one client has not answered yet. IDs count from 1, as clients expect of each connection.
public struct PendingCalls<Waiter> {
    /// A call that nobody answered in time.
    public struct Expired {
        public var event: String
        public var waiter: Waiter
    }

    private struct Entry {
        var event: String
        var deadline: NIODeadline
        var waiter: Waiter
    }

    private var entries: [Int64: Entry] = [:]
    private var lastID: Int64 = 0
    private let limit: Int
    /// When ``timePassed(at:)`` should be called next, or earlier than that.
    public private(set) var nextDeadline = NIODeadline.distantFuture

    public init(limit: Int = 1000) {
        self.limit = limit
    }

    public var count: Int { self.entries.count }

    /// The ID of the new call; nil when too many are unanswered.
    public mutating func begin(_ event: String, deadline: NIODeadline, waiter: Waiter) -> Int64? {
        guard self.entries.count < self.limit else { return nil }
        self.lastID += 1
        self.entries[self.lastID] = Entry(event: event, deadline: deadline, waiter: waiter)
        self.nextDeadline = min(self.nextDeadline, deadline)
        return self.lastID
    }

    /// Whoever waits for the call; nil for an answer to nothing, which means nothing.
    public mutating func answered(_ id: Int64) -> Waiter? {
        self.entries.removeValue(forKey: id)?.waiter
    }

    /// Those whose time is over, in the order of their calls.
    public mutating func timePassed(at now: NIODeadline) -> [Expired] {
        guard self.nextDeadline <= now else { return [] }
        let due = self.entries.filter { $0.value.deadline <= now }.sorted { $0.key < $1.key }
        for (id, _) in due { self.entries[id] = nil }
        self.nextDeadline = self.entries.values.map(\.deadline).min() ?? .distantFuture
        return due.map { Expired(event: $0.value.event, waiter: $0.value.waiter) }
    }
}
