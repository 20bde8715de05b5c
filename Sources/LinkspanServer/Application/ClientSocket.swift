public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanWire
public import NIOCore

/// A client, as an application sees it: who it is, and what can be done with it. Any thread; keeps no connection open.
///
/// What is asked of a connection that has ended has no effect.
public struct ClientSocket: Sendable, Identifiable {
    let session: ClientSession
    let scope: CallScope?

    init(_ session: ClientSession, scope: CallScope? = nil) {
        self.session = session
        self.scope = scope
    }

    /// As the client knows it: 20 characters.
    public var id: String { self.session.id }

    /// The HTTP request that opened the connection.
    public var request: ClientRequest { self.session.request }

    public var remoteAddress: SocketAddress? { self.session.remoteAddress }

    /// What the server publishes and subscribes to, at hand where a client asks for it.
    public var exchange: Exchange { self.session.exchange }

    /// Which protocol the client speaks; nil while a listener for both has not found out.
    public var dialect: Dialect? { self.session.snapshot.dialect }

    /// What the client's valid token says; nil while it is anonymous.
    public var claims: TokenClaims? { self.session.snapshot.claims }

    public var isAuthenticated: Bool { self.claims != nil }

    /// Whether the handshake is done and neither side has begun to close.
    public var isOpen: Bool { self.session.snapshot.isOpen }

    // MARK: Sending

    /// Sends an event that needs no answer.
    /// - Parameter data: nil for an event without data.
    public func transmit(_ event: String, _ data: JSONText? = nil) {
        self.post(byteCount: data?.utf8.count ?? 0) { $0.answer(.event(name: event, data: data, callID: nil)) }
    }

    /// Calls a procedure of the client.
    /// - Parameter timeout: `ackTimeout` of the server unless given.
    /// - Returns: the data of the answer.
    /// - Throws: what the client answered, as a ``ProtocolError`` or ``ErrorValue``; `TimeoutError`; `BadConnectionError` when the connection
    ///   is gone or more than a thousand calls wait for answers.
    @discardableResult
    public func invoke(_ event: String, _ data: JSONText? = nil, timeout: Duration? = nil) async throws -> JSONText? {
        try await self.call(event, timeout: timeout) { .event(name: event, data: data, callID: $0) }
    }

    // MARK: Tokens

    /// Signs `claims`, gives the client the token, and takes it for whom the claims name from now on.
    ///
    /// Within a procedure the token is written right before the answer. `iat`, and `exp` by the server's default, are added to an object.
    /// - Throws: `InvalidActionError` unless the connection is open; what the key throws when it cannot sign, and the connection is then
    ///   closed with 4002.
    public func setAuthToken(_ claims: TokenClaims) async throws {
        let token = try self.sign(claims)
        let issue: LoopAction = { connection in
            connection.tokenIssued(token)
            connection.answer(.setAuthToken(token.text, callID: nil))
        }
        if self.scope?.stage(issue) == true { return }
        self.post(issue)
    }

    /// As ``setAuthToken(_:)``, and waits until the client has said that it has the token.
    /// - Throws: also `AuthError` when it does not say so within `timeout`.
    public func deliverAuthToken(_ claims: TokenClaims, timeout: Duration? = nil) async throws {
        let token = try self.sign(claims)
        self.post { $0.tokenIssued(token) }
        do {
            _ = try await self.call("#setAuthToken", timeout: timeout) { .setAuthToken(token.text, callID: $0) }
        } catch let error as ProtocolError {
            throw ProtocolError.tokenDeliveryFailed("\(error.name): \(error.message)")
        }
    }

    /// Makes the client anonymous and tells it to forget its token. Subscriptions stay.
    public func deauthenticate() {
        self.post { $0.removeToken() }
    }

    /// As ``deauthenticate()``, and waits until the client has said that it has forgotten the token.
    ///
    /// Asks the client even when it is anonymous, since it may keep a token that we did not take.
    /// - Throws: what the client answered, `TimeoutError`, `BadConnectionError`; the client is anonymous to us all the same.
    public func deauthenticateConfirmed(timeout: Duration? = nil) async throws {
        self.post { $0.forgetClient() }
        _ = try await self.call("#removeAuthToken", timeout: timeout) { .removeAuthToken(callID: $0) }
    }

