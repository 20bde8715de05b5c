/// Decides whether a service that failed is asked again: after some failures in a row it is left alone for a while, then asked once.
///
/// ```
/// closed ──failures──▶ open ──pause over──▶ probing ──success──▶ closed
///                       ▲                      │
///                       └───────failure────────┘
/// ```
public struct CircuitBreaker: Sendable, Hashable {
    public enum State: Sendable, Hashable {
        /// Everything is asked; so many failures since the last success.
        case closed(failures: Int)
        /// Nothing is asked until then.
        case open(until: ContinuousClock.Instant)
        /// One request is under way, and decides.
        case probing
    }

    /// A request that may be sent.
    public struct Admission: Sendable, Hashable {
        fileprivate var era: Int
    }

    public private(set) var state = State.closed(failures: 0)
    /// How often it opened. Requests from before say nothing about what has been since.
    private var era = 0
    private let threshold: Int
    private let pause: Duration

    /// - Parameters:
    ///   - threshold: failures in a row that open it, at least one.
    ///   - pause: from the last failure to the next question.
    public init(threshold: Int, pause: Duration) {
        self.threshold = max(1, threshold)
        self.pause = pause
    }

    /// Nil when the service is left alone; each admission is followed by ``succeeded(_:)``, ``failed(_:at:)`` or ``abandoned(_:at:)``.
    public mutating func admit(at now: ContinuousClock.Instant) -> Admission? {
        switch self.state {
        case .closed: break
        case .probing: return nil
        case .open(let until):
            guard now >= until else { return nil }
            self.state = .probing
        }
        return Admission(era: self.era)
    }

    /// - Returns: whether the service is asked again by this.
    @discardableResult
    public mutating func succeeded(_ admission: Admission) -> Bool {
        guard admission.era == self.era else { return false }
        let wasProbing = self.state == .probing
        self.state = .closed(failures: 0)
        return wasProbing
    }

    /// Nobody waited for the outcome, so there is none: where this one was to decide, the next one is.
    public mutating func abandoned(_ admission: Admission, at now: ContinuousClock.Instant) {
        guard admission.era == self.era, self.state == .probing else { return }
        self.state = .open(until: now)
    }

    /// - Returns: whether the service is left alone by this.
    @discardableResult
    public mutating func failed(_ admission: Admission, at now: ContinuousClock.Instant) -> Bool {
        guard admission.era == self.era else { return false }
        switch self.state {
        case .closed(let failures) where failures + 1 < self.threshold:
            self.state = .closed(failures: failures + 1)
            return false
        case .closed, .probing, .open:
            self.state = .open(until: now + self.pause)
            self.era += 1
            return true
        }
    }
}
