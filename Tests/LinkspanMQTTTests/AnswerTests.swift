import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.timeLimit(.minutes(1)))
struct AnswerTests {
    @Test func `a session that another client takes over is named at once`() async throws {
        let broker = try await ScriptedBroker { $0.greeting = [0xE0, 1, 0x8E] }
        let error = try #require(await TestConversation(try MQTTBridge(settings: .mqtt()), broker.upstream).end())
        #expect(error.code == .takenOver)
        #expect(error.message.contains("0x8E"), "\(error)")
    }

    @Test func `a broker that shuts down is lost`() async throws {
        let broker = try await ScriptedBroker { $0.greeting = [0xE0, 1, 0x8B] }
        let error = try #require(await TestConversation(try MQTTBridge(settings: .mqtt()), broker.upstream).end())
        #expect(error.code == .lost)
        #expect(error.message.contains("shutting down"), "\(error)")
    }

    @Test func `what arrived before the connection ended is not lost with it`() async throws {
        let publish: [UInt8] = [0x30, 8] + [0, 4] + Array("sc/a".utf8) + [0] + Array("1".utf8)
        let broker = try await ScriptedBroker {
            $0.greeting = publish + publish
            $0.closes = true
        }
        let conversation = TestConversation(try MQTTBridge(settings: .mqtt()), broker.upstream)
        #expect(try await conversation.end()?.code == .lost)
        #expect(conversation.arrivedSoFar.map(\.text) == ["1", "1"])
    }

    @Test func `a broker without QoS 1 is refused when QoS 1 is configured, and taken otherwise`() async throws {
        let broker = try await ScriptedBroker { $0.connectionProperties = [0x24, 0] }
        let bridge = try MQTTBridge(settings: .mqtt(guarantee: .atLeastOnce))
        let error = try #require(await TestConversation(bridge, broker.upstream).end())
        #expect(error.code == .promise)
        #expect(error.message.contains("QoS 0 at most"), "\(error)")
        let middle = try MQTTBridge(settings: .mqtt(options: ["qos": .text("1")]))
        #expect(try await TestConversation(middle, broker.upstream).end()?.code == .refused)
        try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), broker.upstream).stop()
    }

    @Test func `no more messages are under way than the broker wants`() async throws {
        let broker = try await ScriptedBroker {
            $0.connectionProperties = [0x21, 0, 2]
            $0.publishReason = nil
        }
        let conversation = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: ["qos": .text("1")])), broker.upstream)
        for number in 0..<10 { conversation.host.publish("sc/a", "\(number)") }
        _ = try await broker.packets.wait(count: 3, "packets")
        conversation.cancel()
        try await conversation.end()
        #expect(broker.packets.events.count { $0 & 0xF0 == 0x30 } == 2)
    }

    @Test func `a refused subscription is reported as refused`() async throws {
        let broker = try await ScriptedBroker { $0.subscribeCode = 0x87 }
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), broker.upstream)
        conversation.host.subscribe(.exact("sc/a"))
        _ = try await conversation.host.events.first("refusal") {
            if case .settled(.exact("sc/a"), accepted: false) = $0 { true } else { false }
        }
        try await conversation.stop()
    }

    @Test func `a subscription granted at QoS 0 cannot keep at_least_once`() async throws {
        for (guarantee, accepted) in [(Guarantee.atLeastOnce, false), (.atMostOnce, true)] {
            let broker = try await ScriptedBroker { $0.subscribeCode = 0 }
            let conversation = try await TestConversation.connected(
                try MQTTBridge(settings: .mqtt(guarantee: guarantee)), broker.upstream)
            conversation.host.subscribe(.exact("sc/a"))
            _ = try await conversation.host.events.first("answer \(accepted)") {
                if case .settled(.exact("sc/a"), accepted: accepted) = $0 { true } else { false }
            }
            try await conversation.stop()
        }
    }

    @Test func `a publish that is refused for now is counted, or ends the conversation where nothing may be lost`()
        async throws
    {
        let broker = try await ScriptedBroker { $0.publishReason = 0x97 }
        let loose = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: ["qos": .text("1")])), broker.upstream)
        let ticket = loose.host.publish("sc/a", "1")
        #expect(try await loose.settled(upTo: ticket).map(\.1) == [.rejected])
        try await loose.stop()

        let strict = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(guarantee: .atLeastOnce)), broker.upstream)
        strict.host.publish("sc/a", "1")
        let error = try #require(await strict.end())
        #expect(error.code == .stalled)
        #expect(error.message.contains("quota exceeded"), "\(error)")
        #expect(strict.settledSoFar.isEmpty)
    }
}
