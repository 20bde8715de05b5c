import LinkspanBridgeKit
import LinkspanBridgeTesting
import NIOCore
import TestSupport
import Testing

@testable import LinkspanRedis

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct DiscoveryTests {
    @Test func `where a slot has moved is understood`() {
        func address(_ text: String) -> String? {
            Redirection(text, from: "asked").map { "\($0.slot) \($0.address.host) \($0.address.port)" }
        }
        #expect(address("MOVED 3999 127.0.0.1:6381") == "3999 127.0.0.1 6381")
        #expect(address("MOVED 3999 ::1:6381") == "3999 ::1 6381")
        #expect(address("MOVED 3999 :6381") == "3999 asked 6381")
        for text in ["MOVED", "MOVED 1 x", "MOVED 1 x:0", "MOVED 1 x:99999", "MOVED 16384 x:1", "ASK 1 x:1", ""] {
            #expect(address(text) == nil)
        }
    }

    @Test func `a Sentinel names the primary, and the new one after a failover`() async throws {
        let first = try await LocalServer.start(.redis)
        var following = ServerOptions()
        following.configuration = "replicaof 127.0.0.1 \(first.port)"
        let second = try await LocalServer.start(.redis, following)
        let sentinel = try await RedisSentinel(watching: first, service: "main")
        let url = UpstreamURL(scheme: "redis+sentinel", host: "127.0.0.1", port: sentinel.port, path: "main")

        let settings = BridgeSettings(testing: RedisBridge.self, url: url, options: RedisSide.patient)
        try await BridgeConformance(settings: settings) { try RedisBridge(settings: $0) }
            .run([.connects, .delivers, .cancels, .restarts, .unreachable])
        let side = try RedisSide(url)
        try await side.conversation.wait(for: "a connection", atMost: .seconds(40)) { !$0.facts.isEmpty }
        try await sentinel.wait(for: second, of: "main")
        try await first.kill()
        #expect(try await side.upstreamError().code == .lost)

        // What the host does: try again until it works.
        let next = try await eventually(within: .seconds(60), every: .milliseconds(200), "a new primary") {
            let next = try RedisSide(url)
            try? await next.conversation.wait(for: "a connection", atMost: .seconds(40)) { !$0.facts.isEmpty }
            return next.conversation.read { !$0.facts.isEmpty } ? next : nil
        }
        try await next.subscribe(.exact("sc/a"))
        #expect(try await second.cli("PUBSUB", "NUMSUB", "sc/a") == ["sc/a", "1"])
        await next.leave()
    }

    @Test func `a service that the Sentinel does not know, and a replica that it should not name, are said`()
        async throws
    {
        let server = try await LocalServer.start(.redis)
        let sentinel = try await RedisSentinel(watching: server, service: "main")
        var url = UpstreamURL(scheme: "redis+sentinel", host: "127.0.0.1", port: sentinel.port, path: "other")
        let error = try await RedisSide(url).upstreamError()
        #expect(error.code == .unreachable && error.message.contains("no service of that name"))

        let primary = try await LocalServer.start(.redis)
        try await server.cli("REPLICAOF", "127.0.0.1", "\(primary.port)")
        url.path = "main"
        let replica = try await RedisSide(url).upstreamError()
        #expect(replica.code == .lost && replica.message.contains("replica"))
    }

    @Test func `in a cluster every node leads to the same channels`() async throws {
        let nodes = try await RedisCluster().primaries
        func url(_ index: Int) -> UpstreamURL {
            UpstreamURL(scheme: "redis+cluster", host: "127.0.0.1", port: nodes[index].port)
        }
        for options in [[:], ["mode": OptionValue.text("streams")]] {
            let (one, other) = (
                try RedisSide(url(0)) {
                    $0.options.merge(options) { $1 }
                    $0.instance = InstanceID("one")!
                },
                try RedisSide(url(1)) {
                    $0.options.merge(options) { $1 }
                    $0.instance = InstanceID("two")!
                }
            )
            for side in [one, other] {
                try await side.conversation.wait(for: "a connection", atMost: .seconds(40)) { !$0.facts.isEmpty }
            }
            try await other.subscribe(.exact("sc/a"))
            one.send((0..<1_000).map { "\($0)" }, to: "sc/a")
            #expect(try await other.received(1_000) == (0..<1_000).map { "\($0)" })
            try await one.confirmed(1_000)
            await one.leave()
            await other.leave()
            let settings = BridgeSettings(
                testing: RedisBridge.self, url: url(2), options: RedisSide.patient.merging(options) { $1 })
            try await BridgeConformance(settings: settings) { try RedisBridge(settings: $0) }.runAll()
        }
    }

    @Test func `a server that is no cluster is not taken for one`() async throws {
        let server = try await LocalServer.start(.redis)
        let url = UpstreamURL(scheme: "redis+cluster", host: "127.0.0.1", port: server.port)
        let error = try await RedisSide(url).upstreamError()
        #expect(error.code == .unreachable && error.message.contains("cluster support disabled"))
    }
}
