internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// A Redis that loses a server or moves its data, and goes on: so do the bridges, and what was lost meanwhile is accounted for to the message.
@Suite(.serialized, .enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct RedisFailoverTests {
    @Test func `a primary of a cluster is killed: what is lost is named, and with repair or streams nothing is`()
        async throws
    {
        let cluster = try await RedisCluster()
        let run = try await Run(Self.brokers(urls: cluster.urls), ["plain", "kept", "log", "shard"])
        try await run.publish(rounds: 20)
        // It is the one that all bridges talk to: the first of the URLs, and the one that has the stream.
        try #require(try await cluster.owner(of: Self.stream) === cluster.primaries[0])
        try await cluster.primaries[0].kill()
        try await run.publishUntilEverythingFlows()
        try await run.expectAccounts(losing: ["plain"])
        let role = try await cluster.replica.redis("ROLE").first
        #expect(role == "master")
        try await run.stop()
    }

    @Test func `slots are moved by hand while messages flow: nothing is lost and nothing comes twice`() async throws {
        let cluster = try await RedisCluster()
        let run = try await Run(Self.brokers(urls: cluster.urls), ["plain", "kept", "log", "shard"])
        async let publishing: Void = run.publish(rounds: 100)
        for target in [2, 1, 0] {
            try await cluster.moveSlot(of: Self.stream, to: cluster.primaries[target])
            let next = cluster.primaries[target]
            try await cluster.moveSlot(of: "sc/shard", to: next)
            _ = try await eventually("the bridges to follow the stream") {
                let clients = try await next.redis("CLIENT", "LIST")
                return clients.count { $0.contains("cmd=xread ") } == 2 ? true : nil
            }
            _ = try await eventually("the subscription to follow its slot") {
                try await next.redis("PUBSUB", "SHARDNUMSUB", "sc/shard").last == "1" ? true : nil
            }
        }
        try await publishing
        try await run.publishUntilEverythingFlows()
        try await run.expectAccounts(losing: [])
        try await run.stop()
    }

    @Test func `the primary that Sentinels watch is killed: what is lost is named, and with repair nothing is`()
        async throws
    {
        let primary = try await LocalServer.start(.redis, .appendOnly)
        var following = ServerOptions.appendOnly
        following.configuration += "replicaof 127.0.0.1 \(primary.port)"
        let replica = try await LocalServer.start(.redis, following)
        let sentinel = try await RedisSentinel(watching: primary, service: "main")
        try await sentinel.wait(for: replica, of: "main")
        let url = "redis+sentinel://127.0.0.1:\(sentinel.port)/main"
        let run = try await Run(Self.brokers(urls: [url]), ["plain", "kept", "log"])
        try await run.publish(rounds: 20)
        try await primary.kill()
        try await run.publishUntilEverythingFlows()
        try await run.expectAccounts(losing: ["plain"])
        #expect(try await replica.redis("ROLE").first == "master")
        try await run.stop()
    }

    /// Its slot, 3476, is the first primary's.
    private static let stream = "failover/c"

    private static func brokers(urls: [String]) -> String {
        let isCluster = urls[0].hasPrefix("redis+cluster")
        let urls = urls.map { "\"\($0)\"" }.joined(separator: ", ")
        let shards = "  shards: { type: redis, urls: [\(urls)], redis: { sharded: true } }"
        return (isCluster ? shards + "\n" : "") + """
              up: { type: redis, urls: [\(urls)] }
              streams: { type: redis, urls: [\(urls)], redis: { mode: streams, stream: "\(self.stream)" } }
            """
    }
}

/// Two instances with some bridges between them, and a publisher that counts.
private struct Run {
    let one: EmbeddedInstance
    let two: EmbeddedInstance
    let checker: Checker
    /// A channel for each bridge, of its name.
    let channels: [String]
    private let published = EventLog<Int>()

    /// Generous, since machines of CI are slow: what is tested is that everything comes, in order, and not how soon.
    private static let repair = "repair: { window: 5m, hold: 60s }"

    /// What each bridge has beside its channel, which has its name.
    private static let bridges = [
        "plain": "broker: up", "kept": "broker: up, \(Self.repair)", "shard": "broker: shards, \(Self.repair)",
        "log": "broker: streams, guarantee: at_least_once, \(Self.repair)",
    ]

    private static func bridge(_ name: String) -> String {
        let pace = "linger: 1s, retry: { initial: 50ms, max: 500ms }"
        return "  \(name): { channels: [\(name)], \(Self.bridges[name]!), \(pace) }"
    }

    /// Returns when the first message of each channel has come, which is number 1 or a later one.
    init(_ brokers: String, _ channels: [String]) async throws {
        self.channels = channels
        let bridges = channels.map(Self.bridge).joined(separator: "\n")
        self.one = try await EmbeddedInstance("one", brokers: brokers, bridges: bridges)
        self.two = try await EmbeddedInstance("two", brokers: brokers, bridges: bridges)
        self.checker = try Checker()
        try await self.checker.open("a", self.one.url)
        try await self.checker.open("b", self.two.url)
        try await self.checker.subscribe("b", channels)
        try await self.publishUntilEverythingFlows()
    }

    /// Publishes a number to every channel, each when the one before was answered: number `n` has sequence number `n`.
    func publish(rounds: Int) async throws {
        for _ in 0..<rounds {
            let number = self.published.count + 1
            self.published.append(number)
            for channel in self.channels { try await self.checker.publish("a", channel, .number(Double(number))) }
        }
    }

    func publishUntilEverythingFlows() async throws {
        let first = self.published.count + 1
        _ = try await eventually(within: .seconds(90), every: .milliseconds(100), "flow through every bridge") {
            try await self.publish(rounds: 1)
            return self.channels.allSatisfy { self.received($0).last ?? 0 >= first } ? true : nil
        }
    }

    /// What the client of the second instance received, in this order.
    private func received(_ channel: String) -> [Int] { self.checker.messages("b", channel).compactMap(\.int) }

    private func bridge(_ name: String) throws -> BridgeStatus {
        try #require(self.two.host.statuses.first { $0.name == name })
    }

    /// Everything came once and in order, but for what is named as missing, which is nothing outside `losing`.
    func expectAccounts(losing: Set<String>) async throws {
        for channel in self.channels {
            let first = try #require(self.received(channel).first)
            let due = Array(first...self.published.count)
            var seen = ""
            do {
                _ = try await eventually(within: .seconds(90), "an exact account of \(channel)") {
                    let bridge = try self.bridge(channel)
                    let (missing, received) = (bridge.gaps.missing(in: channel), self.received(channel))
                    seen = "\(bridge), due \(due.count), received \(received.count), named \(missing)"
                    let open = due.filter { !missing.contains($0) }
                    return received == open && missing.isSubset(of: due) ? true : nil
                }
            } catch let error as TimedOut {
                throw TimedOut(what: error.what, limit: error.limit, seen: seen)
            }
            let counts = try self.bridge(channel).gaps.counts
            #expect(counts.isBalanced, "\(channel): \(counts)")
            if !losing.contains(channel) {
                #expect(self.received(channel) == due, "\(channel): \(counts)")
            }
        }
        for instance in [self.one, self.two] {
            for bridge in instance.host.statuses {
                #expect(bridge.egress.isBalanced && bridge.ingress.isBalanced, "\(bridge)")
                #expect(bridge.strayTickets == 0)
            }
        }
    }

    func stop() async throws {
        try await self.one.stop()
        try await self.two.stop()
    }
}
