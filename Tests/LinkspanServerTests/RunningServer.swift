import LinkspanBridgeKit
import LinkspanCore
import Logging
import NIOCore
import NIOSSL

@testable import LinkspanServer

/// Runs `body` beside a server on a free loopback port, and stops the server after it.
func withServer(
    bridgePlane: (any BridgePlane)? = nil, instance: InstanceID = InstanceID("test-1")!,
    application: Application? = nil, rings: RingMaker = RingMaker(),
    _ change: (inout ServerSettings) -> Void = { _ in }, tls: TLSConfiguration? = nil,
    _ body: (LinkspanServer, SocketAddress) async throws -> Void
) async throws {
    var settings = ServerSettings()
    settings.host = "127.0.0.1"
    settings.port = 0
    settings.eventLoops = 2
    // Tests count what arrives; those of pings switch them on.
    settings.timing.pingTimeoutDisabled = true
    change(&settings)
    let server = LinkspanServer(
        settings: settings, instance: instance, bridgePlane: bridgePlane, application: application, logger: .quiet,
        rings: rings)
    if let tls { try server.attach(tls: tls) }
    let running = Task { try await server.run() }
    do {
        try await body(server, try await server.address)
    } catch {
        running.cancel()
        _ = await running.result
        throw error
    }
    running.cancel()
    try await running.value
}

extension Logger {
    static var quiet: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }
}
