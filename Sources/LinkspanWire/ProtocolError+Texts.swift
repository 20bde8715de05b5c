// Names and texts as socketcluster-server 14.7.1 (v1) and 19.1.1 (v2) send them. Clients look at `name` sometimes and
// at `message` hardly ever.

extension ProtocolError {
    /// `channel` is what stood in place of the name, in the words of JavaScript (``JavaScriptText``).
    public static func subscribeMalformed(channel: String, socketID: String, dialect: Dialect) -> ProtocolError {
        switch dialect {
        case .v1:
            .broker(
                "Failed to subscribe socket to the \(channel) channel - Socket \(socketID) provided an invalid channel name"
            )
        case .v2: .invalidAction("Subscribe channel name was malformatted")
        }
    }

    public static func subscriptionLimit(
        channel: String, socketID: String, limit: Int, dialect: Dialect
    ) -> ProtocolError {
        .broker(
            "Failed to subscribe socket to the \(channel) channel - \(Self.cause(dialect))Socket \(socketID) "
                + "tried to exceed the channel subscription limit of \(limit)")
    }

    public static func publishMalformed(channel: String, socketID: String, dialect: Dialect) -> ProtocolError {
        switch dialect {
        case .v1: .broker("Socket \(socketID) tried to publish to an invalid \(channel) channel")
        case .v2: .invalidAction("Publish channel name was malformatted")
        }
    }

    public static let publishDisabled = ProtocolError.invalidAction("Client publish feature is disabled")

    public static func unsubscribeMalformed(channel: String, socketID: String, dialect: Dialect) -> ProtocolError {
        switch dialect {
        case .v1:
            .broker(
                "Failed to unsubscribe socket from the \(channel) channel - Socket \(socketID) tried to "
                    + "unsubscribe from an invalid channel name")
        case .v2: .invalidAction("Unsubscribe channel name was malformatted")
        }
    }

    public static func notSubscribed(channel: String, socketID: String, dialect: Dialect) -> ProtocolError {
        .broker(
            "Failed to unsubscribe socket from the \(channel) channel - \(Self.cause(dialect))Socket \(socketID) "
                + "tried to unsubscribe from a channel which it is not subscribed to")
    }

    /// Before the handshake, where `strictHandshake` is off.
    public static let subscribeBeforeHandshake = ProtocolError.invalidAction(
        "Cannot subscribe socket to a channel before it has completed the handshake")

    /// The permissions of the server do not grant it. `action` is `subscribe` or `publish`.
    public static func notPermitted(action: String, channel: String) -> ProtocolError {
        .invalidAction("No permission to \(action) on channel: \(channel)")
    }

    /// A channel that belongs to Linkspan itself.
    public static func reservedChannel(_ channel: String) -> ProtocolError {
        .invalidAction("Channels that begin with `$linkspan/` are reserved: \(channel)")
    }

    public static func channelNameTooLong(limit: Int) -> ProtocolError {
        .invalidAction("Channel name is longer than \(limit) bytes")
    }

    /// v2 prefixes the cause with its name, v1 does not.
    private static func cause(_ dialect: Dialect) -> String {
        switch dialect {
        case .v1: ""
        case .v2: "InvalidActionError: "
        }
    }
}

extension ProtocolError {
    /// `expiry` is ISO 8601 with milliseconds, as `Date.toJSON` writes it. v1 leaves `isBadToken` out of every token
    /// error.
    public static func tokenExpired(expiry: String, dialect: Dialect) -> ProtocolError {
        .token("AuthTokenExpiredError", "jwt expired", [Field("expiry", .string(expiry))], isBad: true, dialect)
    }

    /// The token ran out while the connection was open; `expiry` in seconds since 1970.
    public static func tokenExpiredInSession(expiry: Int64) -> ProtocolError {
        ProtocolError(
            name: "AuthTokenExpiredError", message: "The socket auth token has expired",
            fields: [Field("expiry", .integer(expiry))])
    }

    public static func tokenInvalid(_ problem: TokenProblem, dialect: Dialect) -> ProtocolError {
        .token("AuthTokenInvalidError", problem.message, [], isBad: true, dialect)
    }

    /// `date` is ISO 8601 with milliseconds. The token is kept: it may become valid.
    public static func tokenNotActive(date: String, dialect: Dialect) -> ProtocolError {
        .token("AuthTokenNotBeforeError", "jwt not active", [Field("date", .string(date))], isBad: false, dialect)
    }

    public static func tokenNotString(dialect: Dialect) -> ProtocolError {
        .token(
            "AuthTokenError", "Invalid token format - Token must be a string", [], isBad: true, dialect)
    }

    public static func tokenDeliveryFailed(_ cause: String) -> ProtocolError {
        ProtocolError(name: "AuthError", message: "Failed to deliver auth token to client - \(cause)")
    }

