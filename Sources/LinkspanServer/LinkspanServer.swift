public import LinkspanBridgeKit
public import LinkspanCore
public import Logging
public import NIOCore
internal import NIOPosix
public import NIOSSL
public import ServiceLifecycle
internal import Synchronization

/// A channel server for SocketCluster clients.
///
/// ```swift
/// let server = LinkspanServer(settings: settings, instance: InstanceID("fra-1")!, logger: logger)
/// try await server.run()
/// ```
/// Runs once. Its ``broker`` and ``exchange`` may be used before, during and after.
public final class LinkspanServer: Service {
    public let broker: Broker
    /// What the program itself publishes and subscribes to.
    public let exchange: Exchange

    private let settings: ServerSettings
    private let instance: InstanceID
    private let logger: Logger
    private let rings: RingMaker
    private let loopGroups: LoopGroups
    private let inboxes: [LoopInbox]
    private let loopCounters: [LoopCounters]
    let congestion: Congestion
    /// Signs where the settings have no key that does; its tokens do not survive a restart.
    private let ownKey = TokenKey(.secret(.random()))
    private let tokens = TokenJudge()
    private let application: Application?
    private let connectionEvents = ConnectionEventHub()
    private let listening = Settlement<[SocketAddress]>()
    private let state: Mutex<State>

    private struct State {
        var bridgePlane: (any BridgePlane)?
        var certificate: ServerCertificate?
        var bridgeHealth: @Sendable () -> [BridgeStatus] = { [] }
        /// While it runs.
        var hooks: Hooks?
        var conditions: [@Sendable () async throws -> Void] = []
        var hasRun = false
    }

    /// - Parameters:
    ///   - instance: unique among all instances that share an upstream.
    ///   - bridgePlane: the bridges; nil for a server without.
    ///   - application: procedures, receivers and what else the program adds; nil for a server that only routes publishes.
    public convenience init(
        settings: ServerSettings = ServerSettings(), instance: InstanceID, bridgePlane: (any BridgePlane)? = nil,
        application: Application? = nil, logger: Logger
    ) {
        self.init(
            settings: settings, instance: instance, bridgePlane: bridgePlane, application: application, logger: logger,
            rings: RingMaker(logger: logger))
    }

    init(
        settings: ServerSettings, instance: InstanceID, bridgePlane: (any BridgePlane)?, application: Application?,
        logger: Logger, rings: RingMaker
    ) {
        let loopCount = max(1, settings.eventLoops ?? System.coreCount)
        let congestion = Congestion()
        self.settings = settings
        self.application = application
        self.instance = instance
        self.logger = logger
        self.rings = rings
        self.congestion = congestion
        self.inboxes = (0..<loopCount).map { _ in LoopInbox(congestion: congestion) }
        self.loopCounters = (0..<loopCount).map { _ in LoopCounters() }
        self.loopGroups = LoopGroups(loopCount: loopCount)
        self.broker = Broker(
            inboxes: self.inboxes, loopGroups: self.loopGroups, depth: settings.limits.jsonDepth)
        self.exchange = Exchange(broker: self.broker, inboxes: self.inboxes)
        self.state = Mutex(State(bridgePlane: bridgePlane))
    }

    /// Gives the server its bridges, which themselves were given its ``broker``.
    /// - Precondition: ``run()`` was not called yet.
    public func attach(
        _ bridgePlane: any BridgePlane, health: @escaping @Sendable () -> [BridgeStatus] = { [] }
    ) {
        self.state.withLock { state in
            precondition(!state.hasRun, "bridges are attached before the server runs")
            state.bridgePlane = bridgePlane
            state.bridgeHealth = health
        }
    }

    /// Opens the ports only when `condition` has returned: what can refuse to start does so before a client is let in.
    ///
    /// Where ``run()`` is stopped before that, nobody was let in; what `condition` throws, ``run()`` throws. To be cancelled,
    /// `condition` looks at its task.
    /// - Precondition: ``run()`` was not called yet.
    public func listen(after condition: @escaping @Sendable () async throws -> Void) {
        self.state.withLock { state in
            precondition(!state.hasRun, "conditions are made before the server runs")
            state.conditions.append(condition)
        }
    }

    /// Serves clients over TLS (`wss:`), with a configuration of the program's own instead of ``ServerSettings/certificate``.
    ///
    /// What a turn has for a connection is then encrypted for it alone, which costs several times what a plain socket does.
    /// - Precondition: ``run()`` was not called yet.
    /// - Throws: what is wrong with the certificate or the key.
    public func attach(tls configuration: TLSConfiguration) throws {
        let certificate = try ServerCertificate(configuration)
        self.state.withLock { state in
            precondition(!state.hasRun, "TLS is attached before the server runs")
            state.certificate = certificate
        }
    }

    /// Where the client port is, once it is open.
    ///
    /// Throws what ``run()`` throws if it could not listen.
    public var address: SocketAddress {
        get async throws { try await self.addresses[0] }
    }

    /// Where the server listens, once it does: the client port, then the others in the order of the settings.
    ///
    /// Throws what ``run()`` throws if it could not listen.
    public var addresses: [SocketAddress] {
        get async throws { try await self.listening.value }
    }

