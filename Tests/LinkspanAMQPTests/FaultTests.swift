import LinkspanAMQP
import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanBridgeTesting

/// What a conversation says and does when the broker turns it away, stops, forgets or changes its mind.
@Suite(.enabled(if: ServerKind.rabbitMQ.canBeTested))
struct FaultTests {
    /// Short enough for tests that freeze the broker.
    private static let options: [String: OptionValue] = ["heartbeat": .duration(.seconds(1))]

    /// For tests in which the connection must hold although the machine is slow: two of these without a byte are its end.
    private static let steady: [String: OptionValue] = ["heartbeat": .duration(.seconds(4))]

    @Test func `a wrong password is refused, and the password stays out of the error`() async throws {
        try await TestBroker.calm { broker in
            var settings = broker.settings()
            settings.password = Secret("not-this-one")
            let error = try await Talk.error(of: settings)
            #expect(error.code == .refused)
            #expect(error.message.contains("ACCESS_REFUSED"))
            #expect(!error.message.contains("not-this-one"))
        }
    }

    @Test func `a virtual host that is missing is named`() async throws {
        try await TestBroker.calm { broker in
            var settings = broker.settings()
            settings.urls[0].path = "nowhere"
            let error = try await Talk.error(of: settings)
            #expect(error.code == .refused)
            #expect(error.message.contains("vhost nowhere not found"))
        }
    }

    @Test func `an exchange of another type is refused with the broker's words`() async throws {
        try await TestBroker.calm { broker in
            let error = try await Talk.error(of: broker.settings(options: ["exchange": .text("amq.fanout")]))
            #expect(error.code == .refused)
            #expect(error.message.contains("inequivalent arg 'type'"))
        }
    }

    @Test func `an exchange that we may not declare is used when it is there, and named when it is not`() async throws {
        try await TestBroker.calm { broker in
            let user = "limited-\(broker.virtualHost)"
            try await broker.server.control("add_user", user, "s3cret")
            try await broker.server.control(
                "set_permissions", "-p", broker.virtualHost, user, "^linkspan\\.", ".*", ".*")
            var settings = broker.settings()
            settings.username = user
            settings.password = Secret("s3cret")
            let error = try await Talk.error(of: settings)
            #expect(error.message.contains("no exchange 'linkspan'"))
            settings.options["exchange"] = .text("amq.topic")
            let talk = try await Talk.connected(settings)
            try await talk.subscribe(.exact("sc.a"))
            try await talk.send(1...1, to: "sc.a")
            #expect(try await talk.receive(count: 1) == ["1"])
            try await talk.finish()
        }
    }

    @Test func `a name that does not resolve is unreachable`() async throws {
        var settings = BridgeSettings(
            testing: AMQPBridge.self, url: UpstreamURL(scheme: "amqp", host: "nowhere.invalid", port: 5672))
        settings.options["connect_timeout"] = .duration(.seconds(1))
        let error = try await Talk.error(of: settings)
        #expect(error.code == .unreachable)
        #expect(error.message.contains("nowhere.invalid"))
    }

