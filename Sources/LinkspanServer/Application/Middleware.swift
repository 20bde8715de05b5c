public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanWire
public import NIOCore

/// What a program has to say about what clients want, and about what they are sent: the middleware lines of SocketCluster 15 and later.
///
/// ```swift
/// app.middleware.inbound = { action in
///     guard case .subscribe(let channel, _) = action.kind, channel.string.hasPrefix("admin/") else { return .allow }
///     return action.socket.claims?.string("role") == "admin" ? .allow : .block(ProtocolError(name: "Denied", message: "Admins only"))
/// }
/// ```
/// One function for each line. They run on the concurrent executor. For one connection they are asked about one thing after the other, in the
/// order in which it came, and what the client sent after it waits; other connections go on. An error that is thrown blocks like
/// ``MiddlewareDecision/block(_:)``.
public struct Middleware: Sendable {
    public typealias Handshake = @Sendable (HandshakeAction) async throws -> MiddlewareDecision
    public typealias InboundRaw = @Sendable (RawAction) async throws -> RawDecision
    public typealias Inbound = @Sendable (InboundAction) async throws -> MiddlewareDecision
    public typealias Outbound = @Sendable (OutboundAction) async throws -> MiddlewareDecision

    /// Asked before a connection is opened, and again before its handshake is accepted.
    public var handshake: Handshake?
    /// Asked about every message before it is looked at, pongs included.
    public var inboundRaw: InboundRaw?
    /// Asked about what a client wants that the protocol and the permissions admit.
    public var inbound: Inbound?
    /// Asked about every publish for each of its subscribers, whoever published it. A publish is then written for each of them by
    /// itself, which costs many times what it does otherwise.
    ///
    /// What waits for it counts as waiting for the client: past `limits.outboundBytes` that is closed as slow.
    public var outbound: Outbound?
    /// What is asked about; all else passes as if there were no middleware. A server that asks about subscriptions only
    /// publishes as fast as one that asks about nothing.
    public var actions = Set(MiddlewareActionType.allCases)
    /// Channels whose subscriptions and publishes it is asked about, inbound and outbound; nil for all. Those of others pass.
    public var channels: [Glob]?
    /// Longest wait for one decision. What is undecided then is blocked with `TimeoutError` and counted, the task cancelled.
    ///
    /// A handshake is bounded by `timing.handshakeTimeout` as well.
    public var timeLimit = Duration.seconds(10)

    public init() {}

    /// Whether subscriptions of this channel, and publishes to it, are asked about, if any are.
    func concerns(_ channel: String) -> Bool {
        guard let channels = self.channels else { return true }
        return channels.contains { $0.matches(channel) }
    }

    /// Whether anybody is to be asked about `type`.
    func asks(about type: MiddlewareActionType) -> Bool {
        guard self.actions.contains(type) else { return false }
        return switch type {
        case .handshakeWS, .handshakeSC: self.handshake != nil
        case .message: self.inboundRaw != nil
        case .transmit, .invoke, .subscribe, .publishIn, .authenticate: self.inbound != nil
        case .publishOut: self.outbound != nil
        }
    }
}

/// What middleware is asked about, in the words of SocketCluster.
public enum MiddlewareActionType: String, Sendable, Hashable, CaseIterable {
    case handshakeWS, handshakeSC
    case message
    case transmit, invoke, subscribe, publishIn, authenticate
    case publishOut
}

// MARK: - Actions

/// A client wants to come in.
public enum HandshakeAction: Sendable {
    /// It asks for a WebSocket. Blocked with HTTP 401 and the message of the error as its body.
    case handshakeWS(request: ClientRequest, remoteAddress: SocketAddress?)
    /// It sent its handshake. Blocked with the error, then closed with 4008, or with the `statusCode` among the error's fields.
    ///
    /// Asked only about those whom `auth.anonymous` admits.
    case handshakeSC(socket: ClientSocket, token: HandshakeToken)

