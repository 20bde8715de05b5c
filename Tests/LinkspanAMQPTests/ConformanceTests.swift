import LinkspanAMQP
import LinkspanBridgeKit
import LinkspanBridgeTesting
import TestSupport
import Testing

@Suite(.enabled(if: ServerKind.rabbitMQ.canBeTested))
struct ConformanceTests {
    @Test(arguments: Guarantee.allCases)
    func `the bridge keeps the contract`(_ guarantee: Guarantee) async throws {
        try await TestBroker.calm { broker in
            try await BridgeConformance(settings: broker.settings(guarantee)) { settings in
                try AMQPBridge(settings: settings)
            }.runAll()
        }
    }

    @Test func `the bridge keeps the contract with quorum queues`() async throws {
        try await TestBroker.calm { broker in
            let settings = broker.settings(.atLeastOnce, options: ["queue_type": .text("quorum")])
            try await BridgeConformance(settings: settings) { settings in
                try AMQPBridge(settings: settings)
            }.runAll()
        }
    }
}
