import LinkspanBridgeKit
import Testing

@testable import LinkspanMQTT

struct SettingsTests {
    @Test func `the defaults follow the guarantee`() throws {
        #expect(try ConversationPlan(settings: .mqtt()).qos == 0)
        #expect(try ConversationPlan(settings: .mqtt(guarantee: .atLeastOnce)).qos == 1)
        #expect(try ConversationPlan(settings: .mqtt(guarantee: .atLeastOnce)).keepsSession)
        #expect(try MQTTBridge(settings: .mqtt()).carriesHeader)
        #expect(try !MQTTBridge(settings: .mqtt(options: ["version": .text("3.1.1")])).carriesHeader)
    }

    @Test func `at_least_once refuses QoS 0 and says where`() {
        let error = #expect(throws: ConfigurationError.self) {
            try MQTTBridge(settings: .mqtt(guarantee: .atLeastOnce, options: ["qos": .text("0")]))
        }
        #expect(error?.problems.map(\.path) == ["brokers.test.mqtt.qos"])
        #expect(error?.problems.first?.hint?.contains("at_most_once") == true)
    }

    @Test func `all problems are reported at once`() {
        let error = #expect(throws: ConfigurationError.self) {
            try MQTTBridge(
                settings: .mqtt(
                    guarantee: .atLeastOnce, password: "x",
                    options: [
                        "qos": .text("0"), "version": .text("3.1.1"), "client_id": .text("a\u{0}b"),
                        "mandatory": .boolean(true),
                    ]))
        }
        #expect(error?.problems.count == 4)
    }

    @Test func `the client identifier names instance and bridge, whatever the bridge is called`() throws {
        #expect(try ConversationPlan(settings: .mqtt("fra-1", name: "plant")).clientID == "linkspan-fra-1-plant")
        #expect(
            try ConversationPlan(settings: .mqtt("fra-1", name: "a b/ä")).clientID == "linkspan-fra-1-a%20b%2F%C3%A4")
    }

    @Test func `fractions of a second are rounded up`() throws {
        let plan = try ConversationPlan(settings: .mqtt(options: ["keepalive": .duration(.milliseconds(5001))]))
        #expect(plan.keepalive == 6)
        #expect(Duration.microseconds(1).wholeMilliseconds == 1)
        #expect(Duration.seconds(2).wholeMilliseconds == 2000)
    }
}
