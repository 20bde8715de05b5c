internal import Synchronization

/// What happened, in order, for tests that wait for it: appended on any thread, awaited with a deadline.
public final class EventLog<Event: Sendable>: Sendable {
    private struct Waiter {
        var identifier: UInt64
        /// Where to go on looking.
        var index: Int
        var accepts: @Sendable (Event) -> Bool
        var continuation: CheckedContinuation<Found?, any Error>
    }

    private struct State {
        var events: [Event] = []
        var isFinished = false
        var waiters: [Waiter] = []
        var cancelled: Set<UInt64> = []
        var nextIdentifier: UInt64 = 0
    }

    /// An event and its place in the log.
    public struct Found: Sendable {
        public var index: Int
        public var event: Event
    }

    private let state = Mutex(State())

    public init() {}

    /// All events so far.
    public var events: [Event] { self.state.withLock { $0.events } }

    public var count: Int { self.state.withLock { $0.events.count } }

    public func append(_ event: Event) {
        let satisfied = self.state.withLock { state -> [(Waiter, Found?)] in
            state.events.append(event)
            return Self.satisfied(&state)
        }
        for (waiter, found) in satisfied { waiter.continuation.resume(returning: found) }
    }

    /// Says that nothing will follow; waiters that found nothing fail at once instead of at their deadline.
    public func finish() {
        let satisfied = self.state.withLock { state -> [(Waiter, Found?)] in
            state.isFinished = true
            return Self.satisfied(&state)
        }
        for (waiter, found) in satisfied { waiter.continuation.resume(returning: found) }
    }

    /// The first event from `index` on that `accepts` takes, past or future.
    /// - Throws: ``TimedOut`` when none came within `limit`, or when the log finished before.
    public func first(
        from index: Int = 0, within limit: Duration = .seconds(60), _ what: String,
        where accepts: @escaping @Sendable (Event) -> Bool = { _ in true }
    ) async throws -> Found {
        let found = try await within(limit, what, seen: { self.tail }) {
            try await self.first(from: index, where: accepts)
        }
        guard let found else { throw TimedOut(what: what, limit: nil, seen: self.tail) }
        return found
    }

    /// Waits until there are `count` events, and returns all there are then.
    /// - Throws: ``TimedOut``
    @discardableResult
    public func wait(count: Int, within limit: Duration = .seconds(60), _ what: String) async throws -> [Event] {
        guard count > 0 else { return self.events }
        _ = try await self.first(from: count - 1, within: limit, "\(count) × \(what)")
        return self.events
    }

    private var tail: String {
        let events = self.events
        return "\(events.count) events" + events.suffix(12).map { "\n    \($0)" }.joined()
    }

    private func first(from index: Int, where accepts: @escaping @Sendable (Event) -> Bool) async throws -> Found? {
        let identifier = self.state.withLock { state in
            state.nextIdentifier += 1
            return state.nextIdentifier
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let waiter = Waiter(identifier: identifier, index: index, accepts: accepts, continuation: continuation)
                let (satisfied, wasCancelled) = self.state.withLock { state -> ([(Waiter, Found?)], Bool) in
                    if state.cancelled.remove(identifier) != nil { return ([], true) }
                    state.waiters.append(waiter)
                    return (Self.satisfied(&state), false)
                }
                if wasCancelled { continuation.resume(throwing: CancellationError()) }
                for (waiter, found) in satisfied { waiter.continuation.resume(returning: found) }
            }
        } onCancel: {
            let waiter = self.state.withLock { state -> Waiter? in
                guard let place = state.waiters.firstIndex(where: { $0.identifier == identifier }) else {
                    state.cancelled.insert(identifier)
                    return nil
                }
                return state.waiters.remove(at: place)
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    private static func satisfied(_ state: inout State) -> [(Waiter, Found?)] {
        var satisfied: [(Waiter, Found?)] = []
        var waiting: [Waiter] = []
        for var waiter in state.waiters {
            var found: Found?
            while waiter.index < state.events.count, found == nil {
                let event = state.events[waiter.index]
                if waiter.accepts(event) { found = Found(index: waiter.index, event: event) }
                waiter.index += 1
            }
            if found != nil || state.isFinished {
                satisfied.append((waiter, found))
            } else {
                waiting.append(waiter)
            }
        }
        state.waiters = waiting
        return satisfied
    }
}
