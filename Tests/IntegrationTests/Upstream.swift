internal import TestSupport

/// A real broker between two instances, with the questions that only the broker itself can answer.
protocol Upstream: Sendable {
    static var kind: ServerKind { get }
    var server: LocalServer { get }

    /// The entry of `brokers` in `bridges.yaml`, named `up`.
    var configuration: String { get }

    /// The upstream name of a channel by the default template.
    func name(of channel: String) -> String

    /// Publishes with the broker's stock tool, which knows nothing of Linkspan.
    func publish(_ text: String, to channel: String) async throws

    /// How many subscriptions the broker holds for these channels, all instances together.
    func subscriptions(to channels: [String]) async throws -> Int
}

extension Upstream {
    /// ``configuration`` under another name, with limits that only an upstream meets which is really gone: for tests in which one link
    /// must not be lost.
    func patientConfiguration(named name: String) -> String {
        self.configuration.replacing("  up:", with: "  \(name):")
            .replacing("ping_interval: 1s, ping_timeout: 3s", with: "ping_timeout: 60s")
            .replacing("keepalive: 5s", with: "keepalive: 60s")
            .replacing("heartbeat: 2s", with: "heartbeat: 60s")
    }

    /// Waits until the broker says that it holds this many subscriptions for these channels.
    func wait(for count: Int, subscriptionsTo channels: [String], within limit: Duration = .seconds(60)) async throws {
        var last = -1
        do {
            _ = try await eventually(within: limit, every: .milliseconds(100), "subscriptions at the broker") {
                last = try await self.subscriptions(to: channels)
                return last == count ? true : nil
            }
        } catch let error as TimedOut {
            throw TimedOut(what: "\(count) \(error.what)", limit: error.limit, seen: "\(last)")
        }
    }
}

struct MQTTUpstream: Upstream {
    static let kind = ServerKind.mosquitto
    let server: LocalServer

    init(_ options: ServerOptions = ServerOptions()) async throws {
        self.server = try await LocalServer.start(.mosquitto, options)
    }

    var configuration: String {
        """
          up:
            type: mqtt
            urls: ["\(self.server.url)"]
            mqtt: { keepalive: 5s }
        """
    }

    func name(of channel: String) -> String { "sc/\(channel)" }

    func publish(_ text: String, to channel: String) async throws {
        try await ChildProcess.run(
            "mosquitto_pub", ["-p", "\(self.server.port)", "-t", self.name(of: channel), "-m", text])
    }

    func subscriptions(to channels: [String]) async throws -> Int {
        let topics = Set(channels.map { self.name(of: $0) })
        return self.subscriptions { topics.contains($0) }
    }

    /// How many topics and filters stock programs have subscribed to.
    var foreignSubscriptions: Int { self.subscriptions { $0.hasSuffix("#") || $0.hasSuffix("+") } }

    /// mosquitto answers no question about single topics, but its log tells: `1795240110: <client> <qos> <topic>` for a subscription,
    /// and the same without the number for its end.
    private func subscriptions(to isMeant: (String) -> Bool) -> Int {
        var held: Set<[String]> = []
        for line in self.server.log {
            let words = line.split(separator: " ").dropFirst().map(String.init)
            if words.first == "Client", words.count > 1 {
                held = held.filter { $0[0] != words[1] }
            } else if words.count == 3, Int(words[1]) != nil {
                held.insert([words[0], words[2]])
            } else if words.count == 2 {
                held.remove(words)
            }
        }
        return held.count { isMeant($0[1]) }
    }
}

struct RedisUpstream: Upstream {
    static let kind = ServerKind.redis
    let server: LocalServer

    init(_ options: ServerOptions = .appendOnly) async throws {
        self.server = try await LocalServer.start(.redis, options)
    }

    var configuration: String {
        """
          up:
            type: redis
            urls: ["\(self.server.url)"]
            redis: { ping_interval: 1s, ping_timeout: 3s }
        """
    }

    func name(of channel: String) -> String { "sc/\(channel)" }

    func publish(_ text: String, to channel: String) async throws {
        try await self.ask("PUBLISH", self.name(of: channel), text)
    }

    func subscriptions(to channels: [String]) async throws -> Int {
        // The answer alternates names and numbers.
        let lines = try await self.ask(["PUBSUB", "NUMSUB"] + channels.map { self.name(of: $0) })
        return stride(from: 1, to: lines.count, by: 2).reduce(0) { $0 + (Int(lines[$1]) ?? 0) }
    }

    @discardableResult
    func ask(_ words: String...) async throws -> [String] { try await self.ask(words) }

    private func ask(_ words: [String]) async throws -> [String] {
        try await ChildProcess.run("redis-cli", ["-p", "\(self.server.port)"] + words)
    }
}

struct AMQPUpstream: Upstream {
    static let kind = ServerKind.rabbitMQ
    let server: LocalServer
    let virtualHost: String

    var configuration: String {
        """
          up:
            type: amqp
            urls: ["\(self.server.url(virtualHost: self.virtualHost))"]
            username: guest
            password: guest
            amqp: { heartbeat: 2s }
        """
    }

    func name(of channel: String) -> String { "sc." + channel.replacing("/", with: ".") }

    func publish(_ text: String, to channel: String) async throws {
        try await ChildProcess.run(
            "amqp-publish",
            [
                "-u", self.server.url(virtualHost: self.virtualHost), "-e", "linkspan", "-r", self.name(of: channel),
                "-b", text,
            ])
    }

    func subscriptions(to channels: [String]) async throws -> Int {
        let names = Set(channels.map { self.name(of: $0) })
        let lines = try await self.server.control(
            "list_bindings", "-p", self.virtualHost, "routing_key", "source_name", "--no-table-headers")
        return lines.filter { line in
            let columns = line.split(separator: "\t")
            return columns.count == 2 && columns[1] == "linkspan" && names.contains(String(columns[0]))
        }.count
    }
}

/// Runs a test body against each kind of broker.
enum UpstreamKind: String, CaseIterable, Sendable {
    case mqtt, redis, amqp

    var isAvailable: Bool {
        switch self {
        case .mqtt: ServerKind.mosquitto.canBeTested
        case .redis: ServerKind.redis.canBeTested
        case .amqp: ServerKind.rabbitMQ.canBeTested
        }
    }

    /// A broker that is left running.
    func withCalm(_ body: (any Upstream) async throws -> Void) async throws {
        switch self {
        case .mqtt: try await body(try await MQTTUpstream())
        case .redis: try await body(try await RedisUpstream())
        case .amqp:
            try await SharedRabbitMQ.withVirtualHost { server, host in
                try await body(AMQPUpstream(server: server, virtualHost: host))
            }
        }
    }

    /// A broker that the test may kill and freeze.
    func withFaults(_ body: (any Upstream) async throws -> Void) async throws {
        switch self {
        case .mqtt, .redis: try await self.withCalm(body)
        case .amqp:
            try await SharedRabbitMQ.withFaults { server, host in
                try await body(AMQPUpstream(server: server, virtualHost: host))
            }
        }
    }
}
