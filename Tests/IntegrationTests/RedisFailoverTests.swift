internal import TestSupport
internal import Testing

/// A Redis that loses a server or moves its data, and goes on: so do the bridges, and what was lost meanwhile is accounted for to the message.
@Suite(.serialized, .enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct RedisFailoverTests {
    @Test func `a primary of a cluster is killed: what is lost is named, and with repair or streams nothing is`()
        async throws
    {
        let cluster = try await RedisCluster()
        let run = try await CountedTraffic(Self.brokers(urls: cluster.urls), Self.bridges)
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
        let run = try await CountedTraffic(Self.brokers(urls: cluster.urls), Self.bridges)
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
        let run = try await CountedTraffic(
            Self.brokers(urls: [url]), Self.bridges.filter { $0.key != "shard" })
        try await run.publish(rounds: 20)
        try await primary.kill()
        try await run.publishUntilEverythingFlows()
        try await run.expectAccounts(losing: ["plain"])
        #expect(try await replica.redis("ROLE").first == "master")
        try await run.stop()
    }

    /// Its slot, 3476, is the first primary's.
    private static let stream = "failover/c"

    private static let bridges = [
        "plain": "broker: up", "kept": "broker: up, \(CountedTraffic.repair)",
        "shard": "broker: shards, \(CountedTraffic.repair)",
        "log": "broker: streams, guarantee: at_least_once, \(CountedTraffic.repair)",
    ]

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
