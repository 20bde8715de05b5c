internal import Synchronization

/// A clock that stands still until a test moves it.
public final class ManualClock: Clock, Sendable {
    public struct Instant: InstantProtocol {
        /// Since the clock was made.
        public var offset: Duration

        public func advanced(by duration: Duration) -> Instant { Instant(offset: self.offset + duration) }
        public func duration(to other: Instant) -> Duration { other.offset - self.offset }
        public static func < (one: Instant, other: Instant) -> Bool { one.offset < other.offset }
    }

    private struct Sleeper {
        var identifier: UInt64
        var deadline: Instant
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now = Instant(offset: .zero)
        var sleepers: [Sleeper] = []
        var cancelled: Set<UInt64> = []
        var nextIdentifier: UInt64 = 0
    }

    private let state = Mutex(State())
    private let slept = EventLog<Instant>()

    public init() {}

    public var now: Instant { self.state.withLock { $0.now } }
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Moves the clock and wakes everyone whose time has come, the earliest first.
    public func advance(by duration: Duration) {
        let due = self.state.withLock { state -> [Sleeper] in
            state.now = state.now.advanced(by: duration)
            let due = state.sleepers.filter { $0.deadline <= state.now }.sorted { $0.deadline < $1.deadline }
            state.sleepers.removeAll { $0.deadline <= state.now }
            return due
        }
        for sleeper in due { sleeper.continuation.resume() }
    }

    /// Returns once `count` sleeps have begun since the clock was made, so that a test does not move the clock too early.
    public func sleeps(_ count: Int, within limit: Duration = .seconds(60)) async throws {
        try await self.slept.wait(count: count, within: limit, "sleep on the manual clock")
    }

    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let identifier = self.state.withLock { state in
            state.nextIdentifier += 1
            return state.nextIdentifier
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let sleeper = Sleeper(identifier: identifier, deadline: deadline, continuation: continuation)
                let outcome = self.state.withLock { state -> Result<Void, any Error>? in
                    if state.cancelled.remove(identifier) != nil { return .failure(CancellationError()) }
                    if deadline <= state.now { return .success(()) }
                    state.sleepers.append(sleeper)
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
                self.slept.append(deadline)
            }
        } onCancel: {
            let sleeper = self.state.withLock { state -> Sleeper? in
                guard let place = state.sleepers.firstIndex(where: { $0.identifier == identifier }) else {
                    state.cancelled.insert(identifier)
                    return nil
                }
                return state.sleepers.remove(at: place)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }
}
