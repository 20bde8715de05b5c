/// What a client says, keys in the order of socketcluster-client: `event`, `data`, `cid`.
public enum PacketToServer: Hashable, Sendable {
    case pong
    case handshake(authToken: String?, callID: Int64)
    case authenticate(token: String, callID: Int64)
    case removeAuthToken
    case subscribe(channel: String, data: JSONText?, waitForAuth: Bool, callID: Int64)
    /// JavaScript clients send no call ID.
    case unsubscribe(channel: String, callID: Int64?)
    case publish(channel: String, data: JSONText?, callID: Int64?)
    case event(name: String, data: JSONText?, callID: Int64?)
    case success(CallID, data: JSONText?)
    case failure(CallID, ProtocolError)
    /// Announces a close in v1; v2 has no such packet.
    case disconnect(code: CloseCode, data: JSONText?)
}

extension PacketToServer {
    /// Writes the text of one message.
    public func encode(dialect: Dialect, into sink: inout some ByteSink) {
        switch self {
        case .pong:
            if dialect == .v1 { sink.put("#2") }
        case .handshake(let authToken, let callID):
            sink.put("{\"event\":\"#handshake\",\"data\":{\"authToken\":")
            if let authToken { sink.putJSONString(authToken) } else { sink.put("null") }
            sink.putEventEnd("}", callID: callID)
        case .authenticate(let token, let callID):
            sink.put("{\"event\":\"#authenticate\",\"data\":")
            sink.putJSONString(token)
            sink.putEventEnd("", callID: callID)
        case .removeAuthToken:
            sink.put("{\"event\":\"#removeAuthToken\"}")
        case .subscribe(let channel, let data, let waitForAuth, let callID):
            sink.put("{\"event\":\"#subscribe\",\"data\":{\"channel\":")
            sink.putJSONString(channel)
            if waitForAuth { sink.put(",\"waitForAuth\":true") }
            sink.putMember(",\"data\":", data)
            sink.putEventEnd("}", callID: callID)
        case .unsubscribe(let channel, let callID):
            sink.put("{\"event\":\"#unsubscribe\",\"data\":")
            sink.putJSONString(channel)
            sink.putEventEnd("", callID: callID)
        case .publish(let channel, let data, let callID):
            sink.put("{\"event\":\"#publish\",\"data\":{\"channel\":")
            sink.putJSONString(channel)
            sink.putMember(",\"data\":", data)
            sink.putEventEnd("}", callID: callID)
        case .event(let name, let data, let callID):
            sink.put("{\"event\":")
            sink.putJSONString(name)
            sink.putMember(",\"data\":", data)
            sink.putEventEnd("", callID: callID)
        case .success(let callID, let data):
            sink.putSuccess(callID, data: data)
        case .failure(let callID, let error):
            sink.putResponseStart(callID, "\"error\":")
            error.encode(into: &sink)
            sink.put("}")
        case .disconnect(let code, let data):
            sink.put("{\"event\":\"#disconnect\",\"data\":{\"code\":")
            sink.put(decimal: Int64(code.rawValue))
            sink.putMember(",\"data\":", data)
            sink.put("}}")
        }
    }
}

extension ByteSink {
    mutating func putEventEnd(_ closing: StaticString, callID: Int64?) {
        self.put(closing)
        if let callID {
            self.put(",\"cid\":")
            self.put(decimal: callID)
        }
        self.put("}")
    }
}
