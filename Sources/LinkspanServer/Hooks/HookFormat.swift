internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// What a service is asked.
struct HookRequest: Sendable, Hashable {
    enum Question: Sendable, Hashable {
        /// - Parameter data: nil when the client sent none.
        case procedure(name: String, data: JSONText?)
        case handshake(ClientRequest)
        case subscribe(channel: String, data: JSONText?)
        case publish(channel: String, data: JSONText?)

        /// Empty where it is about none.
        var channel: String {
            switch self {
            case .procedure, .handshake: ""
            case .subscribe(let channel, _), .publish(let channel, _): channel
            }
        }

        /// Whether the answer says nothing that has no meaning here: to overlook it might be to overlook a no.
        func admits(_ answer: HookAnswer, givesTokens: Bool) -> Bool {
            switch self {
            case .procedure: givesTokens || answer.token == nil
            case .handshake, .subscribe: answer.token == nil && answer.data == nil
            case .publish: answer.token == nil
            }
        }
    }

    /// The same for every attempt, so that the service can tell a second one.
    var id: String
    var hook: String
    var question: Question
    var client: Client

    /// Who it is about.
    struct Client: Sendable, Hashable {
        var id: String
        /// Nil when the system does not tell.
        var address: String?
        /// Nil when it is anonymous.
        var claims: JSONText?
    }

    init(hook: String, question: Question, client: Client) {
        var random = SystemRandomNumberGenerator()
        let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max, using: &random), radix: 16) }
        self.id = words.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined()
        self.hook = hook
        self.question = question
        self.client = client
    }

    /// `{"id":..,"hook":..,"type":"procedure","name":..,"data":..,"socket":{"id":..,"address":..,"claims":..}}`, without `data` when the
    /// client sent none; `channel` instead of `name` for `subscribe` and `publish`, and `request` for `handshake`.
    var body: [UInt8] {
        var text: [UInt8] = []
        text.put("{\"id\":")
        text.putJSONString(self.id)
        text.put(",\"hook\":")
        text.putJSONString(self.hook)
        switch self.question {
        case .procedure(let name, let data):
            text.put(",\"type\":\"procedure\",\"name\":")
            text.putJSONString(name)
            text.put(member: "data", data)
        case .subscribe(let channel, let data):
            text.put(",\"type\":\"subscribe\",\"channel\":")
            text.putJSONString(channel)
            text.put(member: "data", data)
        case .publish(let channel, let data):
            text.put(",\"type\":\"publish\",\"channel\":")
            text.putJSONString(channel)
            text.put(member: "data", data)
        case .handshake(let request):
            text.put(",\"type\":\"handshake\",\"request\":")
            text.put(request)
        }
        text.put(",\"socket\":{\"id\":")
        text.putJSONString(self.client.id)
        text.put(",\"address\":")
        if let address = self.client.address { text.putJSONString(address) } else { text.put("null") }
        text.put(member: "claims", self.client.claims ?? .null)
        text.put("}}")
        return text
    }
}

extension [UInt8] {
    fileprivate mutating func put(member name: StaticString, _ value: JSONText?) {
        guard let value else { return }
        self.put(",\"")
        self.put(name)
        self.put("\":")
        self.put(value)
    }

    /// `{"path":..,"query":..,"headers":{"name":"value",..}}`: names in lower case, values of one name joined (RFC 9110, 5.3).
    fileprivate mutating func put(_ request: ClientRequest) {
        self.put("{\"path\":")
        self.putJSONString(request.path)
        self.put(",\"query\":")
        if let query = request.query { self.putJSONString(query) } else { self.put("null") }
        self.put(",\"headers\":{")
        var values: [String: String] = [:]
        var names: [String] = []
        for field in request.fields {
            let name = field.name.lowercased()
            if let value = values[name] {
                values[name] = "\(value)\(name == "cookie" ? "; " : ", ")\(field.value)"
            } else {
                values[name] = field.value
                names.append(name)
            }
        }
        for (index, name) in names.enumerated() {
            if index > 0 { self.put(",") }
            self.putJSONString(name)
            self.put(":")
            self.putJSONString(values[name] ?? "")
        }
        self.put("}}")
    }
}

/// What a service answered.
struct HookAnswer: Sendable, Hashable {
    var data: JSONText?
    /// Claims of a token that the client is given.
    var token: TokenClaims?
    var error: ProtocolError?

    init() {}

    /// Reads `{"data":..,"setAuthToken":{..},"error":{"name":..,"message":..}}`, each member optional; nothing at all is an answer without
    /// data.
    ///
    /// - Throws: ``HookFailure/malformed`` for anything else: a service that says what we do not understand may have meant no.
    init(body: [UInt8]) throws(HookFailure) {
        guard !body.isEmpty else { return }
        guard let answer = TokenClaims(json: body), answer.isObject else { throw .malformed }
        for (name, value) in answer.members {
            switch name {
            case "data": self.data = value
            case "setAuthToken": self.token = try Self.object(value)
            case "error": self.error = try Self.error(value)
            default: throw .malformed
            }
        }
    }

    /// Nil for null, which says the same as nothing.
    private static func object(_ value: JSONText) throws(HookFailure) -> TokenClaims? {
        guard value != .null else { return nil }
        guard let object = TokenClaims(json: value.utf8), object.isObject else { throw .malformed }
        return object
    }

    private static func error(_ value: JSONText) throws(HookFailure) -> ProtocolError? {
        guard let object = try Self.object(value) else { return nil }
        guard let message = object.string("message") else { throw .malformed }
        var error = ProtocolError(name: object.string("name") ?? "Error", message: message)
        for (key, value) in object.members where key != "message" && key != "name" {
            // Whoever closes a connection by the error reads its `statusCode` as a number.
            error.fields.append(
                ProtocolError.Field(key, Int64(value.description).map(ProtocolError.Value.integer) ?? .json(value)))
        }
        return error
    }
}

extension HookRequest.Client {
    init(_ socket: ClientSocket, claims: TokenClaims?) {
        self.init(id: socket.id, address: socket.remoteAddress?.ipAddress, claims: claims?.json)
    }
}