    /// What jsonwebtoken finds wrong with a token; `revoked` is ours.
    public enum TokenProblem: Hashable, Sendable {
        case missing, malformed, undecodable, unsigned, wrongSignature, wrongAlgorithm, badExpiry, badNotBefore
        case revoked
        case wrongAudience(expected: String)
        case wrongIssuer(expected: String)

        public var message: String {
            switch self {
            case .missing: "jwt must be provided"
            case .malformed: "jwt malformed"
            case .undecodable: "invalid token"
            case .unsigned: "jwt signature is required"
            case .wrongSignature: "invalid signature"
            case .wrongAlgorithm: "invalid algorithm"
            case .badExpiry: "invalid exp value"
            case .badNotBefore: "invalid nbf value"
            case .revoked: "jwt revoked"
            case .wrongAudience(let expected): "jwt audience invalid. expected: \(expected)"
            case .wrongIssuer(let expected): "jwt issuer invalid. expected: \(expected)"
            }
        }
    }

    private static func token(
        _ name: String, _ message: String, _ fields: [Field], isBad: Bool, _ dialect: Dialect
    ) -> ProtocolError {
        let isBadToken = dialect == .v2 ? [Field("isBadToken", .boolean(isBad))] : []
        return ProtocolError(name: name, message: message, fields: fields + isBadToken)
    }
}

extension ProtocolError {
    /// Middleware blocked without an error of its own. v2 names the action and the line (`inbound`, `outbound`,
    /// `handshake`, `inboundRaw`); v1 has one word for both (`emit`, `subscribe`, `publishIn`, `publishOut`,
    /// `authenticate`, `handshakeWS`, `handshakeSC`), given as `line`.
    public static func silentlyBlocked(action: String, line: String, dialect: Dialect) -> ProtocolError {
        let message =
            switch dialect {
            case .v1: "Action was silently blocked by \(line) middleware"
            case .v2: "The \(action) AGAction was blocked by \(line) middleware"
            }
        return ProtocolError(
            name: "SilentMiddlewareBlockedError", message: message, fields: [Field("type", .string(line))])
    }

    public static func invalidAction(_ message: String) -> ProtocolError {
        ProtocolError(name: "InvalidActionError", message: message)
    }

    public static func invalidArguments(_ message: String) -> ProtocolError {
        ProtocolError(name: "InvalidArgumentsError", message: message)
    }

    public static func invalidMessage(_ message: String) -> ProtocolError {
        ProtocolError(name: "InvalidMessageError", message: message)
    }

    public static func broker(_ message: String) -> ProtocolError {
        ProtocolError(name: "BrokerError", message: message)
    }

    /// A client answers this to a `#setAuthToken` without a token.
    public static let noTokenData = ProtocolError.invalidMessage("No token data provided by #setAuthToken event")

    /// A call that the peer never answered; local, and sent on when one call waits for another.
    public static func timedOut(event: String, dialect: Dialect) -> ProtocolError {
        let message =
            switch dialect {
            case .v1: "Event response for '\(event)' timed out"
            case .v2: "Event response for \(event) event timed out"
            }
        return ProtocolError(name: "TimeoutError", message: message)
    }

    /// A call that was cut off because the connection closed (`disconnect`) or never opened (`connectAbort`).
    public static func badConnection(event: String, isAbort: Bool) -> ProtocolError {
        ProtocolError(
            name: "BadConnectionError", message: "Event \(event) was aborted due to a bad connection",
            fields: [Field("type", .string(isAbort ? "connectAbort" : "disconnect"))])
    }
}

/// How JavaScript prints a value inside a string, which v1 does with whatever stood in place of a channel name.
public enum JavaScriptText {
    public static func describe(_ field: NameField, in text: RawSpan) -> String {
        switch field {
        case .name(let slice): slice.string(in: text)
        case .missing: "undefined"
        case .malformed(let value): Self.describe(value, in: text)
        }
    }

    private static func describe(_ value: JSONValue, in text: RawSpan) -> String {
        switch value.kind {
        case .object: "[object Object]"
        case .array: Self.describe(array: value, in: text)
        case .string: value.string.map { $0.string(in: text) } ?? ""
        case .number, .boolean, .null:
            String(decoding: text.withUnsafeBytes { Array($0[value.range].prefix(64)) }, as: UTF8.self)
        }
    }

    /// The elements with commas between them, `null` as nothing, an array inside as `[]`.
    private static func describe(array: JSONValue, in text: RawSpan) -> String {
        var elements: [String] = []
        let isRead: Void? = try? JSONScanner(maximumDepth: 1024).forEachElement(of: array, in: text) { element in
            guard elements.count < Self.elementLimit else { return }
            let isNested = element.kind == .array
            elements.append(element.kind == .null ? "" : isNested ? "[]" : Self.describe(element, in: text))
        }
        return isRead == nil ? "" : elements.joined(separator: ",")
    }

    /// An error text is no place for a long array.
    private static let elementLimit = 16
}