    /// Whether clients can connect, or could until it was stopped.
    public var isListening: Bool {
        if case .success? = self.listening.result { true } else { false }
    }

    /// What all loops have counted so far.
    public var counters: ServerCounters {
        var sum = ServerCounters()
        for counters in self.loopCounters { sum += counters.snapshot }
        sum.revocationsForgotten = self.tokens.forgottenCount
        sum.injectionsDropped = self.broker.droppedCount
        sum.exchangeMessagesDropped = self.exchange.droppedCount
        return sum
    }

    /// The services that answer over HTTP, in the order of the settings, while the server runs.
    public var hooks: [HookStatus] { self.state.withLock { $0.hooks }?.statuses ?? [] }

    /// As `/health` on the client port says it.
    public var health: HealthReport {
        HealthReport(
            version: LinkspanVersion.current, instance: self.instance.string, clients: self.counters.clientsOpen,
            bridges: self.state.withLock { $0.bridgeHealth }())
    }

    /// What happens to connections from now on.
    /// - Precondition: the server has an ``Application``, be it an empty one.
    /// - Parameter bufferLimit: events held for the consumer; what comes beyond is dropped and counted.
    public func connectionEvents(bufferLimit: Int = 1024) -> ConnectionEvents {
        precondition(self.application != nil, "connection events need a server with an application")
        return ConnectionEvents(bufferLimit: bufferLimit, hub: self.connectionEvents)
    }

    /// The clients that completed a handshake and are connected; none on a server without an ``Application``.
    public var sockets: [ClientSocket] {
        get async {
            var sockets: [ClientSocket] = []
            for inbox in self.inboxes where inbox.isAttached {
                sockets += await inbox.ask(default: []) { loop in
                    var sockets: [ClientSocket] = []
                    loop.shard.forEachConnection { connection in
                        if let session = connection.session, session.snapshot.isOpen {
                            sockets.append(ClientSocket(session))
                        }
                    }
                    return sockets
                }
            }
            return sockets
        }
    }

    /// Verifies and signs with the keys of `settings` from now on; all else in them is read when the server starts.
    ///
    /// Clients that were accepted stay so. Before ``run()``, which begins with the keys of its own settings, this has no effect.
    /// - Throws: ``TokenKeyError`` for a key that cannot be used; the keys are then what they were.
    public func reloadKeys(_ settings: AuthSettings) async throws {
        let keys = try await TokenKeys(settings: settings, ownKey: self.ownKey)
        self.tokens.replaceKeys(keys)
    }

    /// Reads the certificate and its key again: new connections are served with them, those that are open keep theirs.
    ///
    /// Has no effect on a server that was started without ``ServerSettings/certificate``.
    /// - Parameter files: other files than those of the settings.
    /// - Throws: when they cannot be used; new connections are then served as before.
    public func reloadCertificate(_ files: CertificateFiles? = nil) throws(CertificateProblem) {
        guard let own = self.settings.certificate, let certificate = self.state.withLock({ $0.certificate }),
            certificate.ends != nil
        else { return }
        try certificate.reload(files ?? own)
    }

    /// Decides by these permissions and hooks from now on, about the clients that are connected as well; what they have subscribed to stays.
    ///
    /// Services whose settings are the same as before keep their counts and connections; what others have been asked they still answer. Has no effect unless the
    /// server runs. One call at a time.
    /// - Throws: `GlobError` for a procedure or channel that is no pattern; all is then as it was.
    public func reload(permissions: [PermissionRule], hooks settings: [HookSettings]) async throws {
        guard let old = self.state.withLock({ $0.hooks }) else { return }
        let permissions = try Permissions(permissions)
        let hooks = try await Hooks(settings, keeping: old, logger: self.logger)
        let program = Program(hooks.extending(self.application), permissions: permissions)
        self.state.withLock { $0.hooks = hooks }
        for inbox in self.inboxes where inbox.isAttached {
            await inbox.ask(default: ()) { $0.take(program) }
        }
    }

    /// When the certificate that new clients are shown ends, in seconds since 1970; nil without one from files.
    public var certificateEnds: Int64? { self.state.withLock { $0.certificate }?.ends }

    /// Refuses the tokens of `party` from now on, and ends the connections that were opened with one: each is told to forget its token
    /// and closed with 4104.
    ///
    /// Lasts as long as this instance, for the ten thousand latest revocations.
    /// - Returns: how many connections were closed.
    @discardableResult
    public func revoke(_ party: RevokedParty) async -> Int {
        self.tokens.revoke(party, now: Int64(WallClock.milliseconds() / 1000))
        var count = 0
        for inbox in self.inboxes where inbox.isAttached {
            count += await inbox.ask(default: 0) { loop in
                var count = 0
                loop.shard.forEachConnection { if $0.revoke(party) { count += 1 } }
                return count
            }
        }
        return count
    }

