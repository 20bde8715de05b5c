/// What a server says: plain values that a state machine returns and a handler encodes.
///
/// Publishes to many subscribers do not come this way; see ``PublishEncoder``.
public enum PacketToClient: Hashable, Sendable {
    case ping
    /// Without a call ID the answer has no `rid`.
    case handshakeAccepted(HandshakeStatus, callID: CallID?)
    /// The handshake was refused; the connection is closed with `statusCode` next. v1 says the code in `data` as well.
    case handshakeRefused(ProtocolError, statusCode: CloseCode, callID: CallID?)
    /// The answer to `#authenticate`.
    case authenticated(AuthenticateStatus, callID: CallID)
    case success(CallID, data: JSONText? = nil)
    case failure(CallID, ProtocolError)
    /// An application failed a call with something that is no error object.
    case failureValue(CallID, JSONText)
    /// A transmit, or a call of ours when there is a call ID.
    case event(name: String, data: JSONText?, callID: Int64?)
    case publish(channel: String, data: JSONText?)
    case setAuthToken(String, callID: Int64?)
    case removeAuthToken(callID: Int64?)
    case kickOut(channel: String, message: String?)
    /// Announces a close in v1; v2 has no such packet.
    case disconnect(code: CloseCode, data: JSONText?)
}

/// The data of the handshake's answer.
public struct HandshakeStatus: Hashable, Sendable {
    /// Of the socket: opaque to clients.
    public var id: String
    public var pingTimeout: Duration
    public var isAuthenticated: Bool
    /// Only when the client sent a token and it failed.
    public var authError: ProtocolError?

    public init(id: String, pingTimeout: Duration, isAuthenticated: Bool, authError: ProtocolError? = nil) {
        self.id = id
        self.pingTimeout = pingTimeout
        self.isAuthenticated = isAuthenticated
        self.authError = authError
    }
}

/// The data of `#authenticate`'s answer. A bad token is answered with ``PacketToClient/failure(_:_:)`` instead by v2;
/// v1 sends both at once.
public struct AuthenticateStatus: Hashable, Sendable {
    public var isAuthenticated: Bool
    public var authError: ProtocolError?
    /// v1: the error stands beside the data as well.
    public var isFailure: Bool

    public init(isAuthenticated: Bool, authError: ProtocolError? = nil, isFailure: Bool = false) {
        self.isAuthenticated = isAuthenticated
        self.authError = authError
        self.isFailure = isFailure
    }
}

extension PacketToClient {
    /// Writes the text of one message, keys in the order of socketcluster-server.
    public func encode(dialect: Dialect, into sink: inout some ByteSink) {
        switch self {
        case .ping:
            if dialect == .v1 { sink.put("#1") }
        case .handshakeAccepted(let status, let callID):
            sink.putResponseStart(callID, "\"data\":")
            status.encode(into: &sink)
            sink.put("}")
        case .handshakeRefused(let error, let statusCode, let callID):
            sink.putResponseStart(callID, "\"error\":")
            error.encode(into: &sink)
            if dialect == .v1 {
                sink.put(",\"data\":{\"code\":")
                sink.put(decimal: Int64(statusCode.rawValue))
                sink.put("}")
            }
            sink.put("}")
        case .authenticated(let status, let callID):
            status.encode(callID, into: &sink)
        case .success(let callID, let data):
            sink.putSuccess(callID, data: data)
        case .failure(let callID, let error):
            sink.putResponseStart(callID, "\"error\":")
            error.encode(into: &sink)
            sink.put("}")
        case .failureValue(let callID, let value):
            sink.putResponseStart(callID, "\"error\":")
            sink.put(value)
            sink.put("}")
        case .event(let name, let data, let callID):
            sink.putEventStart(name: name, callID: callID)
            sink.putMember(",\"data\":", data)
            sink.put("}")
        case .publish(let channel, let data):
            sink.put("{\"event\":\"#publish\",\"data\":{\"channel\":")
            sink.putJSONString(channel)
            sink.putMember(",\"data\":", data)
            sink.put("}}")
        case .setAuthToken(let token, let callID):
            sink.putEventStart(name: "#setAuthToken", callID: callID)
            sink.put(",\"data\":{\"token\":")
            sink.putJSONString(token)
            sink.put("}}")
        case .removeAuthToken(let callID):
            sink.putEventStart(name: "#removeAuthToken", callID: callID)
            if dialect == .v1 { sink.put(",\"data\":null") }
            sink.put("}")
        case .kickOut(let channel, let message):
            sink.putKickOut(channel: channel, message: message, dialect: dialect)
        case .disconnect(let code, let data):
            sink.put("{\"event\":\"#disconnect\",\"data\":{\"code\":")
            sink.put(decimal: Int64(code.rawValue))
            sink.putMember(",\"data\":", data)
            sink.put("}}")
        }
    }

