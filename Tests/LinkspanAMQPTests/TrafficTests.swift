import LinkspanAMQP
import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanBridgeTesting

/// What crosses a broker that nobody disturbs, as programs without Linkspan see it.
@Suite(.enabled(if: ServerKind.rabbitMQ.canBeTested))
struct TrafficTests {
    @Test func `another program reads our messages as plain JSON with the header beside it`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings(.atLeastOnce))
            try await RawClient.run(broker) { try $0.declareQueue("seen", key: "sc.#") }
            let header = EnvelopeHeader(
                origin: Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: 5),
                hops: [InstanceID("fra-1")!, InstanceID("ams-2")!], acceptedAt: 1_795_216_176_999)
            talk.add(egress: [message(1, "sc.news", header: header)])
            try await talk.settle(1...1)
            let seen = try #require(try await RawClient.run(broker) { try $0.get("seen") })
            #expect(seen.body == "1")
            #expect(seen.contentType == "application/json")
            #expect(seen.messageID == "fra-1/1795216176123/5/1795216176999/fra-1,ams-2")
            #expect(seen.appID == "linkspan")
            #expect(seen.timestamp == 1_795_216_176)
            #expect(seen.deliveryMode == 2)
            #expect(seen.headers == [:])
            try await talk.finish()
        }
    }

    @Test func `a header too long for the message id is an entry of the table`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings(.atLeastOnce))
            try await RawClient.run(broker) { try $0.declareQueue("seen", key: "sc.#") }
            let hops = (0..<4).map { String(repeating: "\($0)", count: 64) }
            let header = EnvelopeHeader(
                origin: Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: 5),
                hops: hops.map { InstanceID($0)! }, acceptedAt: 1_795_216_176_999)
            talk.add(egress: [message(1, "sc.news", header: header)])
            try await talk.settle(1...1)
            let seen = try #require(try await RawClient.run(broker) { try $0.get("seen") })
            #expect(seen.messageID == "fra-1/1795216176123/5")
            let text = "fra-1/1795216176123/5/1795216176999/" + hops.joined(separator: ",")
            #expect(seen.headers == ["ls-header": text])
            try await talk.finish()
        }
    }

    @Test func `a header is believed in one place, which is the message id of instances only`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings())
            try await talk.subscribe(.exact("sc.news"))
            let text = "fra-1/1/2/3"
            let fields: [(String, RawClient.Value)] = [
                ("ls-origin", .text("fra-1")), ("ls-epoch", .integer(1)), ("ls-seq", .integer(4)),
                ("ls-hops", .text("fra-1,ams-2")), ("ls-at", .integer(3)),
            ]
            try await RawClient.run(broker) { client in
                try client.publish("sc.news", "0", messageID: text, appID: "linkspan")
                try client.publish("sc.news", "1", messageID: text, appID: "another")
                try client.publish("sc.news", "2", messageID: text)
                try client.publish("sc.news", "3", messageID: "fra-1/1/2", appID: "linkspan")
                try client.publish("sc.news", "4", headers: [("ls-header", .text(text))])
                try client.publish("sc.news", "5", headers: fields, messageID: "fra-1/1/4", appID: "linkspan")
                try client.publish("sc.news", "6", headers: fields + [("ls-header", .text(text))])
                try client.publish(
                    "sc.news", "7", headers: [("ls-header", .integer(1))], messageID: text, appID: "linkspan")
                try client.publish(
                    "sc.news", "8", headers: [("ls-hops", .text("ams-2"))], messageID: text, appID: "linkspan")
            }
            #expect(try await talk.receive(count: 9) == (0...8).map { "\($0)" })
            let sequences = talk.read { $0.received.map { $0.header?.origin.sequence } }
            #expect(sequences == [2, nil, nil, nil, 2, 4, nil, nil, nil])
            try await talk.finish()
        }
    }

    @Test func `a stock program publishes into a channel`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings())
            try await talk.subscribe(.exact("sc.news"))
            try await ChildProcess.run(
                "amqp-publish",
                [
                    "-u", broker.server.url(virtualHost: broker.virtualHost), "-e", "linkspan", "-r", "sc.news", "-b",
                    "{\"a\":1}",
                ])
            #expect(try await talk.receive(count: 1) == ["{\"a\":1}"])
            #expect(talk.read { $0.received[0].header } == nil)
            try await talk.finish()
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `ten thousand messages arrive once and in order`(_ guarantee: Guarantee) async throws {
        try await TestBroker.calm { broker in
            let receiver = try await Talk.connected(broker.settings(guarantee, instance: "receiver"))
            let sender = try await Talk.connected(broker.settings(guarantee, instance: "sender"))
            try await receiver.subscribe(.exact("sc.order"))
            try await sender.send(1...10_000, to: "sc.order", atMost: .seconds(60))
            let texts = try await receiver.receive(count: 10_000, atMost: .seconds(60))
            #expect(texts == (1...10_000).map { "\($0)" })
            #expect(sender.read { $0.refused.isEmpty })
            try await sender.finish()
            try await receiver.finish()
        }
    }

    @Test func `reading goes on at once when the server takes what made it pause`() async throws {
        try await TestBroker.calm { broker in
            // The longest interval between two looks at the clock, so that no such look ends the pause.
            let receiver = try await Talk.connected(
                broker.settings(instance: "receiver", options: ["heartbeat": .duration(.seconds(300))]))
            let sender = try await Talk.connected(broker.settings(instance: "sender"))
            try await receiver.subscribe(.exact("sc.pause"))
            receiver.holdDeliveries()
            var sent: UInt64 = 0
            // Messages one after the other are batches of their own.
            while receiver.read({ $0.held.count }) < 4 {
                sent += 1
                try await sender.send(sent...sent, to: "sc.pause")
                _ = try await receiver.receive(count: Int(sent))
            }
            try await sender.send((sent + 1)...(sent + 500), to: "sc.pause")
            receiver.releaseDeliveries()
            _ = try await receiver.receive(count: Int(sent) + 500, atMost: .seconds(60))
            try await sender.finish()
            try await receiver.finish()
        }
    }

    @Test func `each filter is one binding at the broker, and none stays`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings())
            try await talk.subscribe(.exact("sc.a"), .exact("sc.a"), .prefix("sc.b"), .prefix("sc.c"))
            let bindings = { () async throws -> Set<String> in
                Set(
                    try await broker.server.control(
                        "list_bindings", "-p", broker.virtualHost, "source_name", "destination_name", "routing_key",
                        "--no-table-headers"
                    ).filter { $0.hasPrefix("linkspan\t") })
            }
            #expect(
                try await bindings() == [
                    "linkspan\tlinkspan.one.conformance\tsc.a", "linkspan\tlinkspan.one.conformance\tsc.#",
                ])
            talk.add(interest: [
                .unsubscribe(.exact("sc.a")), .unsubscribe(.prefix("sc.b")), .unsubscribe(.prefix("sc.c")),
            ])
            try await talk.subscribe(.exact("sc.mark"))
            #expect(try await bindings() == ["linkspan\tlinkspan.one.conformance\tsc.mark"])
            try await talk.finish()
            #expect(try await bindings() == [])
        }
    }

    @Test func `a bridge that only receives and one that only sends have one connection each`() async throws {
        try await TestBroker.calm { broker in
            var receiving = broker.settings(instance: "in")
            receiving.sends = false
            var sending = broker.settings(instance: "out")
            sending.receives = false
            let receiver = try await Talk.connected(receiving)
            let sender = try await Talk.connected(sending)
            try await receiver.subscribe(.exact("sc.a"))
            try await receiver.subscribe(.exact("sc.b"))
            try await sender.send(1...3, to: "sc.b")
            #expect(try await receiver.receive(count: 3) == ["1", "2", "3"])
            let names = try await broker.server.control("list_connections", "client_properties", "--no-table-headers")
            #expect(names.filter { $0.contains("linkspan in conformance") }.count == 1)
            #expect(names.filter { $0.contains("linkspan out conformance publish") }.count == 1)
            try await sender.finish()
            try await receiver.finish()
        }
    }

    @Test func `hostile headers make a message raw and stop nothing`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings())
            try await talk.subscribe(.exact("sc.news"))
            let good: [(String, RawClient.Value)] = [
                ("ls-origin", .text("fra-1")), ("ls-epoch", .text("1")), ("ls-seq", .integer(2)),
                ("ls-hops", .text("")),
                ("ls-at", .integer(3)),
            ]
            try await RawClient.run(broker) { client in
                try client.publish("sc.news", "0", headers: [("deep", .nested(18_000))])
                try client.publish("sc.news", "1", headers: [("ls-hops", .nested(9_000))] + good)
                try client.publish("sc.news", "2", headers: good.map { ($0.0, .boolean(true)) })
                try client.publish("sc.news", "3", headers: good.map { ($0.0, .integer(-1)) })
                try client.publish(
                    "sc.news", "4", headers: good.map { ($0.0, .text(String(repeating: "x", count: 20_000))) })
                try client.publish("sc.news", "5", headers: (0..<2_000).map { ("ls-\($0)", .text("x")) })
                try client.publish("sc.news", "6", headers: good)
                try client.publish("sc.news", "7")
            }
            #expect(try await talk.receive(count: 8) == (0...7).map { "\($0)" })
            let headers = talk.read { $0.received.map(\.header) }
            #expect(headers[0] == nil)
            #expect(headers[2...5].allSatisfy { $0 == nil })
            #expect(headers[6]?.origin == Origin(instance: InstanceID("fra-1")!, epoch: 1, sequence: 2))
            #expect(headers[7] == nil)
            try await talk.finish()
        }
    }

    @Test func `what was not taken is delivered again to the next conversation`() async throws {
        try await TestBroker.calm { broker in
            let sender = try await Talk.connected(broker.settings(.atLeastOnce, instance: "sender"))
            let first = try await Talk.connected(broker.settings(.atLeastOnce))
            #expect(first.read { !$0.facts[0].resumedSession })
            try await first.subscribe(.exact("sc.news"))
            try await sender.send(1...2, to: "sc.news")
            _ = try await first.receive(count: 2)
            first.holdDeliveries()
            try await sender.send(3...5, to: "sc.news")
            _ = try await first.receive(count: 5)
            first.cancel(keepingHeld: true)
            _ = await first.end(atMost: .seconds(60))
            try await sender.send(6...6, to: "sc.news")
            let second = try await Talk.connected(broker.settings(.atLeastOnce))
            #expect(second.read { $0.facts[0].resumedSession })
            #expect(try await second.receive(count: 4) == ["3", "4", "5", "6"])
            try await second.finish()
            try await sender.finish()
        }
    }

    @Test func `a binding of an earlier life is withdrawn by its first message`() async throws {
        try await TestBroker.calm { broker in
            let sender = try await Talk.connected(broker.settings(.atLeastOnce, instance: "sender"))
            let first = try await Talk.connected(broker.settings(.atLeastOnce))
            try await first.subscribe(.exact("sc.old"), .exact("sc.kept"))
            try await first.finish()
            let second = try await Talk.connected(broker.settings(.atLeastOnce))
            try await second.subscribe(.exact("sc.kept"))
            try await sender.send(1...1, to: "sc.old")
            try await sender.send(2...2, to: "sc.kept")
            #expect(try await second.receive(count: 2) == ["1", "2"])
            try await second.subscribe(.exact("sc.mark"))
            let keys = try await broker.server.control(
                "list_bindings", "-p", broker.virtualHost, "source_name", "routing_key", "--no-table-headers"
            ).filter { $0.hasPrefix("linkspan\t") }
            #expect(Set(keys) == ["linkspan\tsc.kept", "linkspan\tsc.mark"])
            try await second.finish()
            try await sender.finish()
        }
    }

    @Test func `a mandatory publish without a queue is unroutable, once, and the others are confirmed`() async throws {
        try await TestBroker.calm { broker in
            var settings = broker.settings(.atLeastOnce, options: ["mandatory": .boolean(true)])
            settings.receives = false
            let talk = try await Talk.connected(settings)
            try await RawClient.run(broker) { try $0.declareQueue("seen", key: "sc.seen") }
            let origin = Origin(instance: InstanceID("fra-1")!, epoch: 1, sequence: 1)
            let header = EnvelopeHeader(origin: origin, hops: [], acceptedAt: 1)
            var messages = (1...400).map { message($0, $0 % 2 == 0 ? "sc.seen" : "sc.nowhere") }
            messages.append(message(401, "sc.nowhere", header: header))
            talk.add(egress: messages)
            try await talk.settle(1...401)
            let (confirmed, refused) = talk.read { ($0.confirmed, $0.refused) }
            #expect(confirmed == Set((1...200).map { UInt64($0 * 2) }))
            #expect(refused.count == 201)
            #expect(refused.values.allSatisfy { $0 == .unroutable })
            try await talk.finish()
        }
    }

    @Test func `a message that a full queue rejects is sent again until there is room`() async throws {
        try await TestBroker.calm { broker in
            var settings = broker.settings(.atLeastOnce)
            settings.receives = false
            let talk = try await Talk.connected(settings)
            try await RawClient.run(broker) { try $0.declareQueue("small", key: "sc.a", limit: 3) }
            talk.add(egress: (1...6).map { message($0, "sc.a") })
            try await talk.wait(for: "three confirmations", atMost: Talk.patience) { $0.confirmed.count >= 3 }
            var bodies: [String] = []
            while bodies.count < 6 {
                let body = try await RawClient.run(broker) { try $0.get("small")?.body }
                if let body { bodies.append(body) }
            }
            try await talk.settle(1...6)
            #expect(Set(bodies) == Set((1...6).map { "\($0)" }))
            #expect(talk.read { $0.refused.isEmpty })
            try await talk.finish()
        }
    }
}
