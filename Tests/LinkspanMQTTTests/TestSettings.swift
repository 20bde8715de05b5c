import LinkspanBridgeKit
import LinkspanBridgeTesting
import NIOCore
import Synchronization
import TestSupport

@testable import LinkspanMQTT

private let numbers = Atomic<Int>(0)

/// A word that no other test uses, for topics and identifiers.
func unique(_ word: String) -> String {
    "\(word)\(numbers.add(1, ordering: .relaxed).newValue)"
}

extension BridgeSettings {
    /// Settings of an MQTT bridge as the configuration would make them: options that are not given have their defaults.
    static func mqtt(
        _ instance: String = unique("instance"), name: String = "test", guarantee: Guarantee = .atMostOnce,
        username: String? = nil, password: String? = nil, tls: TLSFiles = TLSFiles(),
        options: [String: OptionValue] = [:]
    ) -> BridgeSettings {
        var settings = BridgeSettings(
            testing: MQTTBridge.self, url: UpstreamURL(scheme: "mqtt", host: "127.0.0.1", port: 1883),
            username: username, password: password.map { Secret($0) }, tls: tls, guarantee: guarantee, options: options)
        settings.instance = InstanceID(instance)!
        settings.name = name
        settings.optionsPath = "brokers.test.mqtt"
        return settings
    }
}

extension LocalServer {
    var upstream: UpstreamURL { UpstreamURL(scheme: "mqtt", host: "127.0.0.1", port: self.port) }
    var tlsUpstream: UpstreamURL { UpstreamURL(scheme: "mqtts", host: "localhost", port: self.tlsPort) }

    static func mosquitto(_ change: (inout ServerOptions) throws -> Void = { _ in }) async throws -> LocalServer {
        var options = ServerOptions()
        try change(&options)
        return try await LocalServer.start(.mosquitto, options)
    }
}

extension EnvelopeHeader {
    static func test(_ sequence: UInt64 = 1, hops: [String] = ["fra-1"]) -> EnvelopeHeader {
        EnvelopeHeader(
            origin: Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: sequence),
            hops: hops.map { InstanceID($0)! }, acceptedAt: 1_795_216_176_999)
    }
}

extension IngressMessage {
    var text: String { String(buffer: self.payload) }
}
