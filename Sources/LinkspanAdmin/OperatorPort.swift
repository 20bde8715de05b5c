internal import Hummingbird
public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanServer
public import Logging
public import NIOCore
internal import NIOPosix
public import ServiceLifecycle
internal import Synchronization

/// The HTTP port of operators: health, status, metrics and publishing.
///
/// It has a thread of its own, so that whoever asks slows no client.
public struct OperatorPort: Service {
    private let settings: OperatorSettings
    private let limits: LimitSettings
    private let snapshot: @Sendable () -> OperatorSnapshot
    private let routes: @Sendable (ChannelName) -> [ChannelRoute]
    private let broker: Broker
    private let revoke: @Sendable (RevokedParty) async -> Int
    private let logger: Logger
    private let listening: @Sendable (SocketAddress) -> Void

    /// Connections beyond these wait in the backlog of the system.
    private static let connectionLimit = 64
    /// Longest silence of a connection, one that has sent a part of a request included: so long it keeps others from being accepted.
    private static let idleLimit = TimeAmount.seconds(10)

    /// - Parameters:
    ///   - limits: bound what is published here as they bound what clients publish.
    ///   - revoke: refuses the tokens of a party from now on, closes its connections, and says how many.
    ///   - snapshot: called for each request, on any thread.
    ///   - routes: what the bridges do with a channel.
    ///   - listening: called once, with where it listens.
    public init(
        settings: OperatorSettings, limits: LimitSettings, broker: Broker, logger: Logger,
        revoke: @escaping @Sendable (RevokedParty) async -> Int,
        snapshot: @escaping @Sendable () -> OperatorSnapshot,
        routes: @escaping @Sendable (ChannelName) -> [ChannelRoute] = { _ in [] },
        listening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.settings = settings
        self.limits = limits
        self.snapshot = snapshot
        self.routes = routes
        self.revoke = revoke
        self.broker = broker
        self.logger = logger
        self.listening = listening
    }

    /// Serves until the task is cancelled or the service group shuts down gracefully.
    /// - Throws: ``OperatorListenError`` when it cannot listen.
    public func run() async throws {
        let isServing = Mutex(false)
        var quiet = self.logger
        quiet.logLevel = max(quiet.logLevel, .notice)
        let application = Application(
            router: OperatorRoutes(
                key: self.settings.key, limits: self.limits, broker: self.broker, revoke: self.revoke,
                snapshot: self.snapshot, routes: self.routes
            ).router,
            server: .http1(configuration: .init(idleTimeout: Self.idleLimit)),
            configuration: ApplicationConfiguration(
                address: .hostname(self.settings.host, port: self.settings.port),
                availableConnectionsDelegate: .maximum(Self.connectionLimit, logger: quiet)),
            onServerRunning: { channel in
                isServing.withLock { $0 = true }
                guard let address = channel.localAddress else { return }
                self.logger.info(
                    "Serving operators", metadata: ["server.address": "\(address.ipAddress ?? ""):\(address.port ?? 0)"]
                )
                self.listening(address)
            },
            // One that is never shut down: Hummingbird may still have something for it when it has returned.
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton.next()), logger: quiet)
        do {
            try await application.run()
        } catch {
            let isListenError = !isServing.withLock { $0 } && !(error is CancellationError)
            throw isListenError
                ? OperatorListenError(host: self.settings.host, port: self.settings.port, cause: error) : error
        }
    }
}

/// The operator port could not be opened.
public struct OperatorListenError: Error, CustomStringConvertible {
    public var host: String
    public var port: Int
    public var cause: any Error

    public var description: String { "cannot listen on \(self.host):\(self.port): \(self.cause)" }
}
