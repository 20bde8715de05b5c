import LinkspanAMQP
import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanBridgeTesting

/// Instances that share what arrives: `consume: one_of`.
@Suite(.enabled(if: ServerKind.rabbitMQ.canBeTested))
struct GroupTests {
    private static let reserved = "sc.$linkspan.probe"
    private static let queue = "linkspan.group:workers@linkspan"

    private func settings(
        _ broker: TestBroker, _ instance: String, _ guarantee: Guarantee = .atLeastOnce,
        options: [String: OptionValue] = [:]
    ) -> BridgeSettings {
        var settings = broker.settings(guarantee, instance: instance, options: options)
        settings.consumerGroup = "workers"
        settings.unsharedNames = [Self.reserved]
        return settings
    }

    /// A conversation that is subscribed to all that the group shares, and to what it does not.
    private func member(
        _ broker: TestBroker, _ instance: String, _ guarantee: Guarantee = .atLeastOnce,
        options: [String: OptionValue] = [:]
    ) async throws -> Talk {
        let talk = try await Talk.connected(self.settings(broker, instance, guarantee, options: options))
        try await talk.subscribe(.prefix("sc."), .exact(Self.reserved))
        return talk
    }

    /// What each of `talks` has of the names that they share.
    private func shares(_ talks: [Talk]) -> [[String]] {
        talks.map { talk in talk.read { $0.received.filter { $0.name != Self.reserved }.map(\.text) } }
    }

    private func awaitTotal(_ count: Int, of talks: [Talk]) async throws {
        _ = try await eventually(within: Talk.patience, "\(count) different messages at the group") {
            Set(self.shares(talks).joined()).count >= count ? true : nil
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `each message comes to one of three instances`(_ guarantee: Guarantee) async throws {
        try await TestBroker.calm { broker in
            var talks: [Talk] = []
            for instance in ["one", "two", "three"] {
                talks.append(try await self.member(broker, instance, guarantee))
            }
            try await RawClient.run(broker) { client in
                for number in 1...3_000 { try client.publish("sc.\(number % 7)", "\(number)") }
            }
            try await self.awaitTotal(3_000, of: talks)
            for talk in talks { try await talk.finish() }
            let shares = self.shares(talks)
            #expect(shares.joined().count == 3_000)
            #expect(shares.allSatisfy { !$0.isEmpty })
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `what the group does not share comes to every instance, once`(_ guarantee: Guarantee) async throws {
        try await TestBroker.calm { broker in
            let talks = [
                try await self.member(broker, "one", guarantee, options: ["prefetch": .integer(5)]),
                try await self.member(broker, "two", guarantee, options: ["prefetch": .integer(5)]),
            ]
            // Twenty times the prefetch: what is passed over in the shared queue must not fill it.
            try await talks[0].send(1...200, to: Self.reserved)
            try await talks[1].send(201...201, to: "sc.last")
            for talk in talks {
                try await talk.wait(for: "the reserved messages", atMost: Talk.patience) { state in
                    state.received.count { $0.name == Self.reserved } >= 200
                }
            }
            try await self.awaitTotal(1, of: talks)
            for talk in talks { try await talk.finish() }
            for talk in talks {
                let texts = talk.read { $0.received.filter { $0.name == Self.reserved }.map(\.text) }
                #expect(texts == (1...200).map { "\($0)" })
            }
            #expect(self.shares(talks).joined().sorted() == ["201"])
        }
    }

    @Test func `an instance that leaves removes no binding of the others`() async throws {
        try await TestBroker.calm { broker in
            let stays = try await self.member(broker, "one")
            let leaves = try await self.member(broker, "two")
            leaves.add(interest: [.unsubscribe(.prefix("sc."))])
            try await leaves.finish()
            try await stays.send(1...10, to: "sc.a")
            try await self.awaitTotal(10, of: [stays])
            try await stays.finish()
            #expect(self.shares([stays])[0] == (1...10).map { "\($0)" })
        }
    }

    @Test func `what an instance had not taken when it ended comes to another`() async throws {
        try await TestBroker.calm { broker in
            let survivor = try await self.member(broker, "one")
            let victim = try await self.member(broker, "two")
            victim.holdDeliveries()
            try await survivor.send(1...400, to: "sc.a")
            try await victim.wait(for: "messages that are not taken", atMost: Talk.patience) { !$0.received.isEmpty }
            #expect(self.shares([survivor])[0].count < 400)
            victim.cancel(keepingHeld: true)
            _ = await victim.end(atMost: Talk.patience)
            try await self.awaitTotal(400, of: [survivor])
            try await survivor.finish()
            #expect(Set(self.shares([survivor])[0]).count == 400)
        }
    }

    @Test func `messages wait in the shared queue while nobody is there, and survive the broker`() async throws {
        try await TestBroker.faulty { broker in
            try await self.member(broker, "one").finish()
            var settings = broker.settings(.atLeastOnce, instance: "sender")
            settings.receives = false
            let sender = try await Talk.connected(settings)
            try await sender.send(1...100, to: "sc.a")
            try await sender.finish()
            try await broker.server.kill()
            try await broker.server.restart()
            let talk = try await Talk.connected(self.settings(broker, "two"))
            #expect(talk.read { $0.facts[0].resumedSession })
            try await self.awaitTotal(100, of: [talk])
            try await talk.finish()
        }
    }

    @Test func `without a guarantee the shared queue goes with the last of the group`() async throws {
        try await TestBroker.calm { broker in
            try await self.member(broker, "one", .atMostOnce).finish()
            _ = try await eventually(within: Talk.patience, "the end of the queue") {
                try await broker.server.control("list_queues", "-p", broker.virtualHost, "name").contains {
                    $0.contains(Self.queue)
                } ? nil : true
            }
        }
    }

    @Test func `a queue that differs from what the group needs is a broken promise`() async throws {
        try await TestBroker.calm { broker in
            try await self.member(broker, "one").finish()
            let settings = self.settings(broker, "two", options: ["queue_expires": .duration(.seconds(3_000))])
            let talk = Talk.start(try AMQPBridge(settings: settings), upstream: broker.url)
            #expect(try await talk.error().code == .promise)
            #expect(talk.read { $0.promises.first { $0.name == "queue" }?.state } == .broken)
        }
    }
}