    public var type: MiddlewareActionType {
        switch self {
        case .handshakeWS: .handshakeWS
        case .handshakeSC: .handshakeSC
        }
    }
}

/// The token of a handshake.
public struct HandshakeToken: Sendable, Hashable {
    /// As it came; nil when the client sent none, or something else than a string.
    public var signed: String?
    /// What it says, when it is valid.
    public var claims: TokenClaims?
    /// Why it is not valid.
    public var error: ProtocolError?
}

/// A message came, whatever it is.
public struct RawAction: Sendable {
    /// Whoever sent it; the handshake may be still to come.
    public let socket: ClientSocket
    public let message: RawMessage
}

public enum RawMessage: Sendable, Hashable {
    /// JSON as a rule; empty or `#2` for a pong.
    case text(String)
    /// MessagePack from clients with sc-codec-min-bin.
    case binary([UInt8])
}

/// A client wants something.
public struct InboundAction: Sendable {
    public enum Kind: Sendable {
        /// Blocked without a word.
        case transmit(receiver: String, data: JSONText?)
        case invoke(procedure: String, data: JSONText?)
        case subscribe(channel: ChannelName, data: JSONText?)
        /// Blocked without a word when the client expects no answer.
        case publishIn(channel: ChannelName, data: JSONText?)
        /// Its token is valid. Blocked, the client stays anonymous, and forgets the token if the error says `isBadToken`.
        case authenticate(signedToken: String, claims: TokenClaims)
    }

    public let socket: ClientSocket
    public let kind: Kind
    /// The client's token ran out, which this action has brought to light; the client is anonymous now. Never set for `authenticate`.
    public let tokenExpired: ProtocolError?

    public var type: MiddlewareActionType {
        switch self.kind {
        case .transmit: .transmit
        case .invoke: .invoke
        case .subscribe: .subscribe
        case .publishIn: .publishIn
        case .authenticate: .authenticate
        }
    }
}

/// A subscriber is to get a publish. Blocked, that one gets nothing; the publisher and the other subscribers notice nothing.
public struct OutboundAction: Sendable {
    /// The subscriber.
    public let socket: ClientSocket
    public let channel: ChannelName
    public let data: JSONText?
}

// MARK: - Decisions

/// What middleware decides.
public struct MiddlewareDecision: Sendable {
    enum Outcome: Sendable {
        case allow
        case replace(JSONText?)
        case replaceMessage(RawMessage)
        case block((any Error)?)
        /// Nobody decided in time.
        case late
    }

    let outcome: Outcome
    private(set) var answer: JSONText?

    init(_ outcome: Outcome) {
        self.outcome = outcome
    }

    static let late = MiddlewareDecision(.late)

    public static let allow = MiddlewareDecision(.allow)

    /// Allows it with other data; nil for none. Handshakes and tokens stay as they are.
    public static func replace(data: JSONText?) -> MiddlewareDecision { MiddlewareDecision(.replace(data)) }

    /// Blocks with `SilentMiddlewareBlockedError`.
    public static let block = MiddlewareDecision(.block(nil))

    /// Blocks with `error`: a ``ProtocolError`` with all its fields (one with `silent: true` as ``block``), an ``ErrorValue`` as the value
    /// that it is, any other without its text, which may hold secrets.
    public static func block(_ error: any Error) -> MiddlewareDecision { MiddlewareDecision(.block(error)) }

    /// Allows, and answers a publish with `data`, as `ackData` does in release 14. Other actions have answers of their own.
    public func answering(_ data: JSONText) -> MiddlewareDecision {
        var decision = self
        decision.answer = data
        return decision
    }
}

/// What middleware decides about a message.
public enum RawDecision: Sendable {
    case allow
    /// Goes on with another message in its place.
    case replace(RawMessage)
    /// Drops it without a word.
    case block
}

extension MiddlewareDecision {
    init(raw decision: RawDecision) {
        switch decision {
        case .allow: self.init(.allow)
        case .replace(let message): self.init(.replaceMessage(message))
        case .block: self.init(.block(nil))
        }
    }
}
