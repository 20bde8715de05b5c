internal import Synchronization

/// What becomes of something that happens once. Any thread; any number of tasks wait for it.
package final class Settlement<Value: Sendable>: Sendable {
    private struct State {
        var result: Result<Value, any Error>?
        var waiters: [UInt64: CheckedContinuation<Value, any Error>] = [:]
        var lastNumber: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Nil until it is settled.
    package var result: Result<Value, any Error>? { self.state.withLock { $0.result } }

    /// Waits until it is settled.
    ///
    /// Throws what it was settled with, or `CancellationError` when the task is cancelled before.
    package var value: Value {
        get async throws {
            let number = self.state.withLock { state in
                state.lastNumber += 1
                return state.lastNumber
            }
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { self.wait($0, number) }
            } onCancel: {
                let waiter = self.state.withLock { $0.waiters.removeValue(forKey: number) }
                waiter?.resume(throwing: CancellationError())
            }
        }
    }

    /// The first result counts.
    package func settle(_ result: Result<Value, any Error>) {
        let waiters = self.state.withLock { state in
            if state.result == nil { state.result = result }
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume(with: result) }
    }

    private func wait(_ waiter: CheckedContinuation<Value, any Error>, _ number: UInt64) {
        let known = self.state.withLock { state -> Result<Value, any Error>? in
            if let result = state.result { return result }
            // Cancelled before it could be found among those that wait.
            if Task.isCancelled { return .failure(CancellationError()) }
            state.waiters[number] = waiter
            return nil
        }
        if let known { waiter.resume(with: known) }
    }
}
