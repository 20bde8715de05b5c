internal import Synchronization

/// Lets so many in at a time, and so many wait, in their order.
final class HookGate: Sendable {
    private struct State {
        var running = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let concurrency: Int
    private let queue: Int
    private let state = Mutex(State())

    init(concurrency: Int, queue: Int) {
        self.concurrency = max(1, concurrency)
        self.queue = max(0, queue)
    }

    /// Those that are in, and those that wait.
    var counts: (running: Int, waiting: Int) { self.state.withLock { ($0.running, $0.waiting.count) } }

    /// Waits for a place; each one that was entered is left.
    /// - Returns: false at once when too many wait already.
    func enter() async -> Bool {
        enum Entry { case admitted, refused, waiting }
        var isAdmitted = true
        await withCheckedContinuation { continuation in
            let entry = self.state.withLock { state -> Entry in
                if state.running < self.concurrency {
                    state.running += 1
                    return .admitted
                }
                guard state.waiting.count < self.queue else { return .refused }
                state.waiting.append(continuation)
                return .waiting
            }
            isAdmitted = entry != .refused
            if entry != .waiting { continuation.resume() }
        }
        return isAdmitted
    }

    func leave() {
        let next = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.waiting.isEmpty else {
                state.running -= 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
