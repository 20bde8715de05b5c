import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanRedis
import NIOCore
import TestSupport
import Testing

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct PubSubFaultTests {
    @Test func `a server that is killed is lost, and the next conversation works`() async throws {
        let server = try await LocalServer.start(.redis)
        for _ in 0..<2 {
            let side = try await RedisSide.connected(to: server)
            try await side.subscribe(.exact("sc/a"))
            side.send(["1"], to: "sc/a")
            #expect(try await side.received(1) == ["1"])
            try await server.kill()
            #expect(try await side.upstreamError().code == .lost)
            try await server.restart()
        }
        let side = try await RedisSide.connected(to: server)
        await side.leave()
    }

    @Test func `a frozen server is silent within its limit`() async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await RedisSide.connected(to: server, RedisSide.impatient)
        server.pause()
        let error = try await side.upstreamError()
        #expect(error.code == .silent)
        #expect(error.message.contains("sign of life"))
        server.resume()
    }

    @Test func `a frozen server is unreachable when it was so before`() async throws {
        let server = try await LocalServer.start(.redis)
        server.pause()
        let side = try RedisSide(server.redisURL) { $0.options["connect_timeout"] = .duration(.milliseconds(300)) }
        let error = try await side.upstreamError()
        #expect(error.code == .unreachable)
        server.resume()
    }

    @Test(arguments: ["subscribe", "publish"])
    func `losing one of the two connections ends the conversation`(command: String) async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await RedisSide.connected(to: server)
        try await side.subscribe(.exact("sc/a"))
        side.send(["1"], to: "sc/a")
        try await side.confirmed(1)
        let clients = try await server.clients(lastCommand: command)
        try #require(clients.count == 1)
        try await server.cli("CLIENT", "KILL", "ID", clients[0])
        let error = try await side.upstreamError()
        #expect(error.code == .lost)
        #expect(error.message.contains(command == "publish" ? "command connection" : "receiving connection"))
    }

    @Test func `a subscriber that Redis drops for being slow is lost, and says so`() async throws {
        let server = try await LocalServer.start(.redis)
        try await server.cli("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
        let (sender, receiver) = (try await RedisSide.connected(to: server), try await RedisSide.connected(to: server))
        try await receiver.subscribe(.exact("sc/a"))
        receiver.conversation.holdDeliveries()
        let text = "\"" + String(repeating: "x", count: 100_000) + "\""
        sender.send(Array(repeating: text, count: 300), to: "sc/a")
        try await sender.confirmed(300)
        #expect(receiver.conversation.read { $0.mostBatchesHeld } <= 5)
        _ = try await eventually("Redis to drop the subscriber") {
            try await server.cli("PUBSUB", "NUMSUB", "sc/a") == ["sc/a", "0"] ? true : nil
        }
        receiver.conversation.releaseDeliveries()
        #expect(try await receiver.upstreamError().code == .lost)
        await sender.leave()
    }

    @Test func `a pause of the host longer than the ping limit is not taken for silence`() async throws {
        let server = try await LocalServer.start(.redis)
        let sender = try await RedisSide.connected(to: server)
        let receiver = try await RedisSide.connected(to: server, RedisSide.impatient)
        try await receiver.subscribe(.exact("sc/a"))
        receiver.conversation.holdDeliveries()
        for round in 0..<8 {
            sender.send(["[\(round)]"], to: "sc/a", firstTicket: UInt64(round + 1))
            try await sender.confirmed(round + 1)
        }
        let end = await receiver.conversation.end(atMost: .seconds(8))
        #expect(end == nil)
        receiver.conversation.releaseDeliveries()
        #expect(try await receiver.received(8) == (0..<8).map { "[\($0)]" })
        await sender.leave()
        await receiver.leave()
    }

    @Test func `a full disk does not end a Pub/Sub conversation`() async throws {
        var options = ServerOptions()
        options.configuration = "save 3600 1"
        let server = try await LocalServer.start(.redis, options)
        // A folder where the snapshot should go makes the next background save fail, after which PING answers -MISCONF.
        try server.folder.write("in the way", to: "dump.rdb/file")
        try await server.cli("SET", "a", "b")
        try await server.cli("BGSAVE")
        _ = try await eventually("PING to answer with an error") {
            try await server.cli("PING").first?.contains("MISCONF") == true ? true : nil
        }
        let side = try await RedisSide.connected(to: server, RedisSide.impatient)
        try await side.subscribe(.exact("sc/a"))
        let end = await side.conversation.end(atMost: .seconds(8))
        #expect(end == nil)
        side.send(["1"], to: "sc/a")
        #expect(try await side.received(1) == ["1"])
        await side.leave()
    }
}
