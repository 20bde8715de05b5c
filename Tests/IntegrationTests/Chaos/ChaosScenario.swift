internal import Glibc
internal import TestSupport
internal import Testing

/// A broker and what is promised over it.
struct ChaosScenario: Sendable, CustomTestStringConvertible {
    enum Promise: String, Sendable {
        /// What is under way when a connection breaks is lost, and named.
        case named = "at_most_once"
        case repaired = "at_most_once, repair"
        case kept = "at_least_once, buffer on disk"
    }

    /// How many servers the broker has.
    enum Place: String, Sendable {
        case single = ""
        case cluster = ", Cluster"
        case sentinel = ", Sentinel"
    }

    var kind: UpstreamKind
    var promise: Promise
    var place: Place
    /// Whether only a connection counts as lost that is closed, however long nothing comes: machines of CI are slow.
    var isPatient = false
    /// Whether the instances log in as a user who can be turned away.
    var logsIn = false
    /// Whether the broker keeps hardly anything for who is away, from its start; for mosquitto, which cannot be told later.
    var hasShortQueues = false

    init(_ kind: UpstreamKind, _ promise: Promise, _ place: Place = .single) {
        self.kind = kind
        self.promise = promise
        self.place = place
    }

    var losesNothing: Bool { self.promise != .named }

    var broker: String {
        switch (self.kind, self.promise) {
        case (.mqtt, _): "mosquitto"
        case (.redis, .kept): "Redis Streams\(self.place.rawValue)"
        case (.redis, _): "Redis Pub/Sub\(self.place.rawValue)"
        case (.amqp, _): "RabbitMQ"
        }
    }

    var testDescription: String { "\(self.broker), \(self.promise.rawValue)" }

    /// The rule of both instances. Patience costs nothing here: what is tested is what comes, and not how soon.
    var bridges: String {
        let further =
            switch self.promise {
            case .named: ""
            case .repaired: "repair: { window: 5m, hold: 60s }"
            case .kept:
                """
                guarantee: at_least_once
                    ack: buffered
                    interest: always
                    buffer: { type: disk, size: 64MiB, when_full: block }
                """
            }
        return """
              up:
                broker: up
                linger: 5s
                retry: { initial: 50ms, max: 500ms }
                \(further)
            """
    }

    func brokers(_ upstream: any Upstream) -> String {
        var text = self.isPatient ? upstream.patientConfiguration(named: "up") : upstream.configuration
        if self.kind == .redis, self.promise == .kept {
            // In a cluster the stream is where the first server is: the slot of its name is of the first third.
            let stream = self.place == .single ? "" : " stream: failover/c,"
            text = text.replacing("redis: {", with: "redis: { mode: streams,\(stream)")
        }
        guard self.logsIn else { return text }
        let lines = text.split(separator: "\n").filter { !$0.contains("username:") && !$0.contains("password:") }
        return lines.joined(separator: "\n")
            + "\n    username: \(Self.user)\n    password: \(Self.password)"
    }

    /// Runs `body` with a broker of this kind that may be hurt, and that keeps what it acknowledged if that is promised.
    /// - Parameter folder: where mosquitto and Redis write; nil for one of their own.
    func withUpstream(folder: String? = nil, _ body: (any Upstream) async throws -> Void) async throws {
        var options = ServerOptions()
        if self.kind == .redis, self.promise == .kept { options.configuration = "appendonly yes\nappendfsync always" }
        options.dataFolder = folder
        switch (self.kind, self.place) {
        case (.amqp, _): try await self.kind.withFaults(body)
        case (.mqtt, _):
            if self.hasShortQueues { options.configuration += "\nmax_queued_messages 200" }
            if self.logsIn { options.users = [Self.user: Self.password] }
            try await body(try await MQTTUpstream(options))
        case (.redis, .single):
            if self.logsIn {
                options.accessList =
                    "user default on nopass ~* &* +@all\nuser \(Self.user) on >\(Self.password) ~* &* +@all\n"
            }
            try await body(try await RedisUpstream(options))
        case (.redis, .cluster): try await body(RedisGroup(cluster: try await RedisCluster()))
        case (.redis, .sentinel): try await body(try await RedisGroup(watched: options))
        }
    }
}

