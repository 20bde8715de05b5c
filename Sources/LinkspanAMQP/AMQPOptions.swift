internal import LinkspanBridgeKit

/// What the `amqp` block of a broker in `bridges.yaml` sets, with the bridge's own facts beside it.
struct AMQPOptions: Sendable {
    var exchange: String
    var isExchangeDurable: Bool
    /// Either side counts the other as gone after two of these without a byte.
    var heartbeat: Duration
    /// Bytes.
    var frameLimit: Int
    /// Most deliveries that the upstream sends ahead of our acknowledgements.
    var prefetch: Int
    /// Most publishes ahead of the upstream's confirms.
    var window: Int
    var isQuorum: Bool
    /// How long a kept queue outlives its last consumer.
    var queueExpiry: Duration
    var isMandatory: Bool
    var connectTimeout: Duration
    var confirmTimeout: Duration
    /// The instance's own queue; with a group it has the reserved channels only.
    var queue: String
    /// The queue that the instances of a group share; nil without a group.
    var groupQueue: String?
    var guarantee: Guarantee

    init(_ settings: BridgeSettings) {
        self.exchange = settings.text("exchange")
        self.isExchangeDurable = settings.boolean("exchange_durable")
        self.heartbeat = settings.duration("heartbeat")
        self.frameLimit = settings.size("frame_max")
        self.prefetch = settings.integer("prefetch")
        self.window = settings.integer("window")
        self.isQuorum = settings.text("queue_type") == "quorum"
        self.queueExpiry = settings.duration("queue_expires")
        self.isMandatory = settings.boolean("mandatory")
        self.connectTimeout = settings.duration("connect_timeout")
        self.confirmTimeout = settings.duration("confirm_timeout")
        let queue = "linkspan.\(settings.instance).\(settings.name)"
        // A kept queue of the same name, from a time without a group, would still have its bindings.
        self.queue = settings.consumerGroup == nil ? queue : "\(queue):reserved"
        // No instance can be called so, hence no instance's own queue.
        self.groupQueue = settings.consumerGroup.map { [exchange] in "linkspan.group:\($0)@\(exchange)" }
        self.guarantee = settings.guarantee
    }

    static let declarations: [OptionDeclaration] = [
        OptionDeclaration(
            "exchange", .text, default: "linkspan",
            "The topic exchange that the instances share; declared when it is missing."),
        OptionDeclaration(
            "exchange_durable", .boolean, default: "true", "Whether the exchange survives a restart of the broker."),
        OptionDeclaration(
            "heartbeat", .duration(.seconds(1)...(.seconds(300))), default: "10s",
            "A connection without a byte for two of these counts as lost."),
        OptionDeclaration(
            "frame_max", .size(16_384...131_072), default: "128KiB", "Largest AMQP frame; longer messages are split."),
        OptionDeclaration(
            "prefetch", .integer(1...65_535), default: "500",
            "Most deliveries ahead of our acknowledgements, with at_least_once."),
        OptionDeclaration(
            "window", .integer(1...65_535), default: "1000",
            "Most publishes ahead of the confirms, with at_least_once; past 256 only while that brings more confirms."),
        OptionDeclaration(
            "queue_type", .choice(["classic", "quorum"]), default: "classic",
            "Type of the kept queue, with at_least_once; quorum survives the loss of a cluster node."),
        OptionDeclaration(
            "queue_expires", .duration(.seconds(1)...(.seconds(2_592_000))), default: "1h",
            "How long the kept queue outlives its instance, with at_least_once."),
        OptionDeclaration(
            "mandatory", .boolean, default: "false",
            "Count a publish that no queue is bound for as unroutable, with at_least_once."),
        OptionDeclaration(
            "connect_timeout", .duration(.milliseconds(100)...(.seconds(60))), default: "5s",
            "Limit of each step towards a connection: TCP, TLS and log-in, every declaration."),
        OptionDeclaration(
            "confirm_timeout", .duration(.seconds(1)...(.seconds(600))), default: "30s",
            "A publish that is unconfirmed for so long, while the broker does not say that it blocks, ends the connection."
        ),
    ]
}
