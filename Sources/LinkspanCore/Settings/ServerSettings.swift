public import LinkspanBridgeKit

/// Everything one instance is configured with; `bridges.yaml` and the environment read into it, a Swift program fills it itself.
public struct LinkspanSettings: Sendable {
    public var instance: InstanceSettings
    public var server: ServerSettings
    /// Outside brokers by name, each named once.
    public var upstreams: [String: UpstreamSettings]
    /// In the order of the file; names are unique.
    public var bridges: [BridgeRule]

    public init(
        instance: InstanceSettings, server: ServerSettings = ServerSettings(),
        upstreams: [String: UpstreamSettings] = [:], bridges: [BridgeRule] = []
    ) {
        self.instance = instance
        self.server = server
        self.upstreams = upstreams
        self.bridges = bridges
    }
}

public struct InstanceSettings: Sendable, Hashable {
    /// Unique among all instances that share an upstream; goes into every message.
    public var id: InstanceID
    /// A label for people; has no effect.
    public var site: String?

    public init(id: InstanceID, site: String? = nil) {
        self.id = id
        self.site = site
    }
}

/// Which of SocketCluster's two protocols a listener speaks.
public enum ProtocolChoice: String, Sendable, Hashable, CaseIterable {
    /// Found out for each connection by pinging in both dialects until the first pong (spec of SocketCluster, ping and pong).
    case auto
    /// Releases up to 14.
    case v1 = "1"
    /// Releases 15 and later.
    case v2 = "2"
}

/// How clients write their messages.
public enum CodecChoice: String, Sendable, Hashable, CaseIterable {
    /// The first message of each client shows it.
    case auto
    /// Text frames, what clients write unless told otherwise.
    case json
    /// MessagePack in binary frames (sc-codec-min-bin).
    case minBin = "minbin"
}

/// permessage-deflate (RFC 7692) for clients that offer it.
///
/// No message refers to an earlier one, so a publish is compressed once for all subscribers, and a connection needs no memory for it.
public struct CompressionSettings: Sendable, Hashable {
    /// Effort of zlib: 1 is the fastest, 9 the smallest.
    public var level: Int
    /// Bytes from which a message is compressed; smaller ones gain little.
    public var minimumBytes: Int

    public init(level: Int = 6, minimumBytes: Int = 512) {
        self.level = level
        self.minimumBytes = minimumBytes
    }
}

/// One port that clients connect to.
public struct ListenerSettings: Sendable, Hashable {
    public var host = "0.0.0.0"
    /// TCP port; 0 lets the kernel choose.
    public var port: Int
    /// Matched exactly, with or without the trailing slash.
    public var path = "/socketcluster/"
    public var protocolChoice = ProtocolChoice.auto
    public var codec = CodecChoice.auto
    /// Whether clients reach it over TLS, where the server has a certificate.
    public var usesTLS = true
    /// Nil offers none.
    public var compression: CompressionSettings?

    public init(port: Int) {
        self.port = port
    }
}

public struct ServerSettings: Sendable, Hashable {
    /// The client port: WebSocket and `/health`.
    public var host = "0.0.0.0"
    /// TCP port; 0 lets the kernel choose.
    public var port = 8000
    /// Matched exactly, with or without the trailing slash.
    public var path = "/socketcluster/"
    public var protocolChoice = ProtocolChoice.auto
    public var codec = CodecChoice.auto
    /// Whether clients reach the client port over TLS, where there is a certificate.
    public var usesTLS = true
    /// Serves clients over TLS (`wss:`); nil for a server without, or one whose program gives it a configuration of its own.
    public var certificate: CertificateFiles?
    /// Nil offers none.
    public var compression: CompressionSettings?
    /// Ports beside that one, for clients that need a protocol, codec or path of their own. All share the same channels.
    public var moreListeners: [ListenerSettings] = []
    /// Event loops; nil means one per core.
    public var eventLoops: Int?
    /// Whether the writes of a turn to many clients may reach the kernel together, by an io_uring for each loop.
    ///
    /// Where the kernel has none for us (before Linux 6.0, or forbidden to the process) each is a system call, as without.
    public var usesIOUring = true
    /// Exact origins such as `https://app.example.com`; empty admits every origin, a missing one included.
    public var origins: [String] = []
    public var timing = TimingSettings()
    public var limits = LimitSettings()
    public var batching = BatchingSettings()
    /// Whether clients may publish at all (SocketCluster's `allowClientPublish`).
    public var allowsClientPublish = true
    /// Whether anything but `#handshake` before the handshake closes the connection with 4009 (SocketCluster's `strictHandshake`).
    public var requiresHandshakeFirst = true
    public var auth = AuthSettings()
    /// Who may subscribe and publish where: the first rule that applies to a channel decides, and where none does everyone may.
    public var permissions: [PermissionRule] = []
    /// Services that answer procedures and decide over HTTP; the first that matches is asked.
    public var hooks: [HookSettings] = []
    /// Where disk buffers are, one folder for each bridge; needed only by those.
    public var dataFolder: String?
    /// Where operators look in; nil for an instance without such a port.
    public var operatorPort: OperatorSettings?

