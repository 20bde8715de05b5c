import LinkspanAMQP
import LinkspanBridgeKit
import LinkspanBridgeTesting
import TestSupport

/// Settings of bridges to a test's virtual host.
struct TestBroker: Sendable {
    var server: LocalServer
    var virtualHost: String

    var url: UpstreamURL {
        UpstreamURL(scheme: "amqp", host: "127.0.0.1", port: self.server.port, path: self.virtualHost)
    }

    func settings(
        _ guarantee: Guarantee = .atMostOnce, instance: String = "one", options: [String: OptionValue] = [:]
    ) -> BridgeSettings {
        var settings = BridgeSettings(
            testing: AMQPBridge.self, url: self.url, username: "guest", password: Secret("guest"),
            guarantee: guarantee, options: options)
        settings.instance = InstanceID(instance)!
        return settings
    }

    /// Runs `body` with a virtual host of its own on the server that nobody disturbs.
    static func calm(_ body: (TestBroker) async throws -> Void) async throws {
        try await SharedRabbitMQ.withVirtualHost { server, virtualHost in
            try await body(TestBroker(server: server, virtualHost: virtualHost))
        }
    }

    /// Runs `body` with a server that it may kill, freeze and fill.
    static func faulty(_ body: (TestBroker) async throws -> Void) async throws {
        try await SharedRabbitMQ.withFaults { server, virtualHost in
            try await body(TestBroker(server: server, virtualHost: virtualHost))
        }
    }
}
