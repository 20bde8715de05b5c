internal import Synchronization

/// Lets so many in at a time, and so many wait, in their order and not for ever.
final class HookGate: Sendable {
    private struct Waiter {
        var number: UInt64
        var continuation: CheckedContinuation<Bool, Never>
        var timer: Task<Void, Never>?
    }

    private struct State {
        var running = 0
        var waiting: [Waiter] = []
        var lastNumber: UInt64 = 0
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
    /// - Returns: false at once when too many wait already, and after `limit` when there was no place.
    func enter(within limit: Duration) async -> Bool {
        await withCheckedContinuation { continuation in
            enum Entry { case admitted, refused, waiting(UInt64) }
            let entry = self.state.withLock { state -> Entry in
                if state.running < self.concurrency {
                    state.running += 1
                    return .admitted
                }
                guard state.waiting.count < self.queue else { return .refused }
                state.lastNumber += 1
                state.waiting.append(Waiter(number: state.lastNumber, continuation: continuation))
                return .waiting(state.lastNumber)
            }
            switch entry {
            case .admitted: continuation.resume(returning: true)
            case .refused: continuation.resume(returning: false)
            case .waiting(let number): self.watch(number, limit)
            }
        }
    }

    func leave() {
        let next = self.state.withLock { state -> Waiter? in
            guard !state.waiting.isEmpty else {
                state.running -= 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.timer?.cancel()
        next?.continuation.resume(returning: true)
    }

    private func watch(_ number: UInt64, _ limit: Duration) {
        let timer = Task {
            guard (try? await Task.sleep(for: limit)) != nil else { return }
            self.giveUp(number)
        }
        let isWaiting = self.state.withLock { state in
            guard let index = state.waiting.firstIndex(where: { $0.number == number }) else { return false }
            state.waiting[index].timer = timer
            return true
        }
        if !isWaiting { timer.cancel() }
    }

    private func giveUp(_ number: UInt64) {
        let waiter = self.state.withLock { state -> Waiter? in
            state.waiting.firstIndex { $0.number == number }.map { state.waiting.remove(at: $0) }
        }
        waiter?.continuation.resume(returning: false)
    }
}