    public init() {}

    /// Every port, the client port first.
    public var listeners: [ListenerSettings] {
        var first = ListenerSettings(port: self.port)
        first.host = self.host
        first.path = self.path
        first.protocolChoice = self.protocolChoice
        first.codec = self.codec
        first.usesTLS = self.usesTLS
        first.compression = self.compression
        return [first] + self.moreListeners
    }

    /// Every way in which some listener compresses, once.
    public var compressions: [CompressionSettings] {
        self.listeners.reduce(into: []) { known, listener in
            if let compression = listener.compression, !known.contains(compression) { known.append(compression) }
        }
    }

    /// These settings as they hold for the connections of one listener.
    public func serving(_ listener: ListenerSettings) -> ServerSettings {
        var settings = self
        settings.host = listener.host
        settings.port = listener.port
        settings.path = listener.path
        settings.protocolChoice = listener.protocolChoice
        settings.codec = listener.codec
        settings.usesTLS = listener.usesTLS
        settings.compression = listener.compression
        settings.moreListeners = []
        return settings
    }
}

/// The HTTP port of operators. It speaks no TLS, so beyond loopback it belongs into a trusted network or behind a proxy.
public struct OperatorSettings: Sendable, Hashable {
    public var host = "127.0.0.1"
    /// TCP port; 0 lets the kernel choose.
    public var port = 8001
    /// What a request has to show.
    public var key: Secret

    public init(key: Secret) {
        self.key = key
    }
}

/// Defaults are SocketCluster's.
public struct TimingSettings: Sendable, Hashable {
    /// From WebSocket open to a valid `#handshake`; later closes with 4005.
    public var handshakeTimeout = Duration.seconds(10)
    public var pingInterval = Duration.seconds(8)
    /// From the last pong (or open); later closes with 4001. Also told to clients, who close with 4000 by it.
    public var pingTimeout = Duration.seconds(20)
    /// When true the server sends no pings and closes nobody for silence.
    public var pingTimeoutDisabled = false
    /// Longest wait of a publish for what its bridges' ``BridgeRule/ack`` asks; clients give up after ten seconds by default.
    public var receiptTimeout = Duration.seconds(8)
    /// Longest wait for the answer to a call that the server made.
    public var ackTimeout = Duration.seconds(10)

    public init() {}
}

/// Every bound that a client can meet.
public struct LimitSettings: Sendable, Hashable {
    /// Open connections; further ones are refused with HTTP 503.
    public var connections = 100_000
    public var channelsPerConnection = 1000
    /// UTF-8 bytes of a channel name; longer ones are refused like malformed names.
    public var channelNameBytes = 1024
    /// Bytes of one WebSocket message, fragments joined; a larger one closes with 1009.
    public var messageBytes = 1 << 20
    /// Bytes waiting for one connection; past it the subscriber is slow and closed with 4100.
    public var outboundBytes = 1 << 20
    /// Nesting of JSON; deeper messages are treated like malformed ones.
    public var jsonDepth = 128
    /// Publishes per second and connection; 0 is unlimited. Past it the connection is read no faster than that.
    public var publishesPerSecond = 0
    /// Elements of one batch array; a longer one is treated like a malformed message.
    public var batchElements = 10_000

    public init() {}
}

/// Joining packets for one client into arrays. Clients in JavaScript read arrays, most others do not; defaults are SocketCluster's.
public struct BatchingSettings: Sendable, Hashable {
    /// Whether what follows the handshake's answer is joined for a while (`batchOnHandshake`).
    public var onHandshake = false
    /// For how long (`batchOnHandshakeDuration`).
    public var handshakeDuration = Duration.milliseconds(400)
    /// Longest wait of a packet for others (`batchInterval`).
    public var interval = Duration.milliseconds(50)
    /// Bytes of packets; an array that has grown to them leaves at once.
    public var bytes = 64 << 10
    /// Longest wait of an answer to a subscription that asked for an array, which clients of protocol 1 can do (`pubSubBatchDuration`); zero
    /// joins those that came together.
    public var subscribeWindow = Duration.zero

    public init() {}
}
