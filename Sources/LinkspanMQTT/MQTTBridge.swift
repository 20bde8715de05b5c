public import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix

/// A bridge to one MQTT broker, over libmosquitto: MQTT 5 or 3.1.1, QoS 0 to 2, TLS, kept sessions.
///
/// A thread makes the connection, since names are looked up and files of TLS are read; from the broker's acceptance on the conversation lives
/// on an event loop of the server. What it promises:
///
/// - `at_most_once`: a clean session; messages of QoS 0 are confirmed when they were written to the socket, those of QoS 1 and 2 when
///   the broker answered.
/// - `at_least_once`: the broker keeps session and subscriptions while we are away, up to `session_expiry`; everything goes with QoS 1 at
///   least, and the broker hears that it may forget a message only after the server has taken it.
///
/// A broker that grants a subscription which its access list forbids, as mosquitto does, stays mute without telling.
public struct MQTTBridge: Bridge {
    public static let kind = "mqtt"
    public static let schemes = ["mqtt": 1883, "mqtts": 8883]
    public static let defaultNameTemplate = "sc/{channel}"

    /// Wildcards and what libmosquitto refuses (controls, non-characters) are escaped. mosquitto drops the connection of who publishes a topic of
    /// more than 200 levels, so names past 64 separators are escaped too. 4,096 bytes leave room for an escaped name of 1,024 bytes.
    public static let nameRules = NameRules(
        reserved: [UInt8(ascii: "+"), UInt8(ascii: "#")], escapesControls: true, escapesLeadingDollar: true,
        lengthLimit: 4096, separatorLimit: 64)

    public static let options: [OptionDeclaration] = [
        OptionDeclaration(
            "version", .choice(["5", "3.1.1"]), default: "5",
            "Protocol version; 3.1.1 carries the header inside the payload."),
        OptionDeclaration(
            "qos", .choice(["auto", "0", "1", "2"]), default: "auto",
            "Quality of service both ways; auto is 0 for at_most_once and 1 for at_least_once."),
        OptionDeclaration(
            "keepalive", .duration(.seconds(5) ... .seconds(3600)), default: "30s",
            "A broker that says nothing for up to twice this long counts as lost."),
        OptionDeclaration(
            "session_expiry", .duration(.seconds(1) ... .seconds(30 * 86400)), default: "1h",
            "How long the broker keeps what arrives while we are away; at_least_once with version 5 only."),
        OptionDeclaration(
            "window", .integer(1...10000), default: "500", "Most messages under way to the broker without its answer."),
        OptionDeclaration(
            "connect_timeout", .duration(.milliseconds(100) ... .seconds(120)), default: "5s",
            "From the first packet to the broker's acceptance, TLS included."),
        OptionDeclaration(
            "retain", .boolean, default: "false", "Whether the broker keeps the last message of each topic."),
        OptionDeclaration(
            "mandatory", .boolean, default: "false",
            "Count a publish that no subscription matches as unroutable, with QoS 1 or 2 and version 5."),
        OptionDeclaration(
            "client_id", .text, default: "linkspan", "First part of the client identifier; instance and bridge follow."),
    ]

    public var carriesHeader: Bool { self.plan.version == .v5 }

    /// Before version 5 a broker sends its retained messages at each subscription.
    public var renewsSubscriptions: Bool { self.plan.version == .v5 }

    /// Shared subscriptions came with version 5.
    public var groupSupport: GroupSupport { self.plan.version == .v5 ? .byName : .none }

    private let plan: ConversationPlan
    private let memory = SessionMemory()

    public init(settings: BridgeSettings) throws(ConfigurationError) {
        self.plan = try ConversationPlan(settings: settings)
    }

    public func run(on link: BridgeLink) async throws {
        let (plan, memory) = (self.plan, self.memory)
        let accepted = try await LinkThread.run(name: "mqtt-\(plan.bridge)") { signal in
            try Acceptance.make(plan: plan, memory: memory, link: link, signal: signal)
        }
        guard let accepted else { return }
        let eventLoop = link.eventLoop ?? MultiThreadedEventLoopGroup.singleton.any()
        let conversation = try await eventLoop.submit {
            ThreadSlice.shorten()
            guard let connected = accepted.take() else { preconditionFailure("a connection that was taken twice") }
            return NIOLoopBound(
                Conversation(
                    plan: plan, memory: memory, link: link, eventLoop: eventLoop, connected: connected,
                    facts: accepted.facts), eventLoop: eventLoop)
        }.get()
        try await withTaskCancellationHandler {
            try await eventLoop.flatSubmit { conversation.value.start() }.get()
        } onCancel: {
            eventLoop.execute { conversation.value.leave() }
        }
    }
}
