import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite struct BrokerPromiseTests {
    private func atConnect(
        _ answer: (inout ConnectionAnswer) -> Void = { _ in }, version: String = "5", isReturn: Bool = false,
        guarantee: Guarantee = .atLeastOnce
    ) throws -> [String: UpstreamPromise] {
        let plan = try ConversationPlan(
            settings: .mqtt(
                guarantee: guarantee, options: ["version": .text(version), "session_expiry": .duration(.seconds(60))]))
        var connection = ConnectionAnswer(reason: 0, isSessionPresent: false)
        answer(&connection)
        let promises = BrokerPromises(plan: plan).atConnect(connection, isReturn: isReturn)
        return Dictionary(uniqueKeysWithValues: promises.map { ($0.name, $0) })
    }

    @Test func `at_most_once rests on nothing`() throws {
        #expect(try self.atConnect(guarantee: .atMostOnce).isEmpty)
    }

    @Test func `a broker without limits keeps the QoS, and its session shows only when we come back`() throws {
        let first = try self.atConnect()
        #expect(
            first.mapValues(\.state) == [
                "maximum_qos": .kept, "session": .assumed, "granted_qos": .assumed, "persistence": .assumed,
            ])
        #expect(first["session"]?.reason.contains("60 s") == true)
        #expect(try self.atConnect({ $0.isSessionPresent = true }, isReturn: true)["session"]?.state == .kept)
        let forgotten = try self.atConnect(isReturn: true)["session"]
        #expect(forgotten?.state == .assumed && forgotten?.reason.contains("had forgotten") == true)
    }

    @Test func `a broker that says less than we need breaks its promise`() throws {
        let quality = try self.atConnect { $0.maximumQoS = 0 }["maximum_qos"]
        #expect(quality?.state == .broken && quality?.reason.contains("QoS 0 at most") == true)
        #expect(try self.atConnect { $0.maximumQoS = 1 }["maximum_qos"]?.state == .kept)
        let session = try self.atConnect { $0.sessionExpiry = 5 }["session"]
        #expect(session?.state == .broken && session?.reason.contains("5 s, and session_expiry is 60 s") == true)
        let kept = try self.atConnect {
            $0.sessionExpiry = 5
            $0.isSessionPresent = true
        }["session"]
        #expect(kept?.state == .broken, "that it was there this time says nothing about the next")
        #expect(try self.atConnect { $0.sessionExpiry = 600 }["session"]?.state == .assumed)
    }

    @Test func `MQTT 3.1.1 tells neither, and says so`() throws {
        let promises = try self.atConnect(version: "3.1.1")
        #expect(promises["maximum_qos"]?.state == .assumed && promises["session"]?.state == .assumed)
        #expect(promises["session"]?.reason.contains("3.1.1") == true)
    }

    @Test func `a subscription that is granted less is told once, and is not forgotten by others`() throws {
        var promises = BrokerPromises(plan: try ConversationPlan(settings: .mqtt(guarantee: .atLeastOnce)))
        #expect(promises.granted(1, to: "a")?.state == .kept)
        #expect(promises.granted(2, to: "b") == nil)
        let broken = promises.granted(0, to: "c")
        #expect(broken?.state == .broken && broken?.reason.contains("QoS 0 for c") == true)
        #expect(promises.granted(1, to: "d") == nil && promises.granted(0, to: "e") == nil)
        var none = BrokerPromises(plan: try ConversationPlan(settings: .mqtt()))
        #expect(none.granted(0, to: "a") == nil)
    }
}

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(3)))
struct PromiseServerTests {
    private static func bridge(_ version: String) throws -> MQTTBridge {
        try MQTTBridge(settings: .mqtt(guarantee: .atLeastOnce, options: ["version": .text(version)]))
    }

    private static func noted(_ conversation: TestConversation, _ name: String, _ state: UpstreamPromise.State)
        async throws
    {
        _ = try await conversation.host.events.first("\(name) \(state)") { event in
            if case .noted(let promise) = event { promise.name == name && promise.state == state } else { false }
        }
    }

    @Test func `mosquitto keeps what it can show, and the session when we come back`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try Self.bridge("5")
        let first = TestConversation(bridge, server.upstream)
        #expect(try await first.facts().state(of: "maximum_qos") == .kept)
        try await first.subscribe(.exact("sc/a"))
        try await Self.noted(first, "granted_qos", .kept)
        try await first.stop()
        let second = TestConversation(bridge, server.upstream)
        #expect(try await second.facts().state(of: "session") == .kept)
        try await second.stop()
    }

    @Test func `a mosquitto that takes QoS 0 only is told by its acceptance, or by the answer to a subscription`()
        async throws
    {
        let server = try await LocalServer.mosquitto { $0.listener = "max_qos 0" }
        let modern = TestConversation(try Self.bridge("5"), server.upstream)
        #expect(try await modern.end()?.code == .promise)
        try await Self.noted(modern, "maximum_qos", .broken)

        let old = try await TestConversation.connected(try Self.bridge("3.1.1"), server.upstream)
        old.host.subscribe(.exact("sc/a"))
        try await Self.noted(old, "granted_qos", .broken)
        _ = try await old.host.events.first("refusal of the filter") {
            if case .settled(.exact("sc/a"), accepted: false) = $0 { true } else { false }
        }
        try await old.stop()
    }
}

extension UpstreamFacts {
    fileprivate func state(of promise: String) -> UpstreamPromise.State? {
        self.promises.first { $0.name == promise }?.state
    }
}
