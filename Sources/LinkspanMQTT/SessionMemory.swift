internal import LinkspanBridgeKit
internal import Synchronization

/// What one bridge remembers from one conversation to the next.
final class SessionMemory: Sendable {
    private struct State {
        var quickLosses = 0
        var filters: Set<Topic> = []
        var hasConversed = false
    }

    private let state = Mutex(State())

    /// How soon after its start a conversation must be lost to count as a hint at a take-over.
    static let quickLoss: Duration = .seconds(5)
    /// So many in a row make the suspicion.
    static let quickLossLimit = 3

    /// Looks at how a conversation ended, and names the likely cause.
    ///
    /// mosquitto 2.0 closes the socket of a client whose identifier connects again without a word, exactly as when it stops.
    func judge(_ error: UpstreamError, after duration: Duration, clientID: String) -> UpstreamError {
        let isQuick = error.code == .lost && duration < Self.quickLoss
        let losses = self.state.withLock { state in
            state.quickLosses = isQuick ? state.quickLosses + 1 : 0
            return state.quickLosses
        }
        guard losses >= Self.quickLossLimit else { return error }
        return UpstreamError(
            .takenOver,
            "lost \(losses) times within \(Self.quickLoss) of connecting; another client probably uses the identifier "
                + "\(clientID). \(error.message)")
    }

    /// Whether a broker has accepted us before.
    var hasConversed: Bool {
        get { self.state.withLock { $0.hasConversed } }
        set { self.state.withLock { $0.hasConversed = newValue } }
    }

    /// The filters that the session at the broker holds, as far as this process knows.
    var keptFilters: Set<Topic> {
        get { self.state.withLock { $0.filters } }
        set { self.state.withLock { $0.filters = newValue } }
    }
}
