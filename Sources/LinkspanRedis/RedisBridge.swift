public import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix

/// Bridges channels to Redis: Pub/Sub, or Streams where messages must outlive a broken link.
///
/// Redis speaks RESP 2 through hiredis's parser and formatter inside a NIO pipeline, which brings TLS, time limits and back-pressure;
/// docs of the options are in ``options``.
public struct RedisBridge: Bridge {
    public static let kind = "redis"
    public static let schemes = ["redis": 6379, "rediss": 6379]
    public static var options: [OptionDeclaration] { RedisOptions.declarations }
    public static let defaultNameTemplate = "sc/{channel}"
    /// Names in Redis are any bytes; patterns escape their own special characters.
    public static let nameRules = NameRules(reserved: [], escapesControls: false, lengthLimit: 65_535)

    public var carriesHeader: Bool { self.redis.mode == .streams }

    private let redis: RedisOptions

    public init(settings: BridgeSettings) throws(ConfigurationError) {
        self.redis = try RedisOptions(settings)
    }

    public func run(on link: BridgeLink) async throws {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.any()
        let options = self.redis
        let session = try await eventLoop.submit {
            NIOLoopBound(PubSubSession(link: link, options: options, eventLoop: eventLoop), eventLoop: eventLoop)
        }.get()
        try await withTaskCancellationHandler {
            try await eventLoop.flatSubmit { session.value.start() }.get()
        } onCancel: {
            eventLoop.execute { session.value.leave() }
        }
    }
}
