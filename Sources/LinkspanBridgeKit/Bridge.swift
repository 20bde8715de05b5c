/// A kind of bridge: it converses with one upstream, and with nothing else of the server.
///
/// The host reconnects, backs off, maps names, buffers, counts, recognises duplicates and stops loops. A bridge connects, hands
/// over what arrives, sends what it is given and says what the upstream confirmed.
public protocol Bridge: Sendable {
    /// The word that selects this bridge: `type:` in `bridges.yaml`.
    static var kind: String { get }

    /// The schemes that a URL of this upstream may have, with the port that each one means when none is given.
    static var schemes: [String: Int] { get }

    /// The keys of this bridge's own block (named like ``kind``) in `bridges.yaml`.
    static var options: [OptionDeclaration] { get }

    /// The upstream name of a channel when a rule gives none, such as `sc/{channel}`.
    static var defaultNameTemplate: String { get }

    /// What names this upstream takes, and how channel names are escaped for it.
    static var nameRules: NameRules { get }

    /// Keys of ``options`` that keep bridges at one upstream apart: an AMQP exchange, the mode of Redis. Bridges that agree in them and
    /// in the upstream's address share its names.
    static var namespaceOptions: [String] { get }

    /// Whether this upstream, as configured, carries ``EnvelopeHeader`` beside the payload.
    ///
    /// When false the host puts header and data into one JSON envelope, and takes it apart on the way in.
    var carriesHeader: Bool { get }

    /// Whether a confirmation of a message with a lifetime is the upstream's own word that it has it, rather than a sign that the
    /// message was written to a socket. False unless a bridge says otherwise.
    var answersProbes: Bool { get }

    /// Whether this upstream, as configured, can be asked for all names with a prefix. True unless a bridge says otherwise; a rule that needs
    /// it is refused where it is false.
    var takesPrefixes: Bool { get }

    /// Whether a filter that is subscribed and comes again is asked of the upstream again, which does no harm there and restores what
    /// only the upstream lost. False unless a bridge says otherwise; the host then asks once in a conversation.
    var renewsSubscriptions: Bool { get }

    /// Whether this upstream, as configured, can give each message to one of several instances. ``GroupSupport/none`` unless a bridge says
    /// otherwise; a rule with `consume: one_of` is refused there.
    var groupSupport: GroupSupport { get }

    /// Checks its settings; touches no network.
    ///
    /// - Throws: ``ConfigurationError`` with every problem found, a promise that this upstream cannot keep included.
    init(settings: BridgeSettings) throws(ConfigurationError)

    /// Connects to `link.upstream` and converses until the upstream is lost or the task is cancelled.
    ///
    /// Called again by the host, after a pause, whenever it throws. Each call starts afresh: nothing is subscribed, nothing is in flight.
    /// The first ``BridgeLink/takeWork(upTo:)`` after ``BridgeLink/connected(_:)`` returns the whole interest.
    ///
    /// - Throws: ``UpstreamError`` when the upstream was lost or refused us.
    func run(on link: BridgeLink) async throws
}

extension Bridge {
    public var answersProbes: Bool { false }
    public var takesPrefixes: Bool { true }
    public var renewsSubscriptions: Bool { false }
    public var groupSupport: GroupSupport { .none }

    /// None: all bridges at one upstream share its names.
    public static var namespaceOptions: [String] { [] }
}

/// What an upstream can do for instances that share what arrives; see ``BridgeSettings/consumerGroup``.
public enum GroupSupport: Sendable, Hashable {
    /// Every instance gets everything.
    case none
    /// The group takes everything that its rules name; an instance cannot stand back from a part of it.
    case whole
    /// An instance takes its share of the names that it subscribes, and the others share the rest.
    case byName
}

/// Why a conversation with an upstream ended or could not start.
public struct UpstreamError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        private init(_ description: String) { self.description = description }

        /// No connection came about: refused, unreachable, timed out, name not found.
        public static let unreachable = Code("unreachable")
        /// A connection that was up ended.
        public static let lost = Code("lost")
        /// The upstream stopped answering within its liveness limit.
        public static let silent = Code("silent")
        /// User name, password, certificate or permission refused; retried at the slowest pace.
        public static let refused = Code("refused")
        /// TLS failed: wrong authority, wrong host name, expired.
        public static let untrusted = Code("untrusted")
        /// The upstream broke its protocol, or speaks another.
        public static let protocolViolation = Code("protocol_violation")
        /// Another client took over our identity.
        public static let takenOver = Code("taken_over")
        /// What is under way was not settled within its limit: our egress by the upstream, or what arrived by the server.
        public static let stalled = Code("stalled")
        /// The upstream does not keep what the rule's guarantee needs; retried at the slowest pace.
        public static let promise = Code("promise")
        /// The connection stands, but nothing passed through it within the rule's deadline; said by the host.
        public static let unproven = Code("unproven")
    }

    public var code: Code
    /// What happened, for people, with the library's own number and text; never a secret or a payload.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(self.code): \(self.message)" }
}
