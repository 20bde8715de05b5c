import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanRedis
import NIOCore
import TestSupport
import Testing

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct PubSubServerTests {
    @Test func `ten thousand messages each way arrive once and in order`() async throws {
        let server = try await LocalServer.start(.redis)
        let (one, other) = (try await RedisSide.connected(to: server), try await RedisSide.connected(to: server))
        try await one.subscribe(.exact("sc/to-one"))
        try await other.subscribe(.exact("sc/to-other"))
        let texts = (0..<10_000).map { "{\"n\":\($0)}" }
        one.send(texts, to: "sc/to-other")
        other.send(texts, to: "sc/to-one")
        #expect(try await one.received(10_000) == texts)
        #expect(try await other.received(10_000) == texts)
        try await one.confirmed(10_000)
        try await other.confirmed(10_000)
        await one.leave()
        await other.leave()
    }

    @Test func `redis-cli and the bridge understand each other`() async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await RedisSide.connected(to: server)
        try await side.subscribe(.exact("sc/news"))
        try await server.cli("PUBLISH", "sc/news", "{\"hello\":\"world\"}")
        #expect(try await side.received(1) == ["{\"hello\":\"world\"}"])

        let listener = try ChildProcess("redis-cli", ["-p", "\(server.port)", "SUBSCRIBE", "sc/out"])
        _ = try await listener.output.wait(count: 3, "lines of redis-cli about its subscription")
        side.send(["{\"from\":\"us\"}"], to: "sc/out")
        let lines = try await listener.output.wait(count: 6, "lines of redis-cli")
        #expect(lines.suffix(3) == ["message", "sc/out", "{\"from\":\"us\"}"])
        await side.leave()
    }

    @Test func `a channel is subscribed once, and not at all when it is left`() async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await RedisSide.connected(to: server)
        try await side.subscribe(.exact("sc/a"), .exact("sc/b"))
        #expect(try await server.cli("PUBSUB", "NUMSUB", "sc/a", "sc/b") == ["sc/a", "1", "sc/b", "1"])
        // A wider filter takes over, and gives back.
        try await side.subscribe(.prefix("sc/"))
        _ = try await eventually("the covered names to be left") {
            try await server.cli("PUBSUB", "NUMSUB", "sc/a", "sc/b") == ["sc/a", "0", "sc/b", "0"] ? true : nil
        }
        #expect(try await server.cli("PUBSUB", "NUMPAT") == ["1"])
        side.unsubscribe(.prefix("sc/"))
        _ = try await eventually("the names to be subscribed again") {
            try await server.cli("PUBSUB", "NUMSUB", "sc/a", "sc/b") == ["sc/a", "1", "sc/b", "1"] ? true : nil
        }
        side.unsubscribe(.exact("sc/a"), .exact("sc/b"))
        _ = try await eventually("both names to be left") {
            try await server.cli("PUBSUB", "NUMSUB", "sc/a", "sc/b") == ["sc/a", "0", "sc/b", "0"] ? true : nil
        }
        #expect(try await server.cli("PUBSUB", "NUMPAT") == ["0"])
        await side.leave()
    }

    @Test func `no message is lost or doubled while filters of different width come and go`() async throws {
        let server = try await LocalServer.start(.redis)
        let (sender, receiver) = (try await RedisSide.connected(to: server), try await RedisSide.connected(to: server))
        try await receiver.subscribe(.exact("sc/a/b"))
        let count = 4_000
        async let sending: Void = {
            for start in stride(from: 0, to: count, by: 20) {
                sender.send((start..<start + 20).map { "\($0)" }, to: "sc/a/b", firstTicket: UInt64(start + 1))
                try await sender.confirmed(start + 20)
            }
        }()
        for _ in 0..<25 {
            try await receiver.subscribe(.prefix("sc/a/"))
            try await receiver.subscribe(.prefix("sc/"))
            receiver.unsubscribe(.prefix("sc/a/"))
            try await receiver.subscribe(.exact("sc/mark"))
            receiver.unsubscribe(.prefix("sc/"), .exact("sc/mark"))
        }
        try await sending
        let received = try await receiver.received(count)
        #expect(received == (0..<count).map { "\($0)" })
        await sender.leave()
        await receiver.leave()
    }

    @Test func `what the rights of the user forbid is refused, and the rest passes`() async throws {
        var options = ServerOptions()
        options.accessList = """
            user default on nopass allkeys allchannels allcommands
            user bridge on >s3cret resetchannels &sc/open/* +@pubsub +ping
            """
        let server = try await LocalServer.start(.redis, options)
        let side = try await RedisSide.connected(to: server) { settings in
            settings.username = "bridge"
            settings.password = Secret("s3cret")
        }
        try await side.subscribe(.exact("sc/open/a"), .exact("sc/closed"), .exact("sc/open/b"), .prefix("sc/"))
        #expect(
            side.conversation.read { $0.settled } == [
                .exact("sc/open/a"): true, .exact("sc/closed"): false, .exact("sc/open/b"): true, .prefix("sc/"): false,
            ])
        side.conversation.add(egress: [
            EgressMessage(ticket: 1, name: "sc/open/a", payload: ByteBuffer(string: "1"), header: nil),
            EgressMessage(ticket: 2, name: "sc/closed", payload: ByteBuffer(string: "2"), header: nil),
            EgressMessage(ticket: 3, name: "sc/open/b", payload: ByteBuffer(string: "3"), header: nil),
        ])
        #expect(try await side.received(2) == ["1", "3"])
        try await side.confirmed(2)
        #expect(side.conversation.read { $0.refused } == [2: .forbidden])
        await side.leave()
    }

    @Test func `a server that asks for a password refuses one who gives none`() async throws {
        var options = ServerOptions()
        options.users = ["default": "s3cret"]
        let server = try await LocalServer.start(.redis, options)
        let error = try await RedisSide(server.redisURL).upstreamError()
        #expect(error.code == .refused)
        #expect(error.message.contains("NOAUTH"))
    }

    @Test func `a name that is not UTF-8 is not taken for another one`() async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await RedisSide.connected(to: server)
        try await side.subscribe(.prefix("sc/"))
        try await ChildProcess.run(
            "redis-cli", ["-p", "\(server.port)"], input: "PUBLISH \"sc/\\xff\\xfe\" hidden\nPUBLISH sc/fine seen\n")
        #expect(try await side.received(2) == ["hidden", "seen"])
        #expect(side.conversation.read { $0.received.map(\.name) } == ["sc/%FF%FE", "sc/fine"])
        await side.leave()
    }
}
