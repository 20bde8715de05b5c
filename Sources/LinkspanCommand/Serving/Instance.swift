internal import Glibc
internal import LinkspanAdmin
internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer
internal import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import UnixSignals

/// One instance: a server and its bridges, wired, from start to orderly end.
struct Instance {
    let settings: LinkspanSettings
    let bridges: [any Bridge.Type]
    let logger: Logger
    /// Reads the configuration again, as it was read for ``settings``.
    let load: @Sendable () throws(ConfigurationRejected) -> LinkspanSettings

    /// Longest orderly stop; what is still busy then is cancelled.
    private static let shutdownLimit = Duration.seconds(15)

    /// Runs until SIGTERM or SIGINT; SIGHUP reads keys, permissions, hooks and certificates again.
    ///
    /// - Parameter listening: called once, with the port that clients reach.
    /// - Throws: ``ListenError`` when the client port cannot be opened, ``OperatorListenError`` when the operator port cannot.
    func run(_ listening: @escaping @Sendable (LinkspanSettings, Int) -> Void) async throws {
        let hangUps = await UnixSignalsSequence(trapping: .sighup)
        OpenFiles.raiseLimit(for: self.settings.server.limits.connections, logger: self.logger)
        let server = LinkspanServer(
            settings: self.settings.server, instance: self.settings.instance.id, logger: self.logger)
        let host = try BridgeHost(settings: self.settings, bridges: self.bridges, logger: self.logger)
        host.attach(server.broker)
        server.attach(host) { host.statuses }
        let settings = self.settings
        let announcement = Task {
            // Where the server cannot listen, its own error ends the group and is told there.
            if let port = try? await server.address.port { listening(settings, port) }
        }
        defer { announcement.cancel() }
        // Stops in reverse order: nobody sends new clients here, and the bridges still send what the last clients published.
        let reloads = ReloadCounter()
        let reloader = Reloader(
            server: server, settings: settings, load: self.load, signals: hangUps, counts: reloads, logger: self.logger)
        var services: [any Service] = [host, server, reloader]
        server.listen(after: host.untilOpen)
        if let port = self.operatorPort(of: server, host, reloads) { services.append(port) }
        var configuration = ServiceGroupConfiguration(
            services: services.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm, .sigint],
            logger: self.logger)
        configuration.maximumGracefulShutdownDuration = Self.shutdownLimit
        try await ServiceGroup(configuration: configuration).run()
    }

    private func operatorPort(
        of server: LinkspanServer, _ host: BridgeHost, _ reloads: ReloadCounter
    ) -> OperatorPort? {
        guard let settings = self.settings.server.operatorPort else { return nil }
        let opened = Settlement<Void>()
        server.listen { try await opened.value }
        let instance = self.settings.instance.id
        return OperatorPort(
            settings: settings, limits: self.settings.server.limits, broker: server.broker, logger: self.logger,
            revoke: { await server.revoke($0) },
            snapshot: {
                OperatorSnapshot(
                    version: LinkspanVersion.current, instance: instance, isListening: server.isListening,
                    counters: server.counters, bridges: host.statuses, hooks: server.hooks,
                    reloads: reloads.current, certificateEnds: server.certificateEnds)
            }, routes: { host.routes(of: $0) }, listening: { _ in opened.settle(.success(())) })
    }
}

/// Each connection is an open file, and shells start processes with a low limit.
enum OpenFiles {
    /// What an instance opens beside its clients, with room to spare.
    private static let reserve: rlim_t = 256

    static func raiseLimit(for connections: Int, logger: Logger) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        let wanted = rlim_t(connections) + Self.reserve
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = min(wanted, limit.rlim_max)
        let isRaised = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        if !isRaised || limit.rlim_cur < wanted {
            logger.notice(
                "Fewer open files are allowed than server.limits.connections needs",
                metadata: ["files.limit": "\(limit.rlim_cur)", "files.needed": "\(wanted)"])
        }
    }
}
