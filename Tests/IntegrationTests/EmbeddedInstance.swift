internal import LinkspanAMQP
internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanMQTT
internal import LinkspanRedis
internal import LinkspanServer
internal import Logging
internal import ServiceLifecycle
internal import TestSupport
internal import Testing

/// An instance inside the test process, with the ledgers of its bridges at hand.
final class EmbeddedInstance: Sendable {
    let url: String
    let server: LinkspanServer
    let host: BridgeHost
    private let running: Task<Void, any Error>
    private let group: ServiceGroup

    /// Returns when it accepts clients. The parameters are those of ``InstanceConfiguration``.
    init(_ name: String, brokers: String = "", bridges: String = "", server: String = "") async throws {
        let configuration = InstanceConfiguration(name: name, brokers: brokers, bridges: bridges, server: server)
        let kinds: [any Bridge.Type] = [MQTTBridge.self, RedisBridge.self, AMQPBridge.self]
        let loader = ConfigurationLoader(
            kinds: kinds, environment: [:], hostName: name,
            verify: { settings throws(ConfigurationError) in try BridgeHost.check(settings, bridges: kinds) })
        let settings = try loader.load(configuration.text, fileName: "bridges.yaml").settings
        var logger = Logger(label: "linkspan.\(name)")
        logger.logLevel = .warning
        self.url = configuration.url
        self.host = try BridgeHost(settings: settings, bridges: kinds, logger: logger)
        self.server = LinkspanServer(settings: settings.server, instance: settings.instance.id, logger: logger)
        self.server.attach(self.host)
        self.host.attach(self.server.broker)
        let group = ServiceGroup(services: [self.host, self.server], logger: logger)
        self.group = group
        self.running = Task { try await group.run() }
        _ = try await self.server.address
    }

    func stop() async throws {
        await self.group.triggerGracefulShutdown()
        try await self.running.value
    }

    var bridge: BridgeStatus { self.host.statuses[0] }

    /// Every message that the bridge accepted or received is accounted for, at this very moment and with a reason.
    func expectBalance(sourceLocation: Testing.SourceLocation = #_sourceLocation) {
        let bridge = self.bridge
        #expect(bridge.egress.isBalanced, "\(bridge.egress)", sourceLocation: sourceLocation)
        #expect(bridge.ingress.isBalanced, "\(bridge.ingress)", sourceLocation: sourceLocation)
        #expect(bridge.strayTickets == 0, sourceLocation: sourceLocation)
    }
}