// MARK: Credentials

extension ChaosScenario {
    private static let user = "bridge"
    private static let password = "first"

    /// Of a stock program of mosquitto.
    var login: [String] { self.logsIn ? ["-u", Self.user, "-P", Self.password] : [] }

    /// Lets the user of the instances in, for the first time or again.
    func giveLogin(at upstream: any Upstream) async throws {
        guard self.logsIn else { return }
        switch upstream {
        case let upstream as AMQPUpstream:
            // One that an earlier run on the same server left.
            _ = try? await upstream.server.control("delete_user", Self.user)
            try await upstream.server.control("add_user", Self.user, Self.password)
            try await upstream.server.control(
                "set_permissions", "-p", upstream.virtualHost, Self.user, ".*", ".*", ".*")
        case is RedisUpstream: try await upstream.server.redis("ACL", "SETUSER", Self.user, "on")
        default: try await self.setPassword(Self.password, at: upstream.server)
        }
    }

    /// Turns it away, and ends the connections that it has.
    func revokeLogin(at upstream: any Upstream) async throws {
        switch upstream {
        case is AMQPUpstream:
            // Its connections end with it.
            try await upstream.server.control("delete_user", Self.user)
        case is RedisUpstream:
            try await upstream.server.redis("ACL", "SETUSER", Self.user, "off")
            try await upstream.server.redis("CLIENT", "KILL", "USER", Self.user)
        default: try await self.setPassword("second", at: upstream.server)
        }
    }

    private func setPassword(_ password: String, at server: LocalServer) async throws {
        try await ChildProcess.run(
            "mosquitto_passwd", ["-b", server.folder.file("passwords"), Self.user, password])
        // mosquitto reads its passwords again, and closes the connections of those who would not be let in now.
        server.signal(SIGHUP)
    }
}

/// Several Redis servers, the first of which may die.
struct RedisGroup: Upstream {
    static let kind = ServerKind.redis
    let server: LocalServer
    let configuration: String
    /// Held, because they end with the last reference.
    private let others: [any Sendable]

    init(cluster: RedisCluster) {
        self.server = cluster.primaries[0]
        self.configuration = Self.configuration(cluster.urls)
        self.others = [cluster]
    }

    /// A primary and its replica, watched by a Sentinel.
    init(watched options: ServerOptions) async throws {
        self.server = try await LocalServer.start(.redis, options)
        var following = options
        following.configuration += "\nreplicaof 127.0.0.1 \(self.server.port)"
        let replica = try await LocalServer.start(.redis, following)
        let sentinel = try await RedisSentinel(watching: self.server, service: "main")
        try await sentinel.wait(for: replica, of: "main")
        self.configuration = Self.configuration(["redis+sentinel://127.0.0.1:\(sentinel.port)/main"])
        self.others = [replica, sentinel]
    }

    private static func configuration(_ urls: [String]) -> String {
        let list = urls.map { "\"\($0)\"" }.joined(separator: ", ")
        return """
              up:
                type: redis
                urls: [\(list)]
                redis: { ping_interval: 1s, ping_timeout: 3s }
            """
    }

    func name(of channel: String) -> String { "sc/\(channel)" }
    func publish(_ text: String, to channel: String) async throws {
        try await self.server.redis("PUBLISH", self.name(of: channel), text)
    }

    func subscriptions(to channels: [String]) async throws -> Int {
        let lines = try await self.server.redis(["PUBSUB", "NUMSUB"] + channels.map { self.name(of: $0) })
        return lines.compactMap { Int($0) }.reduce(0, +)
    }
}
