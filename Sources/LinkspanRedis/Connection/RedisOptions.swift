internal import LinkspanBridgeKit
internal import NIOCore

/// The settings of a Redis bridge, checked.
struct RedisOptions: Sendable {
    enum Mode: String, Sendable, CaseIterable {
        case pubsub, streams
    }

    var mode: Mode
    /// Whether channels are spread over the nodes of a cluster by their names.
    var isSharded: Bool
    var database: Int
    var window: Int
    var connectTimeout: TimeAmount
    var pingInterval: TimeAmount
    var pingTimeout: TimeAmount
    var clientName: String
    /// The key of the stream that all messages of this broker go through.
    var stream: String
    var streamLimit: Int
    /// The group of instances that share the stream; nil when each reads all of it.
    var group: StreamGroup?
    /// Where this instance notes how far it has read.
    var positionKey: String
    var username: String?
    var password: Secret?
    var tls: TLSFiles
    var guarantee: Guarantee
    /// From one look at what the guarantee rests on to the next, about; nil looks when connecting only.
    var reviewInterval: Duration?

    static let declarations = [
        OptionDeclaration(
            "mode", .choice(Mode.allCases.map(\.rawValue)), default: "pubsub",
            "`pubsub` is fast and forgets what nobody receives; `streams` keeps messages and makes at_least_once possible."
        ),
        OptionDeclaration(
            "sharded", .boolean, default: "false",
            "With mode pubsub and URLs of a cluster: each channel is at one node instead of all (Redis 7.0 and later)."),
        OptionDeclaration(
            "stream", .text, default: "sc/stream", "With mode streams: the key of the stream that carries all channels."
        ),
        OptionDeclaration(
            "maxlen", .integer(100...100_000_000), default: "100000",
            "With mode streams: about how many messages Redis keeps; who is further behind has lost the older ones."),
        OptionDeclaration(
            "claim_after", .duration(.milliseconds(200) ... .seconds(86_400)), default: "30s",
            "With mode streams and consume one_of: what an instance took and did not acknowledge for so long goes to another."
        ),
        OptionDeclaration(
            "database", .integer(0...15), default: "0", "With mode streams: the database that holds the stream."),
        OptionDeclaration(
            "window", .integer(1...65_536), default: "4096", "Most messages sent and not yet answered by Redis."),
        OptionDeclaration(
            "connect_timeout", .duration(.milliseconds(100) ... .seconds(60)), default: "5s",
            "How long connecting, TLS and logging in may take together."),
        OptionDeclaration(
            "ping_interval", .duration(.milliseconds(100) ... .seconds(3600)), default: "5s",
            "How often Redis is asked for a sign of life."),
        OptionDeclaration(
            "ping_timeout", .duration(.milliseconds(200) ... .seconds(3600)), default: "10s",
            "How long Redis may stay silent before the connection counts as lost."),
        OptionDeclaration(
            "review", .duration(.zero ... .seconds(86_400)), default: "60s",
            "With at_least_once: how often Redis is asked again whether it keeps what that rests on; 0s asks when connecting only."
        ),
        OptionDeclaration(
            "client_name", .text, default: "",
            "What `CLIENT LIST` shows; by default `linkspan:` with the names of instance and bridge."),
    ]

    /// - Throws: ``ConfigurationError`` with every problem found.
    init(_ settings: BridgeSettings) throws(ConfigurationError) {
        self.mode = Mode(rawValue: settings.text("mode")) ?? .pubsub
        self.isSharded = settings.boolean("sharded")
        self.database = settings.integer("database")
        self.window = settings.integer("window")
        self.connectTimeout = TimeAmount(settings.duration("connect_timeout"))
        self.pingInterval = TimeAmount(settings.duration("ping_interval"))
        self.pingTimeout = TimeAmount(settings.duration("ping_timeout"))
        self.stream = settings.text("stream")
        self.streamLimit = settings.integer("maxlen")
        // The braces keep it on the node of a cluster that has the stream.
        let keyPrefix = self.stream.contains("{") ? self.stream : "{\(self.stream)}"
        self.positionKey = "\(keyPrefix):position:\(settings.instance)"
        self.group = settings.consumerGroup.map { name in
            StreamGroup(
                name: name, consumer: settings.instance.string, unsharedStream: "\(keyPrefix):instances",
                unsharedNames: settings.unsharedNames, claimAfter: TimeAmount(settings.duration("claim_after")),
                acknowledges: settings.guarantee == .atLeastOnce)
        }
        self.username = settings.username
        self.password = settings.password
        self.tls = settings.tls
        self.guarantee = settings.guarantee
        let review = settings.duration("review")
        self.reviewInterval = review > .zero ? review : nil
        let name = settings.text("client_name")
        self.clientName = name.isEmpty ? "linkspan:\(settings.instance):\(settings.name)" : name
        try self.check(settings)
    }

    private func check(_ settings: BridgeSettings) throws(ConfigurationError) {
        var problems: [ConfigurationError.Problem] = []
        func problem(_ key: String, _ message: String, _ hint: String?) {
            let path = key.isEmpty ? settings.optionsPath : "\(settings.optionsPath).\(key)"
            problems.append(ConfigurationError.Problem(path: path, message: message, hint: hint))
        }
        if settings.guarantee == .atLeastOnce, self.mode == .pubsub {
            problem(
                "mode", "guarantee at_least_once is not possible with redis mode pubsub",
                "choose redis mode streams, or guarantee at_most_once")
        }
        if settings.consumerGroup != nil, self.mode == .pubsub {
            problem(
                "mode", "consume: one_of is not possible with redis mode pubsub, which gives everybody everything",
                "choose redis mode streams, or leave out consume")
        }
        if self.isSharded {
            if self.mode == .streams {
                problem("sharded", "a stream is at one node of a cluster", "leave out sharded, or choose mode pubsub")
            }
            for url in settings.urls where !url.scheme.hasSuffix("+cluster") {
                problem(
                    "sharded", "\(url) is not a cluster, which sharded Pub/Sub needs",
                    "leave out sharded, or write \(url.scheme.hasPrefix("rediss") ? "rediss" : "redis")+cluster://")
            }
        }
        if self.pingTimeout <= self.pingInterval {
            problem(
                "ping_timeout", "must be longer than ping_interval, or a healthy connection counts as lost",
                "twice the ping_interval is usual")
        }
        // CLIENT SETNAME refuses these.
        if !self.clientName.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            problem("client_name", "Redis allows no spaces, controls or non-ASCII characters in a client's name", nil)
        }
        if self.stream.isEmpty { problem("stream", "the key of the stream is empty", nil) }
        for url in settings.urls where url.scheme.hasSuffix("+sentinel") && url.path == nil {
            problem("", "\(url) names no service", "write the name of the primary as path, such as \(url)/mymaster")
        }
        if settings.urls.contains(where: { $0.scheme.hasSuffix("+cluster") }), self.database != 0 {
            problem("database", "a Redis Cluster has only database 0", nil)
        }
        if settings.username != nil, settings.password == nil {
            problem("", "a user name without a password", "give the password, or leave out the user name")
        }
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }

    func login(
        withCredentials hasCredentials: Bool = true, mustBePrimary: Bool = false, promises: StreamPromises? = nil
    ) -> Login {
        Login(
            username: hasCredentials ? self.username : nil, password: hasCredentials ? self.password : nil,
            database: self.mode == .streams ? self.database : 0, clientName: self.clientName,
            mustBePrimary: mustBePrimary, mustHaveShards: self.isSharded, promises: promises)
    }
}
