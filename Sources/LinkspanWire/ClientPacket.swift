/// One WebSocket message from a client. Ranges are byte offsets into the text that was decoded.
public enum ClientMessage: Hashable, Sendable {
    /// An empty message (v2) or `#2` (v1).
    case pong(Dialect)
    case packet(ClientPacket)
    /// An array of packets, perhaps empty; taken out one by one with ``ClientDecoder/next(_:in:)``.
    case batch(PacketBatch)
}

/// What a client asks for. Reports facts and judges none: which of them end a connection or draw an error is up to the
/// state machine.
public enum ClientPacket: Hashable, Sendable {
    /// `#handshake`. `authToken` is nil when absent, `null`, `false`, 0 or empty, else any JSON value.
    case handshake(authToken: JSONValue?, callID: CallID?)
    /// `#authenticate`. `token` is nil when absent or `null`, else any JSON value.
    case authenticate(token: JSONValue?, callID: CallID?)
    /// `#removeAuthToken`; never answered, whatever else it carries.
    case removeAuthToken
    case subscribe(SubscribeRequest)
    case unsubscribe(channel: NameField, callID: CallID?)
    /// `data` is nil when absent; `null` is a value.
    case publish(channel: NameField, data: Range<Int>?, callID: CallID?)
    /// `#disconnect`, which only v1 knows; to v2 it is an event that nobody listens to.
    case disconnect(code: Int?, data: Range<Int>?)
    /// Any other event: a transmit, or an invoke when there is a call ID.
    case event(name: StringSlice, data: Range<Int>?, callID: CallID?)
    /// The answer to a call of ours. `error` is nil when absent or `null`.
    case response(callID: CallID, data: Range<Int>?, error: Range<Int>?)
    /// Anything else. SocketCluster hands it to the application as `raw`; it is never an error.
    case raw(RawReason)
}

/// Why a message is not a packet.
public enum RawReason: UInt8, Hashable, Sendable, CaseIterable {
    /// Does not begin with `{` or `[`, or is not valid JSON.
    case notJSON
    /// Has bytes that are not UTF-8. In a text message that is a WebSocket protocol error (1007).
    case notUTF8
    /// JSON, but neither an event nor a response.
    case notPacket
    /// Nested deeper than ``DecodingLimits/depth``.
    case tooDeep
    /// A batch of more than ``DecodingLimits/batchElements``.
    case tooManyPackets
}

/// The data of `#subscribe`.
public struct SubscribeRequest: Hashable, Sendable {
    public var channel: NameField
    /// For the application; nil when absent.
    public var data: Range<Int>?
    public var waitForAuth: Bool
    /// v1: the answers to several such requests may come as one array.
    public var wantsBatch: Bool
    /// The data was the channel name itself, which only v1 admits.
    public var isBareString: Bool
    public var callID: CallID?

    public init(
        channel: NameField, data: Range<Int>? = nil, waitForAuth: Bool = false, wantsBatch: Bool = false,
        isBareString: Bool = false, callID: CallID? = nil
    ) {
        self.channel = channel
        self.data = data
        self.waitForAuth = waitForAuth
        self.wantsBatch = wantsBatch
        self.isBareString = isBareString
        self.callID = callID
    }
}

/// Where a request should name a channel.
public enum NameField: Hashable, Sendable {
    case name(StringSlice)
    case missing
    /// Not a string, or a string with half a surrogate pair, which has no UTF-8.
    case malformed(JSONValue)
}

/// The packets of an array that have not been taken out yet. The whole array has been validated.
public struct PacketBatch: Hashable, Sendable {
    /// Packets not yet taken out.
    public internal(set) var count: Int
    var position: Int
}

/// Bounds of what a decoder admits.
public struct DecodingLimits: Hashable, Sendable {
    /// JSON containers in one another, 1 to 1024.
    public var depth = 128
    /// Packets in one array.
    public var batchElements = 10_000

    public init(depth: Int = 128, batchElements: Int = 10_000) {
        self.depth = depth
        self.batchElements = batchElements
    }
}
