public import LinkspanBridgeKit

/// Carries channels over a topic exchange of an AMQP 0-9-1 broker such as RabbitMQ: one queue per instance and bridge, and one more that the
/// instances of a group share.
///
/// Two connections, one to publish and one to consume, each on a thread of its own: a broker that is out of memory stops
/// reading what publishes, and acknowledgements must not wait behind that.
public struct AMQPBridge: Bridge {
    public static let kind = "amqp"
    public static let schemes = ["amqp": 5672, "amqps": 5671]
    public static let defaultNameTemplate = "sc.{channel}"
    public static let namespaceOptions = ["exchange"]

    /// Routing keys hold at most 255 bytes (AMQP 0-9-1, 4.2.5.3); `*` and `#` are wildcards of bindings, `.` parts words.
    public static let nameRules = NameRules(
        reserved: [UInt8(ascii: "."), UInt8(ascii: "*"), UInt8(ascii: "#")], escapesControls: true,
        separator: UInt8(ascii: "."), lengthLimit: 255)

    public static var options: [OptionDeclaration] { AMQPOptions.declarations }

    public var carriesHeader: Bool { true }
    public var answersProbes: Bool { self.options.guarantee == .atLeastOnce }

    /// A binding that exists already is bound again without an effect.
    public var renewsSubscriptions: Bool { true }

    /// A queue's bindings are the group's.
    public var groupSupport: GroupSupport { .whole }

    private let settings: BridgeSettings
    private let options: AMQPOptions

    public init(settings: BridgeSettings) throws(ConfigurationError) {
        self.settings = settings
        self.options = AMQPOptions(settings)
        let problems = Self.problems(of: settings, self.options)
        guard problems.isEmpty else { throw ConfigurationError(problems) }
    }

    public func run(on link: BridgeLink) async throws {
        try await Conversation(link: link, settings: self.settings, options: self.options).run()
    }

    private static func problems(
        of settings: BridgeSettings, _ options: AMQPOptions
    ) -> [ConfigurationError.Problem] {
        var problems: [ConfigurationError.Problem] = []
        let path = settings.optionsPath
        if options.exchange.isEmpty {
            problems.append(
                .init(
                    path: "\(path).exchange", message: "the default exchange routes by queue name, not by channel",
                    hint: "name a topic exchange, such as linkspan or amq.topic"))
        }
        if let fault = Self.fault(ofName: options.exchange) {
            problems.append(.init(path: "\(path).exchange", message: fault))
        }
        if let fault = Self.fault(ofName: options.queue) {
            problems.append(
                .init(
                    path: path, message: "queue name \(options.queue): \(fault)", hint: "shorten the bridge's name"))
        }
        if let fault = options.groupQueue.flatMap(Self.fault(ofName:)) {
            problems.append(.init(path: path, message: "queue name \(options.groupQueue ?? ""): \(fault)"))
        }
        if settings.guarantee == .atLeastOnce, !options.isExchangeDurable {
            problems.append(
                .init(
                    path: "\(path).exchange_durable",
                    message:
                        "guarantee at_least_once is not possible with an exchange that a restart of the broker removes, bindings and all",
                    hint: "choose exchange_durable true, or guarantee at_most_once"))
        }
        for url in settings.urls {
            if let fault = url.path.flatMap(Self.fault(ofName:)) {
                problems.append(.init(path: path, message: "virtual host of \(url): \(fault)"))
            }
        }
        // SASL PLAIN separates user name and password by NUL (RFC 4616).
        if settings.username?.utf8.contains(0) == true {
            problems.append(.init(path: path, message: "the user name contains U+0000"))
        }
        if settings.password?.value.utf8.contains(0) == true {
            problems.append(.init(path: path, message: "the password contains U+0000"))
        }
        return problems
    }

    private static func fault(ofName name: String) -> String? {
        if name.utf8.count > 255 { return "longer than the 255 bytes that AMQP allows" }
        if name.utf8.contains(0) { return "contains U+0000" }
        return nil
    }
}
