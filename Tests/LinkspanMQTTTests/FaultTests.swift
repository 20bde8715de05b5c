import Glibc
import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(2)))
struct FaultTests {
    @Test func `a wrong password is refused and says so`() async throws {
        let server = try await LocalServer.mosquitto { $0.users = ["bridge": "s3cret"] }
        for version in ["5", "3.1.1"] {
            let bridge = try MQTTBridge(
                settings: .mqtt(username: "bridge", password: "wr0ng", options: ["version": .text(version)]))
            let error = try #require(await TestConversation(bridge, server.upstream).end())
            #expect(error.code == .refused)
            #expect(error.message.contains("authorized"), "\(error)")
            #expect(!"\(error)".contains("wr0ng"))
        }
    }

    @Test(arguments: ["mqtt", "mqtts"], ["127.0.0.1", "localhost"])
    func `a port where nobody listens is unreachable at once`(scheme: String, host: String) async throws {
        let upstream = UpstreamURL(scheme: scheme, host: host, port: TestPorts.next())
        let error = try #require(
            await TestConversation(try MQTTBridge(settings: .mqtt()), upstream).end(within: .seconds(60)))
        #expect(error.code == .unreachable)
        #expect(error.message.contains("refused"), "\(error)")
    }

    @Test func `a host that does not exist is unreachable`() async throws {
        let upstream = UpstreamURL(scheme: "mqtt", host: "no-such-host.invalid", port: 1883)
        let error = try #require(await TestConversation(try MQTTBridge(settings: .mqtt()), upstream).end())
        #expect(error.code == .unreachable)
        #expect(error.message.contains("no-such-host.invalid"), "\(error)")
    }

    @Test func `a name with addresses of both families reaches a broker that listens on one`() async throws {
        let server = try await LocalServer.mosquitto()
        let upstream = UpstreamURL(scheme: "mqtt", host: "localhost", port: server.port)
        try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), upstream).stop()
    }

    @Test func `a peer that accepts and says nothing is unreachable after the connect timeout`() async throws {
        let listener = try await SilentListener()
        let bridge = try MQTTBridge(settings: .mqtt(options: ["connect_timeout": .duration(.milliseconds(300))]))
        let error = try #require(await TestConversation(bridge, listener.upstream).end(within: .seconds(60)))
        #expect(error.code == .unreachable)
        #expect(error.message.contains("no answer within"), "\(error)")
    }

    @Test func `cancelling ends a conversation that still connects`() async throws {
        let listener = try await SilentListener()
        let bridge = try MQTTBridge(settings: .mqtt(options: ["connect_timeout": .duration(.seconds(100))]))
        let conversation = TestConversation(bridge, listener.upstream)
        try await listener.accepted()
        conversation.cancel()
        #expect(try await conversation.end(within: .seconds(60)) == nil)
    }

    @Test func `a peer that speaks something else ends the attempt`() async throws {
        for answer in [[UInt8]("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), [0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], []] {
            let listener = try await SilentListener(answer: answer)
            let conversation = TestConversation(try MQTTBridge(settings: .mqtt()), listener.upstream)
            let error = try #require(await conversation.end())
            #expect([.unreachable, .protocolViolation].contains(error.code), "\(answer): \(error)")
        }
    }

    @Test func `a killed broker is noticed at once, and the bridge converses again after its restart`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(settings: .mqtt())
        for _ in 0..<2 {
            let conversation = try await TestConversation.connected(bridge, server.upstream)
            try await conversation.subscribe(.exact("sc/a"))
            try await server.kill()
            let error = try #require(await conversation.end(within: .seconds(60)))
            #expect(error.code == .lost)
            try await server.restart()
        }
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        try await server.publish("sc/a", "again")
        #expect(try await conversation.arrivals(1).map(\.text) == ["again"])
        try await conversation.stop()
    }

    @Test func `a broker that stops is noticed at once`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        try await server.stop()
        #expect(try await conversation.end(within: .seconds(60))?.code == .lost)
    }

    @Test func `an idle frozen broker is noticed by the keepalive`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(settings: .mqtt(options: ["keepalive": .duration(.seconds(5))]))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        server.pause()
        let error = try #require(await conversation.end(within: .seconds(60)))
        #expect(error.code == .silent, "\(error)")
        server.resume()
        try await TestConversation.connected(bridge, server.upstream).stop()
    }

    @Test func `a broker frozen with messages under way is noticed by the missing answers`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(
            settings: .mqtt(options: ["qos": .text("1"), "keepalive": .duration(.seconds(3600))]))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        server.pause()
        conversation.host.publish("sc/a", "1")
        let error = try #require(await conversation.end(within: .seconds(60)))
        #expect(error.code == .stalled, "\(error)")
        #expect(conversation.settledSoFar.isEmpty)
        server.resume()
    }

    @Test func `a broker frozen for a moment loses and doubles nothing`() async throws {
        let server = try await LocalServer.mosquitto()
        let options: [String: OptionValue] = ["qos": .text("1"), "keepalive": .duration(.seconds(60))]
        let conversation = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: options)), server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        server.pause()
        let last = (0..<500).map { conversation.host.publish("sc/a", "\($0)") }.last!
        try await Task.sleep(for: .seconds(2))
        server.resume()
        try await conversation.settled(upTo: last)
        #expect(try await conversation.arrivals(500).map(\.text) == (0..<500).map { "\($0)" })
        try await conversation.stop()
    }

    @Test func `a server that takes nothing ends the conversation before the broker does`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(
            settings: .mqtt(guarantee: .atLeastOnce, options: ["keepalive": .duration(.seconds(5))]))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        conversation.host.holdBatches()
        try await server.publish("sc/a", "1")
        let error = try #require(await conversation.end(within: .seconds(60)))
        #expect(error.code == .stalled)
        #expect(error.message.contains("2.5 seconds"), "\(error)")
    }

    @Test func `another client with our identifier is suspected after three quick losses`() async throws {
        let server = try await LocalServer.mosquitto()
        let instance = unique("taken")
        let bridge = try MQTTBridge(settings: .mqtt(instance))
        var codes: [UpstreamError.Code] = []
        for _ in 0..<3 {
            let conversation = try await TestConversation.connected(bridge, server.upstream)
            try await server.publish("sc/a", "1", ["-i", "linkspan-\(instance)-test"])
            let error = try #require(await conversation.end())
            codes.append(error.code)
            if codes.count == 3 { #expect(error.message.contains("linkspan-\(instance)-test"), "\(error)") }
        }
        #expect(codes == [.lost, .lost, .takenOver])
    }

    @Test func `revoked credentials end the conversation and are refused next time`() async throws {
        let server = try await LocalServer.mosquitto { $0.users = ["bridge": "s3cret"] }
        let bridge = try MQTTBridge(settings: .mqtt(username: "bridge", password: "s3cret"))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        try await ChildProcess.run("mosquitto_passwd", ["-b", server.folder.file("passwords"), "bridge", "changed"])
        server.signal(SIGHUP)
        let error = try #require(await conversation.end(within: .seconds(60)))
        #expect([.lost, .refused].contains(error.code), "\(error)")
        #expect(try await TestConversation(bridge, server.upstream).end()?.code == .refused)
    }
}