    /// Writes `packets` as one array. Third-party clients cannot read arrays: only for clients that asked for them.
    public static func encodeBatch(
        _ packets: some Sequence<PacketToClient>, dialect: Dialect, into sink: inout some ByteSink
    ) {
        sink.put("[")
        var isFirst = true
        for packet in packets {
            if !isFirst { sink.put(",") }
            isFirst = false
            packet.encode(dialect: dialect, into: &sink)
        }
        sink.put("]")
    }
}

extension HandshakeStatus {
    func encode(into sink: inout some ByteSink) {
        sink.put("{\"id\":")
        sink.putJSONString(self.id)
        sink.put(",\"pingTimeout\":")
        let (seconds, attoseconds) = self.pingTimeout.components
        sink.put(decimal: seconds * 1000 + attoseconds / 1_000_000_000_000_000)
        if let authError = self.authError {
            sink.put(",\"authError\":")
            authError.encode(into: &sink)
        }
        sink.put(",\"isAuthenticated\":")
        sink.put(self.isAuthenticated ? "true}" : "false}" as StaticString)
    }
}

extension AuthenticateStatus {
    func encode(_ callID: CallID, into sink: inout some ByteSink) {
        sink.putResponseStart(callID, "")
        if self.isFailure, let authError = self.authError {
            sink.put("\"error\":")
            authError.encode(into: &sink)
            sink.put(",")
        }
        sink.put("\"data\":{\"isAuthenticated\":")
        sink.put(self.isAuthenticated ? "true" : "false" as StaticString)
        sink.put(",\"authError\":")
        if let authError = self.authError {
            authError.encode(into: &sink)
        } else {
            sink.put("null")
        }
        sink.put("}}")
    }
}

extension ByteSink {
    /// `{"rid":5,` and `next`.
    mutating func putResponseStart(_ callID: CallID?, _ next: StaticString) {
        self.put("{")
        if let callID {
            self.put("\"rid\":")
            self.put(callID)
            self.put(",")
        }
        self.put(next)
    }

    mutating func putSuccess(_ callID: CallID, data: JSONText?) {
        self.put("{\"rid\":")
        self.put(callID)
        self.putMember(",\"data\":", data)
        self.put("}")
    }

    /// `{"event":"name","cid":1`; `data` follows, as servers write it.
    mutating func putEventStart(name: String, callID: Int64?) {
        self.put("{\"event\":")
        self.putJSONString(name)
        if let callID {
            self.put(",\"cid\":")
            self.put(decimal: callID)
        }
    }

    mutating func putMember(_ key: StaticString, _ value: JSONText?) {
        guard let value else { return }
        self.put(key)
        self.put(value)
    }

    mutating func putKickOut(channel: String, message: String?, dialect: Dialect) {
        self.put("{\"event\":\"#kickOut\",\"data\":{")
        if dialect == .v1, let message {
            self.put("\"message\":")
            self.putJSONString(message)
            self.put(",")
        }
        self.put("\"channel\":")
        self.putJSONString(channel)
        if dialect == .v2, let message {
            self.put(",\"message\":")
            self.putJSONString(message)
        }
        self.put("}}")
    }
}
