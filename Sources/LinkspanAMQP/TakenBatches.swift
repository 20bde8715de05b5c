internal import LinkspanBridgeKit
internal import Synchronization

/// ``AckProgress`` between the consuming thread, which hands batches over, and the threads on which the server takes them.
final class TakenBatches: Sendable {
    private struct State {
        var progress = AckProgress()
        var isAwaited = false
    }

    private let state = Mutex(State())
    private let signal: WakeSignal
    private let alwaysRaises: Bool

    /// - Parameter alwaysRaises: whether the thread is woken for every batch that can be acknowledged, not only when it paused.
    init(signal: WakeSignal, alwaysRaises: Bool) {
        self.signal = signal
        self.alwaysRaises = alwaysRaises
    }

    func handedOver(upTo lastTag: UInt64) -> Int {
        self.state.withLock { $0.progress.handedOver(upTo: lastTag) }
    }

    func taken(_ number: Int) {
        let raises = self.state.withLock { state in
            state.progress.taken(number)
            return self.alwaysRaises || state.isAwaited
        }
        if raises { self.signal.raise() }
    }

    /// Whether fewer than `limit` batches are under way; if not, the signal is raised when one is taken.
    func mayRead(below limit: Int) -> Bool {
        self.state.withLock { state in
            state.isAwaited = state.progress.underWay >= limit
            return !state.isAwaited
        }
    }

    func takeAcknowledgeable() -> UInt64? {
        self.state.withLock { $0.progress.takeAcknowledgeable() }
    }
}
