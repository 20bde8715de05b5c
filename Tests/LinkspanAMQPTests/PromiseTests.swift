import LinkspanAMQP
import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanBridgeTesting

/// What the guarantee rests on at RabbitMQ.
@Suite(.enabled(if: ServerKind.rabbitMQ.canBeTested))
struct PromiseTests {
    private func states(_ talk: Talk) -> [String: UpstreamPromise.State] {
        Dictionary(uniqueKeysWithValues: talk.read { $0.promises.map { ($0.name, $0.state) } })
    }

    @Test func `declarations that the broker took are kept promises`() async throws {
        try await TestBroker.calm { broker in
            let none = try await Talk.connected(broker.settings(.atMostOnce))
            #expect(self.states(none).isEmpty)
            try await none.finish()

            let talk = try await Talk.connected(broker.settings(.atLeastOnce))
            #expect(
                self.states(talk) == [
                    "exchange": .kept, "queue": .kept, "queue_limits": .assumed, "confirms": .kept, "routing": .assumed,
                ])
            try await talk.finish()

            let mandatory = try await Talk.connected(
                broker.settings(.atLeastOnce, instance: "two", options: ["mandatory": .boolean(true)]))
            #expect(self.states(mandatory)["routing"] == .kept)
            try await mandatory.finish()
        }
    }

    @Test func `a queue and an exchange that differ from what is needed are broken promises`() async throws {
        try await TestBroker.calm { broker in
            let long = broker.settings(.atLeastOnce, options: ["queue_expires": .duration(.seconds(3000))])
            try await Talk.connected(long).finish()
            let talk = Talk.start(try AMQPBridge(settings: broker.settings(.atLeastOnce)), upstream: broker.url)
            #expect(try await talk.error().code == .promise)
            #expect(self.states(talk)["queue"] == .broken)

            let transient: [String: OptionValue] = ["exchange": .text("fleeting"), "exchange_durable": .boolean(false)]
            let open = try await Talk.connected(broker.settings(.atMostOnce, instance: "two", options: transient))
            let kept = broker.settings(.atLeastOnce, instance: "three", options: ["exchange": .text("fleeting")])
            let refused = Talk.start(try AMQPBridge(settings: kept), upstream: broker.url)
            let error = try await refused.error()
            #expect(error.code == .promise && error.message.contains("inequivalent arg 'durable'"), "\(error)")
            #expect(self.states(refused)["exchange"] == .broken)
            try await open.finish()
        }
    }

    @Test func `an exchange that we may not declare is assumed to be durable`() async throws {
        try await TestBroker.calm { broker in
            let user = "reader-\(broker.virtualHost)"
            try await broker.server.control("add_user", user, "s3cret")
            try await broker.server.control(
                "set_permissions", "-p", broker.virtualHost, user, "^linkspan\\.", ".*", ".*")
            var settings = broker.settings(.atLeastOnce, options: ["exchange": .text("amq.topic")])
            settings.username = user
            settings.password = Secret("s3cret")
            let talk = try await Talk.connected(settings)
            #expect(self.states(talk)["exchange"] == .assumed)
            try await talk.finish()
        }
    }
}
