import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite struct GroupFilterTests {
    @Test func `a name that all have to hear is asked for beside the prefix that is shared`() throws {
        var settings = BridgeSettings.mqtt()
        settings.consumerGroup = "workers"
        settings.unsharedNames = ["sc/$linkspan/probe"]
        let plan = try ConversationPlan(settings: settings)
        var filters = TopicFilters(unshared: plan.unsharedNames)
        var settled: [SettledFilter] = []
        let changes = filters.apply(
            [.subscribe(.prefix("sc/")), .subscribe(.exact("sc/$linkspan/probe")), .subscribe(.exact("sc/a"))],
            settled: &settled)
        #expect(
            changes.subscribe.map { plan.subscription($0).text }.sorted()
                == ["$share/workers/sc/#", "sc/$linkspan/probe"])
    }

    @Test func `MQTT 3_1_1 has no shared subscriptions`() {
        var settings = BridgeSettings.mqtt(options: ["version": .text("3.1.1")])
        settings.consumerGroup = "workers"
        let error = #expect(throws: ConfigurationError.self) { try MQTTBridge(settings: settings) }
        #expect(
            error?.problems == [
                .init(
                    path: "brokers.test.mqtt.version",
                    message: "consume: one_of needs shared subscriptions, which came with MQTT 5",
                    hint: "choose version 5, or leave out consume")
            ])
    }
}

/// `consume: one_of` over a real mosquitto.
@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(5)))
struct GroupServerTests {
    private static let probe = "sc/$linkspan/probe"

    private static func bridge(
        _ instance: String = unique("member"), _ guarantee: Guarantee = .atLeastOnce, group: String? = "workers"
    ) throws -> MQTTBridge {
        var settings = BridgeSettings.mqtt(instance, guarantee: guarantee)
        settings.consumerGroup = group
        settings.unsharedNames = group == nil ? [] : [Self.probe]
        return try MQTTBridge(settings: settings)
    }

    private static func member(_ server: LocalServer, _ bridge: MQTTBridge) async throws -> TestConversation {
        let member = try await TestConversation.connected(bridge, server.upstream)
        try await member.subscribe(.prefix("sc/"), .exact(Self.probe))
        return member
    }

    private static func texts(_ member: TestConversation) -> [String] {
        member.arrivedSoFar.filter { $0.name != Self.probe }.map(\.text)
    }

    private static func publish(_ numbers: Range<Int>, _ publisher: TestConversation) async throws {
        var ticket: UInt64 = 0
        for number in numbers { ticket = publisher.host.publish("sc/work", "\(number)") }
        try await publisher.settled(upTo: ticket)
    }

    @Test(arguments: Guarantee.allCases)
    func `each message goes to one member, and what all have to hear to every one`(guarantee: Guarantee) async throws {
        let server = try await LocalServer.mosquitto()
        var members: [TestConversation] = []
        for _ in 0..<3 { members.append(try await Self.member(server, Self.bridge(unique("member"), guarantee))) }
        let publisher = try await TestConversation.connected(Self.bridge(group: nil), server.upstream)
        try await Self.publish(0..<600, publisher)
        publisher.host.publish(Self.probe, "[]")
        for member in members {
            _ = try await eventually(within: .seconds(60), "the probe") {
                member.arrivedSoFar.contains { $0.name == Self.probe } ? true : nil
            }
        }
        _ = try await eventually(within: .seconds(60), "all messages") {
            members.reduce(0) { $0 + Self.texts($1).count } >= 600 ? true : nil
        }
        #expect(members.flatMap(Self.texts).sorted() == (0..<600).map { "\($0)" }.sorted())
        #expect(members.allSatisfy { !Self.texts($0).isEmpty })
        for member in members + [publisher] { try await member.stop() }
    }

    @Test(arguments: Guarantee.allCases)
    func `what the broker chose a member for while it left is taken by it`(guarantee: Guarantee) async throws {
        let server = try await LocalServer.mosquitto()
        let leaving = try await Self.member(server, Self.bridge(unique("member"), guarantee))
        let stays = try await Self.member(server, Self.bridge(unique("member"), guarantee))
        let publisher = try await TestConversation.connected(Self.bridge(group: nil), server.upstream)
        var ticket: UInt64 = 0
        for number in 0..<5000 { ticket = publisher.host.publish("sc/work", "\(number)") }
        _ = try await eventually(within: .seconds(60), every: .milliseconds(1), "a first message") {
            Self.texts(leaving).isEmpty ? nil : true
        }
        try await leaving.stop()
        try await publisher.settled(upTo: ticket)
        _ = try await eventually(within: .seconds(60), "all messages") {
            Self.texts(stays).count + Self.texts(leaving).count >= 5000 ? true : nil
        }
        #expect((Self.texts(stays) + Self.texts(leaving)).sorted() == (0..<5000).map { "\($0)" }.sorted())
        for member in [stays, publisher] { try await member.stop() }
    }

    @Test func `a member that leaves in order takes no more turns, though its session is kept`() async throws {
        let server = try await LocalServer.mosquitto()
        let leaving = try await Self.member(server, Self.bridge())
        let stays = try await Self.member(server, Self.bridge())
        let publisher = try await TestConversation.connected(Self.bridge(group: nil), server.upstream)
        try await leaving.stop()
        try await Self.publish(0..<100, publisher)
        _ = try await eventually(within: .seconds(60), "all messages") {
            Self.texts(stays).count >= 100 ? true : nil
        }
        #expect(Self.texts(stays) == (0..<100).map { "\($0)" })
        for member in [stays, publisher] { try await member.stop() }
    }

    @Test func `a session from before the group no longer brings everything`() async throws {
        let server = try await LocalServer.mosquitto()
        let instance = unique("member")
        let before = try await TestConversation.connected(Self.bridge(instance, group: nil), server.upstream)
        try await before.subscribe(.prefix("sc/"))
        try await before.stop()
        let first = try await Self.member(server, Self.bridge(instance))
        let second = try await Self.member(server, Self.bridge())
        let publisher = try await TestConversation.connected(Self.bridge(group: nil), server.upstream)
        // The old subscription goes with a packet of its own; the broker has answered it before this name, which comes after it.
        try await first.subscribe(.exact("other/\(instance)"))
        try await Self.publish(0..<100, publisher)
        _ = try await eventually(within: .seconds(60), "all messages") {
            Self.texts(first).count + Self.texts(second).count >= 100 ? true : nil
        }
        #expect((Self.texts(first) + Self.texts(second)).sorted() == (0..<100).map { "\($0)" }.sorted())
        for member in [first, second, publisher] { try await member.stop() }
    }
}
