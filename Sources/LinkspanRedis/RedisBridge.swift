public import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix

/// Bridges channels to Redis: Pub/Sub, sharded over a cluster or not, or Streams where messages must outlive a broken link.
///
/// Redis speaks RESP 2 through hiredis's parser and formatter inside a NIO pipeline, which brings TLS, time limits and back-pressure;
/// the options are described where they are declared, in ``options``.
public struct RedisBridge: Bridge {
    public static let kind = "redis"
    /// One server, with `+sentinel` a Sentinel that knows it (the path names the service), with `+cluster` any node of a cluster; `rediss`
    /// means TLS.
    public static let schemes = Discovery.schemes
    public static var options: [OptionDeclaration] { RedisOptions.declarations }
    public static let defaultNameTemplate = "sc/{channel}"
    public static let namespaceOptions = ["mode", "stream", "database", "sharded"]
    /// Names in Redis are any bytes; patterns escape their own special characters.
    public static let nameRules = NameRules(reserved: [], escapesControls: false, lengthLimit: 65_535)

    public var carriesHeader: Bool { self.redis.mode == .streams }

    public var answersProbes: Bool { true }

    public var takesPrefixes: Bool { !self.redis.isSharded }

    /// A stream carries all channels, so a group takes all of them.
    public var groupSupport: GroupSupport { self.redis.mode == .streams ? .whole : .none }

    private let redis: RedisOptions
    private let positions = StreamPositions()
    private let memory = GroupMemory()

    public init(settings: BridgeSettings) throws(ConfigurationError) {
        self.redis = try RedisOptions(settings)
    }

    public func run(on link: BridgeLink) async throws {
        let eventLoop = link.eventLoop ?? MultiThreadedEventLoopGroup.singleton.any()
        switch self.redis.mode {
        case .pubsub where self.redis.isSharded: try await self.converseSharded(link, on: eventLoop)
        case .pubsub: try await self.converse(link, on: eventLoop, makeRoles: self.pubSubRoles(link, eventLoop))
        case .streams where self.redis.group != nil:
            try await self.converse(link, on: eventLoop, makeRoles: self.groupRoles(link, eventLoop))
        case .streams: try await self.converse(link, on: eventLoop, makeRoles: self.streamRoles(link, eventLoop))
        }
    }

    private typealias MakeRoles<Ingress: IngressRole> = @Sendable (LinkSession<Ingress>) -> (EgressRole, Ingress)

    private func pubSubRoles(_ link: BridgeLink, _ eventLoop: any EventLoop) -> MakeRoles<SubscriptionRole> {
        { [redis] session in
            let egress = EgressRole(
                link: link, window: EgressWindow(messageLimit: redis.window, byteLimit: Self.windowBytes),
                encode: { $1.writePublish(name: $0.name, payload: $0.payload) },
                repliesCompleted: { [unowned session] in session.pump() })
            return (egress, SubscriptionRole(link: link, eventLoop: eventLoop))
        }
    }

    private func streamRoles(_ link: BridgeLink, _ eventLoop: any EventLoop) -> MakeRoles<StreamRole> {
        { [redis, positions] session in
            let encoder = EntryEncoder(stream: redis.stream, limit: redis.streamLimit)
            let egress = EgressRole(
                link: link, window: EgressWindow(messageLimit: redis.window, byteLimit: Self.windowBytes),
                encode: { encoder.write($0, to: &$1) }, repliesCompleted: { [unowned session] in session.pump() })
            let ingress = StreamRole(link: link, options: redis, positions: positions, eventLoop: eventLoop)
            ingress.sendAside = { [weak egress] command in egress?.sendAside(command) }
            return (egress, ingress)
        }
    }

    private func groupRoles(_ link: BridgeLink, _ eventLoop: any EventLoop) -> MakeRoles<GroupRole> {
        { [redis, memory] session in
            guard let group = redis.group else { preconditionFailure("a group role without a group") }
            let encoder = EntryEncoder(stream: redis.stream, limit: redis.streamLimit)
            let unshared = EntryEncoder(stream: group.unsharedStream, limit: StreamGroup.unsharedLimit)
            let egress = EgressRole(
                link: link, window: EgressWindow(messageLimit: redis.window, byteLimit: Self.windowBytes),
                encode: { (group.unsharedNames.contains($0.name) ? unshared : encoder).write($0, to: &$1) },
                repliesCompleted: { [unowned session] in session.pump() })
            let ingress = GroupRole(
                link: link, options: redis, group: group, memory: memory, eventLoop: eventLoop)
            ingress.sendAside = { [weak egress] command in egress?.sendAside(command) }
            return (egress, ingress)
        }
    }

    /// Most bytes sent and not yet answered.
    private static let windowBytes = 1 << 20

    private func converse<Ingress: IngressRole>(
        _ link: BridgeLink, on eventLoop: any EventLoop, makeRoles: @escaping MakeRoles<Ingress>
    ) async throws {
        let options = self.redis
        let discovery = Discovery(url: link.upstream, options: options, eventLoop: eventLoop)
        let server: UpstreamURL
        do {
            server = try await discovery.server()
        } catch is CancellationError {
            return
        }
        let login = options.login(mustBePrimary: discovery.mustBePrimary)
        let commandLogin = options.login(
            mustBePrimary: discovery.mustBePrimary,
            promises: options.guarantee == .atLeastOnce ? StreamPromises(failsOver: discovery.failsOver) : nil)
        let review =
            commandLogin.looksAtPromises
            ? PromiseReview(
                link: link, login: commandLogin, options: options,
                server: Discovery(url: server, options: options, eventLoop: eventLoop)) : nil
        let reviewing = Task { await review?.run() }
        defer { reviewing.cancel() }
        let transport = try Transport(url: server, options: options, eventLoop: eventLoop)
        let session = try await eventLoop.submit {
            ThreadSlice.shorten()
            return NIOLoopBound(
                LinkSession(
                    link: link, transport: transport, commandLogin: commandLogin, login: login, options: options,
                    makeRoles: makeRoles), eventLoop: eventLoop)
        }.get()
        try await withTaskCancellationHandler {
            try await eventLoop.flatSubmit { session.value.start() }.get()
        } onCancel: {
            eventLoop.execute { session.value.leave() }
        }
    }

    private func converseSharded(_ link: BridgeLink, on eventLoop: any EventLoop) async throws {
        let options = self.redis
        let map: SlotMap
        do {
            map = try await Discovery(url: link.upstream, options: options, eventLoop: eventLoop).slots()
        } catch is CancellationError {
            return
        }
        let transport = try Transport(url: link.upstream, options: options, eventLoop: eventLoop)
        let session = try await eventLoop.submit {
            ThreadSlice.shorten()
            return NIOLoopBound(
                ShardSession(link: link, transport: transport, map: map, login: options.login(), options: options),
                eventLoop: eventLoop)
        }.get()
        try await withTaskCancellationHandler {
            try await eventLoop.flatSubmit { session.value.start() }.get()
        } onCancel: {
            eventLoop.execute { session.value.leave() }
        }
    }
}
