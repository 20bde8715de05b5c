/// Why a WebSocket connection ends: the registry of every code that we send or know.
///
/// Frames with a code of the protocol carry no reason; the peer fills in the text from its own table
/// (socketcluster-server `serversocket.js`, sc-errors).
public struct CloseCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    // RFC 6455 7.4.1
    public static let normal = CloseCode(rawValue: 1000)
    public static let goingAway = CloseCode(rawValue: 1001)
    public static let protocolError = CloseCode(rawValue: 1002)
    public static let unsupportedData = CloseCode(rawValue: 1003)
    /// Never on the wire: the close frame had no code.
    public static let noStatus = CloseCode(rawValue: 1005)
    /// Never on the wire: the connection broke without a close frame.
    public static let abnormal = CloseCode(rawValue: 1006)
    /// A text message that is not UTF-8.
    public static let invalidPayload = CloseCode(rawValue: 1007)
    public static let policyViolation = CloseCode(rawValue: 1008)
    public static let messageTooBig = CloseCode(rawValue: 1009)
    public static let extensionRequired = CloseCode(rawValue: 1010)
    public static let unexpectedCondition = CloseCode(rawValue: 1011)

    // SocketCluster
    /// Sent by clients: no ping for `pingTimeout`.
    public static let pingTimedOut = CloseCode(rawValue: 4000)
    /// No pong for `pingTimeout`. JS clients come back at once.
    public static let pongTimedOut = CloseCode(rawValue: 4001)
    public static let signFailed = CloseCode(rawValue: 4002)
    /// Sent by clients: the handshake was answered with an error.
    public static let handshakeFailed = CloseCode(rawValue: 4003)
    public static let saveTokenFailed = CloseCode(rawValue: 4004)
    public static let handshakeTimedOut = CloseCode(rawValue: 4005)
    public static let brokerBindFailed = CloseCode(rawValue: 4006)
    /// Sent by clients.
    public static let connectTimedOut = CloseCode(rawValue: 4007)
    /// A handshake or `#authenticate` that the server refuses, or that has no numeric call ID.
    public static let handshakeRejected = CloseCode(rawValue: 4008)
    public static let messageBeforeHandshake = CloseCode(rawValue: 4009)

    // Linkspan: below 4500, so that JS clients come back, each after a delay of its own of 10 to 20 s.
    /// The client reads slower than its channels publish and is past its outbound byte limit.
    public static let slowSubscriber = CloseCode(rawValue: 4100)
    /// The instance shuts down in order; another one, or its successor, takes the client.
    public static let draining = CloseCode(rawValue: 4101)
    /// The instance is past a limit of its own (memory, connections) and sheds load.
    public static let overloaded = CloseCode(rawValue: 4102)
    /// The client sends faster than its limit and does not react to being read slowly.
    public static let rateExceeded = CloseCode(rawValue: 4103)
    /// An operator closed this connection.
    public static let closedByOperator = CloseCode(rawValue: 4104)
    /// The client left too many calls of the server, or too many close handshakes, unanswered.
    public static let unresponsive = CloseCode(rawValue: 4105)

    /// Every code with a meaning here, in order.
    public static let registry: [CloseCode] = [
        .normal, .goingAway, .protocolError, .unsupportedData, .noStatus, .abnormal, .invalidPayload,
        .policyViolation, .messageTooBig, .extensionRequired, .unexpectedCondition, .pingTimedOut, .pongTimedOut,
        .signFailed, .handshakeFailed, .saveTokenFailed, .handshakeTimedOut, .brokerBindFailed, .connectTimedOut,
        .handshakeRejected, .messageBeforeHandshake, .slowSubscriber, .draining, .overloaded, .rateExceeded,
        .closedByOperator, .unresponsive,
    ]

    /// The text of SocketCluster's tables, or ours; nil for codes that applications define.
    public var text: String? {
        switch self {
        case .normal: "Socket was closed normally"
        case .goingAway: "Socket was disconnected"
        case .protocolError: "A WebSocket protocol error was encountered"
        case .unsupportedData: "Server terminated socket because it received invalid data"
        case .noStatus: "Socket closed without status code"
        case .abnormal: "Socket hung up"
        case .invalidPayload: "Message format was incorrect"
        case .policyViolation: "Encountered a policy violation"
        case .messageTooBig: "Message was too big to process"
        case .extensionRequired:
            "Client ended the connection because the server did not comply with extension requirements"
        case .unexpectedCondition: "Server encountered an unexpected fatal condition"
        case .pingTimedOut: "Server ping timed out"
        case .pongTimedOut: "Client pong timed out"
        case .signFailed: "Server failed to sign auth token"
        case .handshakeFailed: "Failed to complete handshake"
        case .saveTokenFailed: "Client failed to save auth token"
        case .handshakeTimedOut: "Did not receive #handshake from client before timeout"
        case .brokerBindFailed: "Failed to bind socket to message broker"
        case .connectTimedOut: "Client connection establishment timed out"
        case .handshakeRejected: "Server rejected handshake from client"
        case .messageBeforeHandshake: "Server received a message before the client handshake"
        case .slowSubscriber: "Client reads slower than its channels publish"
        case .draining: "Server is shutting down; connect again"
        case .overloaded: "Server is past a limit of its own; connect again later"
        case .rateExceeded: "Client sends faster than its limit"
        case .closedByOperator: "Closed by an operator"
        case .unresponsive: "Client left the server without answers"
        default: nil
        }
    }

    /// Whether the code may stand in a close frame (RFC 6455 7.4.1 and 7.4.2).
    public var isAllowedOnWire: Bool {
        switch self.rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    /// What the JavaScript client does after such a close (socketcluster-client 14 to 20).
    public var reaction: ReconnectReaction {
        switch self.rawValue {
        case 1000, 4500...: .stayClosed
        case 4000, 4001, 1005: .atOnce
        default: .afterBackoff
        }
    }
}

/// How a JavaScript client comes back after a close.
public enum ReconnectReaction: Hashable, Sendable {
    case stayClosed
    /// At once if this is the first attempt since the last success, else as after a backoff.
    case atOnce
    /// After 10 to 20 s at first, then up to 60 s.
    case afterBackoff
}
