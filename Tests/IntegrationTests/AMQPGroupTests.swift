internal import Glibc
internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// `consume: one_of` over RabbitMQ: instances that share a queue.
@Suite(.serialized, .enabled(if: ServerKind.rabbitMQ.canBeTested))
struct AMQPGroupTests {
    private static let members = """
          up:
            broker: up
            channels: { include: ["work/**"] }
            direction: in
            consume: one_of
            group: workers
            guarantee: at_least_once
            probe: { every: 500ms, deadline: 60s }
            retry: { initial: 100ms, max: 1s }
        """
    private static let sender = """
          up:
            broker: up
            channels: { include: ["work/**"] }
            direction: out
            guarantee: at_least_once
            ack: confirmed
            retry: { initial: 100ms, max: 1s }
        """
    private static let channel = "work/a"

    private let checker: Checker

    init() throws {
        self.checker = try Checker()
    }

    /// What each member's client has received, in this order.
    private var shares: [[Int]] {
        ["a", "b", "c"].map { self.checker.messages($0, Self.channel).compactMap(\.int) }
    }

    private func publish(_ numbers: ClosedRange<Int>) async throws {
        for number in numbers { try await self.checker.publish("s", Self.channel, .number(Double(number))) }
    }

    private func awaitUnion(upTo last: Int) async throws {
        var missing = Set(1...last)
        do {
            _ = try await eventually(within: .seconds(120), "everything at the group") {
                missing.subtract(self.shares.joined())
                return missing.isEmpty ? true : nil
            }
        } catch let error as TimedOut {
            throw TimedOut(what: error.what, limit: error.limit, seen: "missing \(missing.sorted())")
        }
    }

    private func awaitProof(of instances: [EmbeddedInstance]) async throws {
        for instance in instances {
            _ = try await eventually(within: .seconds(120), "proof") {
                instance.bridge.isReady && instance.bridge.probe?.ingress == .proven ? true : nil
            }
        }
    }

    @Test func `each message comes to one instance, also when one is killed and when the broker is`() async throws {
        try await UpstreamKind.amqp.withFaults { upstream in
            let brokers = upstream.patientConfiguration(named: "up")
            let one = try await EmbeddedInstance("one", brokers: brokers, bridges: Self.members)
            let two = try await EmbeddedInstance("two", brokers: brokers, bridges: Self.members)
            let three = try await Instance("three", brokers: brokers, bridges: Self.members)
            let sender = try await EmbeddedInstance("sender", brokers: brokers, bridges: Self.sender)
            for (client, url) in [("a", one.url), ("b", two.url), ("c", three.url)] {
                try await self.checker.open(client, url)
                try await self.checker.subscribe(client, [Self.channel])
            }
            try await self.checker.open("s", sender.url)
            try await self.awaitProof(of: [one, two])
            try await three.wait(forBridge: "up")
            try await upstream.wait(for: 1, subscriptionsTo: ["work/#"])

            try await self.publish(1...150)
            try await self.awaitUnion(upTo: 150)
            #expect(self.shares.joined().count == 150)
            #expect(self.shares.allSatisfy { !$0.isEmpty })

            // Frozen, it takes nothing of its share any more.
            three.process.signal(SIGSTOP)
            try await self.publish(151...300)
            three.process.signal(SIGKILL)
            _ = try await three.process.exit()
            try await self.awaitUnion(upTo: 300)

            try await upstream.server.kill()
            try await upstream.server.restart()
            try await self.publish(301...400)
            try await self.awaitUnion(upTo: 400)
            try await self.awaitProof(of: [one, two])
            for instance in [one, two] { instance.expectBalance() }
            for instance in [one, two, sender] { try await instance.stop() }
        }
    }
}
