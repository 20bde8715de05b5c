import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(2)))
struct SessionTests {
    private static let versions = ["5", "3.1.1"]

    private static func bridge(_ instance: String, version: String = "5") throws -> MQTTBridge {
        try MQTTBridge(settings: .mqtt(instance, guarantee: .atLeastOnce, options: ["version": .text(version)]))
    }

    @Test(arguments: versions)
    func `what is published while we are away arrives when we are back`(version: String) async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try Self.bridge(unique("away"), version: version)
        let first = try await TestConversation.connected(bridge, server.upstream)
        #expect(try await first.facts().resumedSession == false)
        try await first.subscribe(.exact("sc/a"))
        try await first.stop()

        for number in 0..<50 { try await server.publish("sc/a", "\(number)") }
        let second = TestConversation(bridge, server.upstream)
        second.host.subscribe(.exact("sc/a"))
        #expect(try await second.facts().resumedSession)
        #expect(try await second.arrivals(50).map(\.text) == (0..<50).map { "\($0)" })
        try await second.stop()
    }

    @Test(arguments: versions)
    func `what the server has not taken comes again after a crash, and what it has taken does not`(version: String)
        async throws
    {
        let server = try await LocalServer.mosquitto()
        let instance = unique("crash")
        let bridge = try Self.bridge(instance, version: version)
        let first = try await TestConversation.connected(bridge, server.upstream)
        try await first.subscribe(.exact("sc/a"))
        try await server.publish("sc/a", "taken")
        _ = try await first.arrivals(1)
        // Its acknowledgement leaves after it was taken; the next message shows that the conversation went on.
        try await server.publish("sc/a", "taken too")
        _ = try await first.arrivals(2)
        let acknowledged = first.host.publish("sc/b", "after both")
        try await first.settled(upTo: acknowledged)

        first.host.holdBatches()
        try await server.publish("sc/a", "not taken")
        _ = try await first.arrivals(3)
        // The broker writes its sessions down at an orderly stop; we hear no more than that the connection is gone.
        try await server.restart()
        #expect(try await first.end() != nil)

        let second = TestConversation(bridge, server.upstream)
        second.host.subscribe(.exact("sc/a"))
        #expect(try await second.facts().resumedSession)
        try await server.publish("sc/a", "end")
        #expect(try await second.arrivals(2).map(\.text) == ["not taken", "end"])
        try await second.stop()
    }

    @Test func `a good-bye waits until the server has taken what it was given`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try Self.bridge(unique("goodbye"))
        let first = try await TestConversation.connected(bridge, server.upstream)
        try await first.subscribe(.exact("sc/a"))
        first.host.holdBatches()
        try await server.publish("sc/a", "1")
        _ = try await first.arrivals(1)
        first.cancel()
        first.host.takeHeldBatches()
        #expect(try await first.end(within: .seconds(60)) == nil)
        let second = try await TestConversation.connected(bridge, server.upstream)
        try await second.subscribe(.exact("sc/a"))
        try await server.publish("sc/a", "2")
        #expect(try await second.arrivals(1).map(\.text) == ["2"])
        try await second.stop()
    }

    @Test func `a good-bye without taking leaves the message with the broker`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try Self.bridge(unique("untaken"))
        let first = try await TestConversation.connected(bridge, server.upstream)
        try await first.subscribe(.exact("sc/a"))
        first.host.holdBatches()
        try await server.publish("sc/a", "1")
        _ = try await first.arrivals(1)
        first.cancel()
        #expect(try await first.end(within: .seconds(60)) == nil)
        let second = TestConversation(bridge, server.upstream)
        second.host.subscribe(.exact("sc/a"))
        #expect(try await second.arrivals(1).map(\.text) == ["1"])
        try await second.stop()
    }

    @Test func `what this process no longer wants is removed from a kept session`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try Self.bridge(unique("unwanted"))
        let before = try #require(await server.figure("subscriptions/count"))
        let first = try await TestConversation.connected(bridge, server.upstream)
        try await first.subscribe(.exact("sc/kept"), .exact("sc/left"), .prefix("sc/tree/"))
        try await first.stop()
        let second = TestConversation(bridge, server.upstream)
        second.host.subscribe(.exact("sc/kept"))
        _ = try await eventually("one subscription") {
            try await server.figure("subscriptions/count") == before + 1 ? true : nil
        }
        try await server.publish("sc/left", "no")
        try await server.publish("sc/kept", "yes")
        #expect(try await second.arrivals(1).map(\.text) == ["yes"])
        try await second.stop()
    }

    @Test func `what an earlier process wanted is removed when it brings a message`() async throws {
        let server = try await LocalServer.mosquitto()
        let instance = unique("earlier")
        let before = try #require(await server.figure("subscriptions/count"))
        let first = try await TestConversation.connected(try Self.bridge(instance), server.upstream)
        try await first.subscribe(.exact("sc/kept"), .prefix("sc/tree/"), .exact("sc/left"))
        try await first.stop()
        // Another bridge value remembers nothing, as a restarted process.
        let second = TestConversation(try Self.bridge(instance), server.upstream)
        second.host.subscribe(.exact("sc/kept"))
        #expect(try await second.facts().resumedSession)
        try await server.publish("sc/tree/x/y", "1")
        try await server.publish("sc/left", "2")
        #expect(try await second.arrivals(2).map(\.text) == ["1", "2"])
        _ = try await eventually("one subscription") {
            try await server.figure("subscriptions/count") == before + 1 ? true : nil
        }
        try await server.publish("sc/tree/x/y", "no")
        try await server.publish("sc/kept", "yes")
        #expect(try await second.arrivals(3).map(\.text) == ["1", "2", "yes"])
        try await second.stop()
    }

    @Test func `twenty thousand messages pass through kept sessions in order while both sides send`() async throws {
        let server = try await LocalServer.mosquitto()
        let one = try await TestConversation.connected(try Self.bridge(unique("one")), server.upstream)
        let two = try await TestConversation.connected(try Self.bridge(unique("two")), server.upstream)
        try await one.subscribe(.prefix("sc/"))
        try await two.subscribe(.prefix("sc/"))
        for number in 0..<5000 {
            one.host.publish("sc/one", "\(number)", header: .test(UInt64(number)))
            two.host.publish("sc/two", "\(number)", header: .test(UInt64(number)))
        }
        for conversation in [one, two] {
            let arrivals = try await conversation.arrivals(10_000, within: .seconds(60))
            #expect(arrivals.count == 10_000)
            for name in ["sc/one", "sc/two"] {
                #expect(arrivals.filter { $0.name == name }.map(\.text) == (0..<5000).map { "\($0)" })
            }
            #expect(try await conversation.settled(upTo: 5000).count == 5000)
        }
        try await one.stop()
        try await two.stop()
    }
}
