public import LinkspanBridgeKit

/// What a service may decide about clients.
public enum HookDecision: String, Sendable, Hashable, CaseIterable {
    /// Whether a client may come in.
    case handshake
    /// Whether it may subscribe, where the permissions grant it.
    case subscribe
    /// Whether it may publish, where the permissions grant it, and what.
    case publish
}

/// What holds while a service that decides is not there.
public enum HookFallback: String, Sendable, Hashable, CaseIterable {
    case deny, allow
}

/// A service that answers and decides over HTTP: one entry of `hooks` in `bridges.yaml`.
public struct HookSettings: Sendable, Hashable {
    public var name: String
    /// `http:` or `https:`.
    public var url: String
    /// PEM file of the authorities to trust for `https:`; nil means the system's.
    public var authorities: String?
    /// Globs of the procedures that it answers.
    public var procedures: [String] = []
    /// What it decides about.
    public var decides: Set<HookDecision> = []
    /// Globs of the channels whose subscriptions and publishes it decides about.
    public var channels = ["**"]
    /// What holds for a decision while it is not there; procedures fail then.
    public var unavailable = HookFallback.deny
    /// Signs requests; nil sends them without a signature.
    public var secret: Secret?
    /// Whether its answers may give clients tokens.
    public var givesTokens = true
    /// Of one attempt, connecting included.
    public var timeout = Duration.seconds(5)
    /// Further attempts after one that did not reach the service, or that it answered with 502, 503 or 504.
    public var retries = 0
    /// Shortest pause before a further attempt; the pauses are random and grow.
    public var backoff = Duration.milliseconds(100)
    /// Most requests under way.
    public var concurrency = 64
    /// Most questions that wait for one of them to end, for ``timeout`` at most; what comes beyond fails at once.
    public var queue = 256
    /// Failures in a row after which the service is left alone.
    public var breakerFailures = 5
    /// How long it is left alone.
    public var breakerPause = Duration.seconds(10)

    public init(name: String, url: String) {
        self.name = name
        self.url = url
    }
}
