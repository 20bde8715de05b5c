public import NIOCore

/// What the state machine of a connection needs to know of the settings, in the units it works with.
public struct ConnectionRules: Sendable, Hashable {
    public var protocolChoice: ProtocolChoice
    public var handshakeTimeout: TimeAmount
    public var pingInterval: TimeAmount
    public var pingTimeout: TimeAmount
    /// From our close frame to the peer's; later the connection is cut.
    public var closeTimeout = TimeAmount.seconds(5)
    /// As the handshake's answer says it.
    public var announcedPingTimeout: Duration
    public var sendsPings: Bool
    public var requiresHandshakeFirst: Bool
    public var allowsClientPublish: Bool
    /// Whether a handshake without a valid token opens the connection.
    public var admitsAnonymous: Bool
    public var channelLimit: Int
    public var channelNameByteLimit: Int

    public init(settings: ServerSettings) {
        self.protocolChoice = settings.protocolChoice
        self.handshakeTimeout = TimeAmount(settings.timing.handshakeTimeout)
        self.pingInterval = TimeAmount(settings.timing.pingInterval)
        self.pingTimeout = TimeAmount(settings.timing.pingTimeout)
        self.announcedPingTimeout = settings.timing.pingTimeout
        self.sendsPings = !settings.timing.pingTimeoutDisabled
        self.requiresHandshakeFirst = settings.requiresHandshakeFirst
        self.allowsClientPublish = settings.allowsClientPublish
        self.admitsAnonymous = settings.auth.anonymous == .allow
        self.channelLimit = settings.limits.channelsPerConnection
        self.channelNameByteLimit = settings.limits.channelNameBytes
    }
}
