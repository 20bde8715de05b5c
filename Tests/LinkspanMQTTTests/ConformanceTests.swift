import LinkspanBridgeKit
import LinkspanBridgeTesting
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(3)))
struct ConformanceTests {
    struct Variant: Sendable, CustomTestStringConvertible {
        var guarantee: Guarantee
        var version: String
        var qos: String

        var testDescription: String { "\(self.guarantee), version \(self.version), QoS \(self.qos)" }
    }

    static let variants = [
        Variant(guarantee: .atMostOnce, version: "5", qos: "auto"),
        Variant(guarantee: .atMostOnce, version: "5", qos: "2"),
        Variant(guarantee: .atMostOnce, version: "3.1.1", qos: "1"),
        Variant(guarantee: .atLeastOnce, version: "5", qos: "auto"),
        Variant(guarantee: .atLeastOnce, version: "3.1.1", qos: "auto"),
    ]

    @Test(arguments: variants)
    func `the bridge keeps the contract`(variant: Variant) async throws {
        let server = try await LocalServer.mosquitto { $0.users = ["bridge": "s3cret"] }
        let settings = BridgeSettings(
            testing: MQTTBridge.self, url: server.upstream, username: "bridge", password: Secret("s3cret"),
            guarantee: variant.guarantee, options: ["version": .text(variant.version), "qos": .text(variant.qos)])
        try await BridgeConformance(settings: settings) { try MQTTBridge(settings: $0) }.runAll()
    }

    @Test func `the bridge keeps the contract over TLS`() async throws {
        let certificates = try await TestCertificates.make()
        let server = try await LocalServer.mosquitto {
            $0.users = ["bridge": "s3cret"]
            $0.tls = (certificates.server, authority: certificates.authority)
        }
        let settings = BridgeSettings(
            testing: MQTTBridge.self, url: server.tlsUpstream, username: "bridge", password: Secret("s3cret"),
            tls: TLSFiles(authorities: certificates.authority), guarantee: .atLeastOnce)
        try await BridgeConformance(settings: settings) { try MQTTBridge(settings: $0) }.runAll()
    }
}