    @Test func `a connection that the broker closes ends with its reason`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings())
            try await broker.server.control("close_all_connections", "--vhost", broker.virtualHost, "maintenance")
            let error = try await talk.error()
            #expect(error.code == .lost)
            #expect(error.message.contains("maintenance"))
        }
    }

    @Test func `a queue that is deleted under us ends the conversation`() async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings(.atLeastOnce))
            try await broker.server.control("delete_queue", "-p", broker.virtualHost, "linkspan.one.conformance")
            let error = try await talk.error()
            #expect(error.code == .lost)
            #expect(error.message.contains("queue was deleted"))
            let again = try await Talk.connected(broker.settings(.atLeastOnce))
            #expect(again.read { !$0.facts[0].resumedSession })
            try await again.finish()
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `a binding that is deleted under us is there again when its filter is asked for again`(
        _ guarantee: Guarantee
    ) async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings(guarantee))
            try await talk.subscribe(.exact("sc.a"))
            try await broker.server.deleteBinding(
                "sc.a", of: "linkspan.one.conformance", virtualHost: broker.virtualHost)
            try await talk.send(1...1, to: "sc.a")
            try await talk.subscribe(.exact("sc.a"))
            try await talk.send(2...2, to: "sc.a")
            #expect(try await talk.receive(count: 1) == ["2"])
            try await talk.finish()
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `an exchange that is deleted under us is noticed by the next publish and declared again`(
        _ guarantee: Guarantee
    ) async throws {
        try await TestBroker.calm { broker in
            let talk = try await Talk.connected(broker.settings(guarantee))
            try await broker.server.evaluate(
                """
                rabbit_exchange:delete(\
                rabbit_misc:r(<<"\(broker.virtualHost)">>, exchange, <<"linkspan">>), false, <<"test">>).
                """)
            talk.add(egress: [message(1, "sc.a")])
            let error = try await talk.error()
            #expect(error.code == .lost)
            #expect(error.message.contains("no exchange 'linkspan'"))
            #expect(talk.read { $0.confirmed.contains(1) } == (guarantee == .atMostOnce))
            let again = try await Talk.connected(broker.settings(guarantee))
            try await again.subscribe(.exact("sc.a"))
            try await again.send(2...2, to: "sc.a")
            #expect(try await again.receive(count: 1) == ["2"])
            try await again.finish()
        }
    }

    @Test func `one forbidden name in a hundred is refused, and the others arrive`() async throws {
        try await TestBroker.calm { broker in
            let (settings, user) = try await self.limited(broker, .atLeastOnce)
            try await broker.server.control(
                "set_topic_permissions", "-p", broker.virtualHost, user, "linkspan", "^sc\\.open", ".*")
            let talk = try await Talk.connected(settings)
            try await talk.subscribe(.prefix("sc."))
            talk.add(egress: (1...101).map { message($0, $0 == 51 ? "sc.closed" : "sc.open.a") })
            try await talk.settle(1...101)
            #expect(talk.read { $0.refused } == [51: .forbidden])
            // What was unsettled when the channel closed is sent again, so some may come twice, in their order.
            #expect(try await talk.receive(distinct: 100) == (1...101).filter { $0 != 51 }.map { "\($0)" })
            talk.add(egress: [message(102, "sc.closed"), message(103, "sc.open.a")])
            try await talk.settle(102...103)
            #expect(talk.read { $0.refused } == [51: .forbidden, 102: .forbidden])
            try await talk.finish()
        }
    }

    @Test func `without confirms a forbidden name is refused from its second publish on`() async throws {
        try await TestBroker.calm { broker in
            let (settings, user) = try await self.limited(broker, .atMostOnce)
            try await broker.server.control(
                "set_topic_permissions", "-p", broker.virtualHost, user, "linkspan", "^sc\\.open", ".*")
            let talk = try await Talk.connected(settings)
            try await talk.subscribe(.exact("sc.open"))
            try await talk.send(1...1, to: "sc.closed")
            var ticket: UInt64 = 1
            while talk.read({ $0.refused.isEmpty }) {
                ticket += 1
                try await talk.send(ticket...ticket, to: "sc.closed")
            }
            try await talk.send(ticket + 1...ticket + 1, to: "sc.open")
            #expect(try await talk.receive(count: 1) == ["\(ticket + 1)"])
            try await talk.finish()
        }
    }

    @Test func `a forbidden binding is settled as refused, and the others work`() async throws {
        try await TestBroker.calm { broker in
            let (settings, user) = try await self.limited(broker, .atMostOnce)
            try await broker.server.control(
                "set_topic_permissions", "-p", broker.virtualHost, user, "linkspan", ".*", "^sc\\.open")
            let talk = try await Talk.connected(settings)
            try await talk.subscribe(.exact("sc.open.a"), .exact("sc.closed"), .exact("sc.open.b"))
            #expect(
                talk.read { $0.settled } == [
                    .exact("sc.open.a"): true, .exact("sc.closed"): false, .exact("sc.open.b"): true,
                ])
            try await talk.send(1...1, to: "sc.open.b")
            #expect(try await talk.receive(count: 1) == ["1"])
            try await talk.finish()
        }
    }

    @Test func `permission for the whole exchange revoked midway loses nothing`() async throws {
        try await TestBroker.calm { broker in
            let (settings, user) = try await self.limited(broker, .atLeastOnce)
            let talk = try await Talk.connected(settings)
            try await talk.send(1...10, to: "sc.a")
            try await broker.server.control("set_permissions", "-p", broker.virtualHost, user, ".*", "^none$", ".*")
            // RabbitMQ looks at permissions again when the AMQP channel was idle for a second or more.
            var ticket: UInt64 = 10
            _ = try await eventually(within: .seconds(60), every: .milliseconds(1_500), "the refusal") {
                ticket += 1
                talk.add(egress: [message(ticket, "sc.a")])
                let last = ticket
                try? await talk.wait(for: "a confirmation", atMost: Talk.patience) { $0.confirmed.contains(last) }
                return talk.read { $0.end != nil } ? true : nil
            }
            let error = try await talk.error()
            #expect(error.code == .refused)
            #expect(error.message.contains("access to exchange 'linkspan'"))
            #expect(talk.read { $0.confirmed } == Set(1..<ticket))
            #expect(talk.read { $0.refused.isEmpty })
        }
    }

    @Test func `a second instance with our id is told from a lost connection`() async throws {
        try await TestBroker.calm { broker in
            let first = try await Talk.connected(broker.settings(.atLeastOnce))
            let error = try await Talk.error(of: broker.settings(.atLeastOnce))
            #expect(error.code == .takenOver)
            #expect(error.message.contains("another instance"))
            try await first.finish()
            try await Talk.connected(broker.settings(.atLeastOnce)).finish()
        }
    }

    @Test func `a queue that is locked by a connection not yet given up is no obstacle`() async throws {
        try await TestBroker.calm { broker in
            let first = try await Talk.connected(broker.settings())
            let second = try await Talk.connected(broker.settings())
            try await second.subscribe(.exact("sc.a"))
            try await second.send(1...1, to: "sc.a")
            #expect(try await second.receive(count: 1) == ["1"])
            try await second.finish()
            try await first.finish()
        }
    }

    @Test func `a broker short of memory stops what we publish, and nothing is lost when it has room again`()
        async throws
    {
        try await TestBroker.faulty { broker in
            let talk = try await Talk.connected(broker.settings(.atLeastOnce, options: Self.steady))
            try await talk.subscribe(.exact("sc.a"))
            try await talk.send(1...10, to: "sc.a")
            try await broker.server.control("set_vm_memory_high_watermark", "absolute", "10MB")
            _ = try await eventually("the alarm") {
                try await broker.server.evaluate("rabbit_alarm:get_alarms().").joined().contains("memory") ? true : nil
            }
            talk.add(egress: (11...5_000).map { message($0, "sc.a") })
            // Longer than two heartbeats: being blocked is no reason to give the connection up. Interest still changes.
            let end = ContinuousClock.now + .seconds(10)
            var number = 0
            while ContinuousClock.now < end {
                number += 1
                try await talk.subscribe(.exact("sc.blocked.\(number)"))
                _ = try await broker.server.control("status")
            }
            let unconfirmed = talk.read { 5_000 - $0.confirmed.count }
            #expect(unconfirmed > 3_900)
            try await broker.server.control("set_vm_memory_high_watermark", "absolute", "2GB")
            try await talk.settle(1...5_000, atMost: .seconds(60))
            let texts = try await talk.receive(count: 5_000, atMost: .seconds(60))
            #expect(texts == (1...5_000).map { "\($0)" })
            #expect(talk.read { $0.refused.isEmpty })
            try await talk.finish()
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `a frozen broker is noticed by its missing heartbeats while we publish`(_ guarantee: Guarantee) async throws {
        try await TestBroker.faulty { broker in
            let talk = try await Talk.connected(broker.settings(guarantee, options: Self.options))
            try await talk.subscribe(.exact("sc.a"))
            try await talk.send(1...10, to: "sc.a")
            broker.server.pause()
            talk.add(egress: (11...50_000).map { message($0, "sc.a") })
            let start = ContinuousClock.now
            let error = try await talk.error()
            #expect(error.code == .silent)
            #expect(ContinuousClock.now - start < .seconds(60))
            broker.server.resume()
            let again = try await Talk.connected(broker.settings(guarantee, instance: "again", options: Self.options))
            try await again.subscribe(.exact("sc.b"))
            try await again.send(1...10, to: "sc.b")
            #expect(try await again.receive(count: 10).count == 10)
            try await again.finish()
        }
    }

    @Test func `a server that takes nothing for longer than the heartbeats stays connected and misses nothing`()
        async throws
    {
        try await TestBroker.calm { broker in
            let receiver = try await Talk.connected(
                broker.settings(.atMostOnce, instance: "receiver", options: Self.steady))
            try await receiver.subscribe(.exact("sc.a"))
            receiver.holdDeliveries()
            let sender = try await Talk.connected(broker.settings(.atLeastOnce, instance: "sender"))
            // One by one, so that each is a batch of its own until reading pauses.
            for ticket in UInt64(1)...20 { try await sender.send(ticket...ticket, to: "sc.a") }
            try await sender.send(21...5_000, to: "sc.a")
            let start = ContinuousClock.now
            _ = try await eventually(every: .milliseconds(500), "three heartbeats") {
                ContinuousClock.now - start > .seconds(12) ? true : nil
            }
            #expect(receiver.read { $0.received.count } < 5_000)
            receiver.releaseDeliveries()
            #expect(try await receiver.receive(count: 5_000) == (1...5_000).map { "\($0)" })
            try await sender.finish()
            try await receiver.finish()
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `a broker that stands still for a moment costs no more than that moment`(_ guarantee: Guarantee) async throws {
        try await TestBroker.faulty { broker in
            // A wake-up that is lost here would be made good by the heartbeat's tick, after 100 s.
            var settings = broker.settings(guarantee, options: ["heartbeat": .duration(.seconds(300))])
            settings.receives = false
            let talk = try await Talk.connected(settings)
            try await talk.send(1...10, to: "sc.a")
            broker.server.pause()
            let text = String(repeating: "x", count: 1_000)
            talk.add(
                egress: (11...20_000).map {
                    EgressMessage(ticket: $0, name: "sc.a", payload: ByteBuffer(string: text), header: nil)
                })
            try await talk.wait(for: "messages to be taken", atMost: Talk.patience) { $0.egress.count < 19_990 }
            broker.server.resume()
            try await talk.settle(11...20_000, atMost: .seconds(60))
            #expect(talk.read { $0.refused.isEmpty })
            try await talk.finish()
        }
    }

    @Test func `a publish that is stuck inside the library is cut off`() async throws {
        try await TestBroker.faulty { broker in
            var settings = broker.settings(.atLeastOnce, options: Self.options)
            settings.receives = false
            let talk = try await Talk.connected(settings)
            broker.server.pause()
            // Far more than the socket takes, so that the library waits inside one call.
            let large = ByteBuffer(repeating: 0x20, count: 64 << 20)
            talk.add(egress: [EgressMessage(ticket: 1, name: "sc.a", payload: large, header: nil)])
            let error = try await talk.error(atMost: .seconds(60))
            #expect(error.code == .silent)
            #expect(error.message.contains("no progress inside librabbitmq"))
        }
    }

    @Test func `a stop comes through to a conversation that is stuck inside the library`() async throws {
        try await TestBroker.faulty { broker in
            var settings = broker.settings(.atLeastOnce)
            settings.receives = false
            let talk = try await Talk.connected(settings)
            broker.server.pause()
            let large = ByteBuffer(repeating: 0x20, count: 64 << 20)
            talk.add(egress: [EgressMessage(ticket: 1, name: "sc.a", payload: large, header: nil)])
            try await talk.wait(for: "the message to be taken", atMost: Talk.patience) { $0.inFlight.contains(1) }
            talk.cancel()
            #expect(await talk.end(atMost: .seconds(60)) != nil)
        }
    }

    @Test func `what was confirmed before the broker was killed is there after its restart`() async throws {
        try await TestBroker.faulty { broker in
            let receiver = try await Talk.connected(broker.settings(.atLeastOnce, instance: "receiver"))
            try await receiver.subscribe(.exact("sc.a"))
            try await receiver.finish()
            let sender = try await Talk.connected(broker.settings(.atLeastOnce, instance: "sender"))
            sender.add(egress: (1...20_000).map { message($0, "sc.a") })
            try await sender.wait(for: "confirmations", atMost: Talk.patience) { $0.confirmed.count > 2_000 }
            try await broker.server.kill()
            let error = try await sender.error()
            #expect(error.code == .lost)
            let confirmed = sender.read { $0.confirmed }
            try await broker.server.restart()
            let again = try await Talk.connected(broker.settings(.atLeastOnce, instance: "receiver"))
            #expect(again.read { $0.facts[0].resumedSession })
            try await again.wait(for: "every confirmed message", atMost: .seconds(60)) { state in
                state.received.count >= confirmed.count
            }
            let texts = again.read { Set($0.received.map(\.text)) }
            #expect(confirmed.allSatisfy { texts.contains("\($0)") })
            try await again.finish()
        }
    }

    /// Settings of a user of its own, with all rights to the virtual host so far.
    private func limited(
        _ broker: TestBroker, _ guarantee: Guarantee
    ) async throws -> (settings: BridgeSettings, user: String) {
        let user = "user-\(broker.virtualHost)"
        try await broker.server.control("add_user", user, "s3cret")
        try await broker.server.control("set_permissions", "-p", broker.virtualHost, user, ".*", ".*", ".*")
        var settings = broker.settings(guarantee)
        settings.username = user
        settings.password = Secret("s3cret")
        return (settings, user)
    }
}
