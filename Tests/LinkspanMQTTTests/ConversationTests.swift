import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(2)))
struct ConversationTests {
    @Test func `an external consumer sees plain JSON and the header beside it`() async throws {
        let server = try await LocalServer.mosquitto()
        let outside = try await OutsideSubscriber(server, "sc/#", format: "%t|%q|%r|%C|%P|%p")
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        conversation.host.publish("sc/news", #"{"hello":"wörld"}"#, header: .test(3, hops: ["fra-1", "ber"]))
        #expect(
            try await outside.received(1) == [
                "sc/news|0|0|application/json|ls-header:fra-1/1795216176123/3/1795216176999/fra-1,ber|"
                    + #"{"hello":"wörld"}"#
            ])
        try await conversation.stop()
    }

    @Test(arguments: [true, false])
    func `what no subscription matches counts as unroutable where that is asked for`(isMandatory: Bool) async throws {
        let server = try await LocalServer.mosquitto()
        let settings = BridgeSettings.mqtt(guarantee: .atLeastOnce, options: ["mandatory": .boolean(isMandatory)])
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: settings), server.upstream)
        conversation.host.publish("sc/nobody", "1")
        let outside = try await OutsideSubscriber(server, "sc/somebody", format: "%p")
        let second = conversation.host.publish("sc/somebody", "2")
        let settled = try await conversation.settled(upTo: second)
        #expect(settled.map(\.1) == [isMandatory ? .unroutable : nil, nil])
        #expect(try await outside.received(1) == ["2"])
        try await conversation.stop()
    }

    @Test func `an external producer needs no header`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        try await conversation.subscribe(.exact("sc/news"))
        try await server.publish("sc/news", #"{"a":1}"#)
        try await server.publish("sc/other", "no")
        try await server.publish("sc/news", "plain", version: "mqttv311")
        let arrivals = try await conversation.arrivals(2)
        #expect(arrivals.map(\.name) == ["sc/news", "sc/news"])
        #expect(arrivals.map(\.text) == [#"{"a":1}"#, "plain"])
        #expect(arrivals.allSatisfy { $0.header == nil })
        try await conversation.stop()
    }

    @Test(arguments: ["0", "1", "2"])
    func `bytes and headers go through unchanged, in order, once, at every QoS`(qos: String) async throws {
        let server = try await LocalServer.mosquitto()
        let options: [String: OptionValue] = ["qos": .text(qos), "window": .integer(100)]
        let receiver = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: options)), server.upstream)
        let sender = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: options)), server.upstream)
        try await receiver.subscribe(.prefix("sc/"))

        let hops = (0..<20).map { "instance-\($0)" }
        let binary = ByteBuffer(bytes: (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        let payloads = [
            ByteBuffer(string: "null"), ByteBuffer(), ByteBuffer(string: "\"\u{1F600}\\u0000\""), binary,
            ByteBuffer(bytes: [0, 255, 0]), ByteBuffer(repeating: UInt8(ascii: "x"), count: 2_000_000),
        ]
        for (index, payload) in payloads.enumerated() {
            sender.host.publish("sc/\(index)", payload, header: .test(UInt64(index + 1), hops: hops))
        }
        let arrivals = try await receiver.arrivals(payloads.count)
        #expect(arrivals.map(\.payload) == payloads)
        #expect(arrivals.map(\.name) == payloads.indices.map { "sc/\($0)" })
        #expect(arrivals.map(\.header) == payloads.indices.map { .test(UInt64($0 + 1), hops: hops) })
        let settled = try await sender.settled(upTo: UInt64(payloads.count))
        #expect(settled.map(\.0).sorted() == Array(1...UInt64(payloads.count)))
        #expect(settled.allSatisfy { $0.1 == nil })
        try await receiver.stop()
        try await sender.stop()
    }

    @Test func `version 3 carries the payload alone`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(settings: .mqtt(options: ["version": .text("3.1.1"), "qos": .text("1")]))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        let ticket = conversation.host.publish("sc/a", #"{"linkspan":1}"#)
        #expect(try await conversation.arrivals(1).map(\.text) == [#"{"linkspan":1}"#])
        #expect(try await conversation.settled(upTo: ticket).map(\.0) == [ticket])
        try await conversation.stop()
    }

    @Test(arguments: ["0", "1"])
    func `ten thousand messages from several tasks arrive in order and are confirmed once`(qos: String) async throws {
        let server = try await LocalServer.mosquitto()
        let options: [String: OptionValue] = ["qos": .text(qos), "window": .integer(100)]
        let receiver = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: options)), server.upstream)
        let sender = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: options)), server.upstream)
        try await receiver.subscribe(.prefix("sc/"))
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for number in 0..<2500 {
                        sender.host.publish("sc/\(task)", "\(number)", header: .test(UInt64(number)))
                        // Lets the bridge fall asleep now and then, so that wake-ups are part of what is tested.
                        if number % 50 == 0 { await Task.yield() }
                    }
                }
            }
        }
        let arrivals = try await receiver.arrivals(10_000, within: .seconds(60))
        #expect(arrivals.count == 10_000)
        for task in 0..<4 {
            #expect(arrivals.filter { $0.name == "sc/\(task)" }.map(\.text) == (0..<2500).map { "\($0)" })
        }
        let settled = try await sender.settled(upTo: 10_000)
        #expect(settled.map(\.0).sorted() == Array(1...10_000))
        #expect(sender.host.largestTake <= 100)
        try await receiver.stop()
        try await sender.stop()
    }

    @Test func `overlapping interest brings each message once, and leaves the broker one subscription`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        let before = try #require(await server.figure("subscriptions/count"))
        try await conversation.subscribe(.exact("sc/a/1"), .prefix("sc/a/"), .prefix("sc/a/b"), .exact("sc/a/b/c"))
        for name in ["sc/a/1", "sc/a/b/c", "sc/a/x", "sc/z"] { try await server.publish(name, "1") }
        try await server.publish("sc/a/1", "end")
        let arrivals = try await conversation.arrivals(4)
        #expect(arrivals.map(\.name) == ["sc/a/1", "sc/a/b/c", "sc/a/x", "sc/a/1"])
        _ = try await eventually("one more subscription than before") {
            try await server.figure("subscriptions/count") == before + 1 ? true : nil
        }
        conversation.host.unsubscribe(.prefix("sc/a/"), .prefix("sc/a/b"), .exact("sc/a/1"), .exact("sc/a/b/c"))
        _ = try await eventually("as many subscriptions as before") {
            try await server.figure("subscriptions/count") == before ? true : nil
        }
        try await conversation.stop()
    }

    @Test func `hundreds of names are subscribed and left`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        let before = try #require(await server.figure("subscriptions/count"))
        let names = (0..<950).map { "sc/channel/\($0)" }
        for name in names { conversation.host.subscribe(.exact(name)) }
        _ = try await eventually("950 subscriptions") {
            try await server.figure("subscriptions/count") == before + 950 ? true : nil
        }
        try await server.publish("sc/channel/949", "1")
        #expect(try await conversation.arrivals(1).map(\.name) == ["sc/channel/949"])
        for name in names { conversation.host.unsubscribe(.exact(name)) }
        _ = try await eventually("none of them") {
            try await server.figure("subscriptions/count") == before ? true : nil
        }
        try await conversation.stop()
    }

    @Test(arguments: ["5", "3.1.1"])
    func `what the broker had retained does not arrive, and its clearing arrives empty`(version: String) async throws {
        let server = try await LocalServer.mosquitto()
        try await server.publish("sc/a", "old", ["-r"])
        let bridge = try MQTTBridge(settings: .mqtt(options: ["version": .text(version)]))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        try await server.publish("sc/a", "", ["-r"])
        try await server.publish("sc/a", "live")
        #expect(try await conversation.arrivals(2).map(\.text) == ["", "live"])
        try await conversation.stop()
    }

    @Test func `a retained message that is published now arrives`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        try await server.publish("sc/a", "now", ["-r"])
        #expect(try await conversation.arrivals(1).map(\.text) == ["now"])
        try await conversation.stop()
    }

    @Test func `with retain the broker keeps what we publish`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(settings: .mqtt(options: ["retain": .boolean(true), "qos": .text("1")]))
        let conversation = try await TestConversation.connected(bridge, server.upstream)
        try await conversation.settled(upTo: conversation.host.publish("sc/a", "kept"))
        let outside = try await OutsideSubscriber(server, "sc/a", format: "%r %p")
        #expect(try await outside.received(1) == ["1 kept"])
        try await conversation.stop()
    }

    @Test func `hostile headers make a message raw and harm nobody`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        try await conversation.subscribe(.exact("sc/a"))
        let whole = [("ls-origin", "x"), ("ls-epoch", "1"), ("ls-seq", "2"), ("ls-hops", "x"), ("ls-at", "3")]
        let padding = (0..<HeaderProperties.propertyLimit).map { ("p\($0)", "v") }
        try await server.publish("sc/a", "1", properties: Array(whole.dropLast()))
        try await server.publish("sc/a", "2", properties: whole + [("ls-seq", "9")])
        try await server.publish("sc/a", "3", properties: padding + whole)
        try await server.publish(
            "sc/a", "4", properties: whole + [("ls-origin", String(repeating: "é", count: 30_000))])
        try await server.publish("sc/a", "5", properties: [("", ""), ("other", "ä")] + whole)
        let arrivals = try await conversation.arrivals(5)
        #expect(arrivals.map(\.text) == ["1", "2", "3", "4", "5"])
        #expect(arrivals.map { $0.header?.origin.sequence } == [nil, nil, nil, nil, 2])
        try await conversation.stop()
    }

    @Test func `names that no broker takes are refused and their neighbours arrive`() async throws {
        let server = try await LocalServer.mosquitto()
        let conversation = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(options: ["qos": .text("1")])), server.upstream)
        try await conversation.subscribe(.prefix("sc/"))
        let bad = [
            "sc/" + String(repeating: "/", count: 201), "sc/\u{0}", "sc/a\u{0}b", "sc/\u{1}", "sc/\u{FFFE}", "sc/+", "",
            String(repeating: "x", count: 70_000),
        ]
        for (index, name) in bad.enumerated() {
            conversation.host.publish("sc/good", "\(index)")
            conversation.host.publish(name, "bad")
        }
        let settled = try await conversation.settled(upTo: UInt64(bad.count * 2))
        for (ticket, reason) in settled { #expect(reason == (ticket % 2 == 0 ? .badName : nil), "ticket \(ticket)") }
        #expect(try await conversation.arrivals(bad.count).map(\.text) == bad.indices.map { "\($0)" })
        try await conversation.stop()
    }

    @Test func `what is larger than the broker takes is refused, announced limit or not`() async throws {
        for line in ["message_size_limit 1000", "max_packet_size 1000"] {
            let server = try await LocalServer.mosquitto { $0.configuration = line }
            let conversation = try await TestConversation.connected(
                try MQTTBridge(settings: .mqtt(options: ["qos": .text("1")])), server.upstream)
            conversation.host.publish("sc/a", "small")
            conversation.host.publish("sc/a", String(repeating: "x", count: 2000))
            conversation.host.publish("sc/a", "small")
            let settled = try await conversation.settled(upTo: 3).sorted { $0.0 < $1.0 }
            #expect(settled.map(\.1) == [nil, .tooLarge, nil], "\(line)")
            try await conversation.stop()
        }
    }

    @Test func `what the access list forbids is refused and its neighbours are confirmed`() async throws {
        let server = try await LocalServer.mosquitto {
            $0.users = ["bridge": "s3cret"]
            $0.accessList = "user bridge\ntopic readwrite sc/#\n"
        }
        let conversation = try await TestConversation.connected(
            try MQTTBridge(settings: .mqtt(username: "bridge", password: "s3cret", options: ["qos": .text("1")])),
            server.upstream)
        conversation.host.publish("sc/a", "1")
        conversation.host.publish("secret/a", "2")
        conversation.host.publish("sc/a", "3")
        let settled = try await conversation.settled(upTo: 3).sorted { $0.0 < $1.0 }
        #expect(settled.map(\.1) == [nil, .forbidden, nil])
        try await conversation.stop()
    }

    @Test func `a slow server holds a bounded number of batches`() async throws {
        let server = try await LocalServer.mosquitto()
        let receiver = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        let sender = try await TestConversation.connected(try MQTTBridge(settings: .mqtt()), server.upstream)
        try await receiver.subscribe(.exact("sc/a"))
        receiver.host.holdBatches()
        let last = (0..<5000).map { sender.host.publish("sc/a", "\($0)", header: .test(UInt64($0))) }.last!
        try await sender.settled(upTo: last)
        _ = try await receiver.arrivals(1)
        let limit = Conversation.batchesUnderWayLimit
        _ = try await eventually("as many batches as may wait") { receiver.host.heldBatchCount == limit ? true : nil }
        #expect(receiver.arrivedSoFar.count <= limit * Conversation.batchLimit)
        receiver.host.takeHeldBatches()
        #expect(try await receiver.arrivals(5000).map(\.text) == (0..<5000).map { "\($0)" })
        try await receiver.stop()
        try await sender.stop()
    }

    @Test func `a bridge converses again after a good-bye`() async throws {
        let server = try await LocalServer.mosquitto()
        let bridge = try MQTTBridge(settings: .mqtt())
        for round in 0..<3 {
            let conversation = try await TestConversation.connected(bridge, server.upstream)
            #expect(try await conversation.facts().resumedSession == false)
            try await conversation.subscribe(.exact("sc/a"))
            try await server.publish("sc/a", "\(round)")
            #expect(try await conversation.arrivals(1).map(\.text) == ["\(round)"])
            conversation.cancel()
            #expect(try await conversation.end(within: .seconds(60)) == nil)
        }
    }
}
