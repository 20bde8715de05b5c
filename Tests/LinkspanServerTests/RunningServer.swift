import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore

/// Runs `body` beside a server on a free loopback port, and stops the server after it.
func withServer(
    bridgePlane: (any BridgePlane)? = nil, _ change: (inout ServerSettings) -> Void = { _ in },
    _ body: @Sendable (LinkspanServer, SocketAddress) async throws -> Void
) async throws {
    var settings = ServerSettings()
    settings.host = "127.0.0.1"
    settings.port = 0
    settings.eventLoops = 2
    change(&settings)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = LinkspanServer(
        settings: settings, instance: InstanceID("test-1")!, bridgePlane: bridgePlane, logger: logger)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        do {
            try await body(server, try await server.address)
        } catch {
            group.cancelAll()
            throw error
        }
        group.cancelAll()
        try await group.waitForAll()
    }
}
