/// How a ``SocketClusterClient`` behaves. Times have SocketCluster's defaults, except for faster reconnects.
public struct ClientSettings: Sendable {
    public var url: ClientURL
    /// JWT sent with the handshake.
    public var authToken: String?
    /// PEM file of authorities to trust instead of the system's.
    public var authorities: String?
    /// From the start of a connection to the answer to its handshake.
    public var connectTimeout = Duration.seconds(20)
    /// Longest wait for the answer to a publish, the time until a connection comes about included.
    public var ackTimeout = Duration.seconds(10)
    /// Pause before the second attempt to connect; it doubles from there, and each one is shortened by up to half at random.
    public var retryInitial = Duration.milliseconds(250)
    public var retryMaximum = Duration.seconds(10)
    /// Publishes that may wait for a connection or for their answers; a further one fails.
    public var waitingPublishes = 10_000
    /// Largest message from the server, in bytes; a larger one ends the connection.
    public var messageLimit = 64 << 20

    public init(url: ClientURL) {
        self.url = url
    }
}

/// What a ``SocketClusterClient`` tells while it runs.
public enum ClientEvent: Sendable {
    /// The handshake was answered; `authError` says why a token was not taken.
    case connected(isAuthenticated: Bool, authError: String?)
    /// A connection ended or none came about; the next attempt follows after the pause.
    case disconnected(ClientError, retryIn: Duration)
    case subscribed(String)
    case subscribeRefused(String, reason: String)
    /// The server ended this subscription; it is not renewed.
    case kickedOut(String, reason: String?)
    case message(ChannelMessage)
}

/// One publish that arrived.
public struct ChannelMessage: Hashable, Sendable {
    public var channel: String
    /// JSON text as it was published; nil for a publish without data.
    public var data: [UInt8]?

    public init(channel: String, data: [UInt8]?) {
        self.channel = channel
        self.data = data
    }
}