    /// Listens and serves until the task is cancelled or the service group shuts down gracefully.
    ///
    /// Then it stops accepting, closes every client with 4101, which makes them come back spread out, and returns when they are gone, at
    /// the latest after some seconds.
    /// - Throws: ``ListenError`` when it cannot listen, ``TokenKeyError`` for a key that cannot be used, ``CertificateProblem`` for a
    ///   certificate or its key, `GlobError` for a permission whose channels are no pattern or a hook whose procedures are none.
    public func run() async throws {
        let context: ServerContext
        do {
            context = try await self.makeContext()
        } catch {
            self.listening.settle(.failure(error))
            self.stopped()
            throw error
        }
        let group = self.loopGroups.group()
        let result = await self.serve(context, on: group.eventLoops)
        withExtendedLifetime(group) {}
        await self.state.withLock { $0.hooks }?.stop()
        self.listening.settle(result.flatMap { .failure(CancellationError()) })
        self.stopped()
        try result.get()
    }

    private func serve(_ context: ServerContext, on group: MultiThreadedEventLoopGroup) async -> Result<Void, any Error>
    {
        let loops: ServerLoops
        do {
            loops = try await ServerLoops(context: context, group: group)
        } catch {
            return .failure(error)
        }
        let result: Result<Void, any Error>
        do {
            let listeners = try await self.mayListen() ? try await self.listen(loops, group: group) : []
            for listener in listeners {
                self.logger.info(
                    "Serving clients",
                    metadata: [LogKey.address: "\(listener.localAddress.map(Self.text) ?? "")"])
            }
            await Self.untilStopped()
            self.logger.info("Closing clients", metadata: [LogKey.clients: "\(self.counters.clientsOpen)"])
            for listener in listeners { try? await listener.close() }
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await loops.drain()
        return result
    }

    /// False when it is stopped before.
    private func mayListen() async throws -> Bool {
        let conditions = self.state.withLock { $0.conditions }
        do {
            try await cancelWhenGracefulShutdown { for condition in conditions { try await condition() } }
            return true
        } catch is CancellationError {
            return false
        }
    }

    private func stopped() {
        self.broker.stopped()
        self.exchange.stopped()
        self.connectionEvents.finish()
    }

    private func makeContext() async throws -> ServerContext {
        let (bridgePlane, hasRun) = self.state.withLock { state in
            defer { state.hasRun = true }
            return (state.bridgePlane, state.hasRun)
        }
        precondition(!hasRun, "a server runs once")
        self.broker.attach(bridgePlane)
        self.tokens.replaceKeys(try await TokenKeys(settings: self.settings.auth, ownKey: self.ownKey))
        let permissions = try Permissions(self.settings.permissions)
        try self.loadCertificate()
        let hooks = try await Hooks(self.settings.hooks, logger: self.logger)
        self.state.withLock { $0.hooks = hooks }
        return ServerContext(
            settings: self.settings, tokens: self.tokens, permissions: permissions,
            application: self.application, hooks: hooks, connectionEvents: self.connectionEvents,
            exchange: self.exchange,
            instance: self.instance, epoch: WallClock.milliseconds(), bridgePlane: bridgePlane,
            health: { self.health }, inboxes: self.inboxes, counters: self.loopCounters, congestion: self.congestion,
            rings: self.rings)
    }

    private func loadCertificate() throws(CertificateProblem) {
        guard let files = self.settings.certificate, self.state.withLock({ $0.certificate == nil }) else { return }
        let certificate = try ServerCertificate(files)
        self.state.withLock { $0.certificate = certificate }
    }

    /// `127.0.0.1:8000` or `[::1]:8000`.
    private static func text(_ address: SocketAddress) -> String {
        let host = address.ipAddress ?? ""
        return (host.contains(":") ? "[\(host)]" : host) + ":\(address.port ?? 0)"
    }

    private func listen(_ loops: ServerLoops, group: MultiThreadedEventLoopGroup) async throws -> [any Channel] {
        let certificate = self.state.withLock { $0.certificate }
        var listeners: [any Channel] = []
        var addresses: [SocketAddress] = []
        for settings in self.settings.listeners {
            do {
                let listener = try await ClientListener.bind(
                    settings, loops: loops, settings: self.settings,
                    certificate: settings.usesTLS ? certificate : nil, group: group)
                guard let address = listener.localAddress else { throw ChannelError.unknownLocalAddress }
                listeners.append(listener)
                addresses.append(address)
            } catch {
                for listener in listeners { try? await listener.close() }
                throw ListenError(host: settings.host, port: settings.port, cause: error)
            }
        }
        for listener in listeners { try await listener.setOption(.autoRead, value: true).get() }
        self.listening.settle(.success(addresses))
        return listeners
    }

    private static func untilStopped() async {
        // Outside of a service group this returns when the task is cancelled.
        try? await gracefulShutdown()
    }
}

/// The client port could not be opened.
public struct ListenError: Error, CustomStringConvertible {
    public var host: String
    public var port: Int
    public var cause: any Error

    /// Such as `cannot listen on 0.0.0.0:8000: bind(...): Address already in use (errno: 98)`.
    public var description: String { "cannot listen on \(self.host):\(self.port): \(self.cause)" }
}

public enum LinkspanVersion {
    public static let current = "0.1.0"
}
