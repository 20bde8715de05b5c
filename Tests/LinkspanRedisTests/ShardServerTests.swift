import LinkspanBridgeKit
import LinkspanBridgeTesting
import NIOCore
import TestSupport
import Testing

@testable import LinkspanRedis

/// Sharded Pub/Sub on a real cluster.
@Suite(.serialized, .enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct ShardServerTests {
    private static let sharded: [String: OptionValue] = ["sharded": .boolean(true)]

    private static func settings(_ cluster: RedisCluster) -> BridgeSettings {
        BridgeSettings(
            testing: RedisBridge.self, url: self.url(cluster.primaries[0]),
            options: RedisSide.patient.merging(self.sharded) { $1 })
    }

    private static func url(_ node: LocalServer) -> UpstreamURL {
        UpstreamURL(scheme: "redis+cluster", host: "127.0.0.1", port: node.port)
    }

    private static func side(_ cluster: RedisCluster, from index: Int = 0) async throws -> RedisSide {
        let side = try RedisSide(self.url(cluster.primaries[index])) { $0.options.merge(self.sharded) { $1 } }
        try await side.conversation.wait(for: "a connection", atMost: side.limit) { !$0.facts.isEmpty }
        return side
    }

    /// One name in the slots of each primary: 3,476, 10,478 and 13,649.
    private static let names = ["failover/c", "failover/stream", "failover/stream/1"]

    /// The nodes that hold a subscription to `name`.
    private static func holders(of name: String, in cluster: RedisCluster) async throws -> [Int] {
        var holders: [Int] = []
        for (index, node) in cluster.primaries.enumerated() {
            let answer = try await node.redis("PUBSUB", "SHARDNUMSUB", name)
            if answer.last != "0" { holders.append(index) }
        }
        return holders
    }

    @Test func `the bridge keeps the contract, and each channel is at the node of its slot alone`() async throws {
        let cluster = try await RedisCluster()
        try await BridgeConformance(settings: Self.settings(cluster)) { try RedisBridge(settings: $0) }.runAll()

        let (one, other) = (try await Self.side(cluster), try await Self.side(cluster, from: 2))
        for name in Self.names { try await other.subscribe(.exact(name)) }
        for (index, name) in Self.names.enumerated() {
            #expect(try await Self.holders(of: name, in: cluster) == [index])
        }
        let count = 3_000
        one.conversation.add(
            egress: (0..<count).map { number in
                let payload = ByteBuffer(string: "\(number)")
                return EgressMessage(
                    ticket: UInt64(number + 1), name: Self.names[number % 3], payload: payload, header: nil)
            })
        try await one.confirmed(count)
        _ = try await other.received(count)
        for (index, name) in Self.names.enumerated() {
            let texts = other.conversation.read { state in
                state.received.filter { $0.name == name }.map { String(buffer: $0.payload) }
            }
            #expect(texts == stride(from: index, to: count, by: 3).map { "\($0)" })
        }
        // Stock tools take part.
        let lines = try await cluster.primaries[1].redis("SPUBLISH", Self.names[1], "from outside")
        #expect(lines == ["1"])
        #expect(try await other.received(count + 1).last == "from outside")

        other.unsubscribe(.exact(Self.names[0]))
        _ = try await eventually("the name to be left") {
            try await Self.holders(of: Self.names[0], in: cluster) == [] ? true : nil
        }
        await one.leave()
        await other.leave()
    }

    @Test func `a slot that moves takes channel and messages along, in order and without a new connection`()
        async throws
    {
        let cluster = try await RedisCluster()
        let (sender, receiver) = (try await Self.side(cluster), try await Self.side(cluster))
        let name = Self.names[0]
        try await receiver.subscribe(.exact(name))
        var sent = 0
        func send(_ count: Int) async throws {
            sender.send((sent..<sent + count).map { "\($0)" }, to: name, firstTicket: UInt64(sent + 1))
            sent += count
            try await sender.confirmed(sent)
        }
        try await send(100)
        for target in [1, 2, 0] {
            async let moving: Void = cluster.moveSlot(of: name, to: cluster.primaries[target])
            try await send(2_000)
            try await moving
            _ = try await eventually("the subscription to follow") {
                try await Self.holders(of: name, in: cluster) == [target] ? true : nil
            }
            try await send(100)
        }
        // What was published between the move and the new subscription is lost to Pub/Sub; the rest came once and in order.
        let last = "\(sent - 1)"
        try await receiver.conversation.wait(for: "the last message", atMost: receiver.limit) {
            $0.received.last.map { String(buffer: $0.payload) } == last
        }
        let received = receiver.conversation.read { $0.received.compactMap { Int(String(buffer: $0.payload)) } }
        #expect(received == Array(Set(received)).sorted())
        #expect(received.starts(with: 0..<100) && Set(received).isSuperset(of: sent - 100..<sent))
        #expect(sender.conversation.read { $0.facts.count } == 1 && receiver.conversation.read { $0.facts.count } == 1)
        await sender.leave()
        await receiver.leave()
    }

    @Test func `a server without sharded Pub/Sub, and one without a cluster, are told at the connection`() async throws
    {
        var options = ServerOptions()
        options.configuration = "cluster-enabled yes\ncluster-port \(TestPorts.next())"
        let unfinished = try await LocalServer.start(.redis, options)
        try await unfinished.redis("CLUSTER", "ADDSLOTSRANGE", "0", "16382")
        options.configuration = "cluster-enabled yes\ncluster-port \(TestPorts.next())\nrename-command SPUBLISH \"\""
        let old = try await LocalServer.start(.redis, options)
        func error(_ server: LocalServer) async throws -> UpstreamError {
            try await RedisSide(Self.url(server)) { $0.options.merge(Self.sharded) { $1 } }.upstreamError()
        }
        var seen = try await error(unfinished)
        #expect(seen.code == .unreachable && seen.message.contains("no node has 1 slots"), "\(seen)")
        seen = try await error(old)
        #expect(seen.code == .refused && seen.message.contains("came with Redis 7.0"), "\(seen)")
        seen = try await error(try await LocalServer.start(.redis))
        #expect(seen.code == .unreachable && seen.message.contains("cluster support disabled"), "\(seen)")
    }
}