    private func sign(_ claims: TokenClaims) throws -> IssuedToken {
        guard self.isOpen else {
            throw ProtocolError.invalidAction("Cannot set the auth token of a socket that is not open")
        }
        do {
            return try self.session.issue(claims)
        } catch {
            self.post { $0.close(.signFailed) }
            throw error
        }
    }

    // MARK: Channels and the end

    /// Ends the client's subscription of `channel` and tells it so. Nothing happens when there is none.
    public func kickOut(_ channel: ChannelName, message: String? = nil) {
        self.post { $0.kickOut(channel, message: message) }
    }

    /// Ends all subscriptions of the client.
    public func kickOut(message: String? = nil) {
        self.post { $0.kickOutOfAll(message: message) }
    }

    /// Closes the connection. Codes from 4500 keep JavaScript clients from coming back by themselves.
    /// - Parameter reason: told to the client; cut at the 123 bytes that a close frame has room for.
    public func disconnect(code: CloseCode = .normal, reason: String = "") {
        let code = code.isAllowedOnWire ? code : .normal
        self.post { $0.close(code, reason: reason) }
    }

    // MARK: Arrays

    /// Joins packets for this client into arrays until ``stopBatching()``. For clients in JavaScript: most others cannot read arrays.
    /// - Parameter interval: longest wait of a packet for others; `batching.interval` of the settings unless given.
    public func startBatching(interval: Duration? = nil) {
        let interval = interval.map { TimeAmount($0) }
        self.post { $0.startBatching(interval: interval) }
    }

    /// Sends what waits, and what comes after it one by one.
    public func stopBatching() {
        self.post { $0.stopBatching() }
    }

    /// What the client is subscribed to now.
    public var channels: [ChannelName] {
        get async { await self.session.ask(default: []) { $0.channels } }
    }

    /// How far the client is behind.
    public var outbound: OutboundFigures {
        get async { await self.session.ask(default: OutboundFigures()) { $0.outboundFigures } }
    }

    // MARK: The way to the loop

    private func call(
        _ event: String, timeout: Duration?, _ packet: @escaping @Sendable (Int64) -> PacketToClient
    ) async throws -> JSONText? {
        let limit = TimeAmount(timeout ?? self.session.ackTimeout)
        let answer = CallAnswer()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                answer.wait(continuation)
                let ticket = CallTicket(event: event, answer: answer)
                self.post { $0.call(event, limit: limit, ticket: ticket, packet) }
            }
        } onCancel: {
            answer.settle(.failure(CancellationError()))
        }
    }

    private func post(byteCount: Int = 0, _ body: @escaping LoopAction) {
        let staged = self.scope?.takeStaged() ?? []
        self.session.post(byteCount: byteCount) { connection in
            for action in staged { action(connection) }
            body(connection)
        }
    }
}

extension ClientSocket: Hashable {
    public static func == (one: ClientSocket, other: ClientSocket) -> Bool { one.session === other.session }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(self.session))
    }
}

/// The HTTP request by which a client came.
public struct ClientRequest: Sendable, Hashable {
    public var path: String
    /// What follows `?`, not decoded; nil without one.
    public var query: String?
    /// In order, names as the client wrote them.
    public var fields: [HTTPField]

    /// The first value of a field, whatever the case of its name.
    public func field(_ name: String) -> String? {
        let name = name.lowercased()
        return self.fields.first { $0.name.lowercased() == name }?.value
    }
}

/// What waits for one client.
public struct OutboundFigures: Sendable, Hashable {
    /// Bytes in our memory that the socket has not taken, or that outbound middleware has yet to decide about; past `limits.outboundBytes` the client is closed as slow.
    public var queuedBytes = 0
    /// Calls of ours that it has not answered.
    public var unansweredCalls = 0

    public init() {}
}
