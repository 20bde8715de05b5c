internal import LinkspanWire

/// One connection of a client, from the WebSocket's opening to its end: what to send and what to tell. No socket, no clock.
///
/// Call IDs start at 1 with the handshake, as most clients of SocketCluster do.
struct ClientSession {
    enum Phase: Hashable {
        /// To `open` by the answer to the handshake, to `closed` by its refusal or the deadline.
        case awaitingHandshake
        /// To `closed` by silence of the server.
        case open
        case closed
    }

    enum Call: Hashable {
        case handshake
        case subscribe(String)
        case unsubscribe(String)
        /// The caller's number of the publish.
        case publish(UInt64)
    }

    enum Action: Hashable {
        case send(PacketToServer, Dialect)
        case opened(isAuthenticated: Bool, authError: String?)
        case subscribed(String)
        case subscribeRefused(String, reason: String)
        case kickedOut(String, reason: String?)
        /// `data` is a range of the text that was received.
        case deliver(channel: String, data: Range<Int>?)
        /// `data` of the answer is a range of the text that was received.
        case acked(UInt64, data: Range<Int>? = nil)
        case publishRefused(UInt64, reason: String)
        case close(CloseCode, ClientError)
    }

    typealias Instant = ContinuousClock.Instant

    private(set) var phase = Phase.awaitingHandshake
    private var decoder = ServerDecoder()
    private var calls: [Int64: Call] = [:]
    private var lastCallID: Int64 = 0
    /// Pings later than this mean that the server is gone.
    private var deadline: Instant
    private var pingTimeout = Duration.seconds(20)
    /// Both dialects are answered; protocol 1 is spoken only to a server that pings in it.
    private var dialect = Dialect.v2

    init(openedAt now: Instant, connectTimeout: Duration) {
        self.deadline = now + connectTimeout
    }

    // MARK: Asking

    mutating func start(authToken: String?) -> [Action] {
        [.send(.handshake(authToken: authToken, callID: self.call(.handshake)), self.dialect)]
    }

    mutating func subscribe(_ channel: String) -> [Action] {
        guard self.phase == .open else { return [] }
        let callID = self.call(.subscribe(channel))
        return [.send(.subscribe(channel: channel, data: nil, waitForAuth: false, callID: callID), self.dialect)]
    }

    mutating func unsubscribe(_ channel: String) -> [Action] {
        guard self.phase == .open else { return [] }
        return [.send(.unsubscribe(channel: channel, callID: self.call(.unsubscribe(channel))), self.dialect)]
    }

    mutating func publish(_ channel: String, _ data: JSONText?, number: UInt64) -> [Action] {
        guard self.phase == .open else { return [] }
        return [.send(.publish(channel: channel, data: data, callID: self.call(.publish(number))), self.dialect)]
    }

    private mutating func call(_ call: Call) -> Int64 {
        self.lastCallID += 1
        self.calls[self.lastCallID] = call
        return self.lastCallID
    }

    // MARK: Hearing

    mutating func timePassed(to now: Instant) -> [Action] {
        guard self.phase != .closed, now >= self.deadline else { return [] }
        let isOpen = self.phase == .open
        self.phase = .closed
        return isOpen
            ? [.close(.pingTimedOut, ClientError(.lost, "the server sent no ping for \(self.pingTimeout)"))]
            : [.close(.connectTimedOut, ClientError(.unreachable, "the server did not answer the handshake in time"))]
    }

    mutating func received(_ text: RawSpan, at now: Instant) -> [Action] {
        switch self.decoder.decode(text) {
        case .ping(let dialect):
            return self.pingReceived(dialect, at: now)
        case .packet(let packet):
            return self.packetReceived(packet, in: text, at: now)
        case .batch(var batch):
            var actions: [Action] = []
            while let packet = self.decoder.next(&batch, in: text) {
                actions += self.packetReceived(packet, in: text, at: now)
            }
            return actions
        }
    }

    private mutating func pingReceived(_ dialect: Dialect, at now: Instant) -> [Action] {
        // A pong before the handshake is answered would be the "message before the handshake" that servers close for (4009).
        guard self.phase == .open else { return [] }
        self.deadline = now + self.pingTimeout
        return [.send(.pong, dialect)]
    }

    private mutating func packetReceived(_ packet: ServerPacket, in text: RawSpan, at now: Instant) -> [Action] {
        switch packet {
        case .response(let callID, let data, let error):
            guard case .integer(let number) = callID, let call = self.calls.removeValue(forKey: number) else {
                return []
            }
            return self.answered(call, data: data, error: error, in: text, at: now)
        case .publish(.name(let channel), let data):
            return [.deliver(channel: channel.string(in: text), data: data)]
        case .kickOut(.name(let channel), let message):
            return [.kickedOut(channel.string(in: text), reason: message?.string(in: text))]
        case .setAuthToken(_, let callID?), .removeAuthToken(let callID?):
            return [.send(.success(callID, data: nil), self.dialect)]
        case .publish, .kickOut, .setAuthToken, .removeAuthToken, .disconnect, .event, .raw:
            return []
        }
    }

    private mutating func answered(
        _ call: Call, data: JSONValue?, error: JSONValue?, in text: RawSpan, at now: Instant
    ) -> [Action] {
        let reason = error.map { ErrorText.describe($0, in: text) }
        switch (call, reason) {
        case (.handshake, nil): return self.handshakeAnswered(data, in: text, at: now)
        case (.handshake, let reason?):
            self.phase = .closed
            return [.close(.handshakeFailed, ClientError(.refused, "the server refused the handshake: \(reason)"))]
        case (.subscribe(let channel), nil): return [.subscribed(channel)]
        case (.subscribe(let channel), let reason?): return [.subscribeRefused(channel, reason: reason)]
        case (.unsubscribe, _): return []
        case (.publish(let number), nil): return [.acked(number, data: data?.range)]
        case (.publish(let number), let reason?): return [.publishRefused(number, reason: reason)]
        }
    }

    private mutating func handshakeAnswered(_ data: JSONValue?, in text: RawSpan, at now: Instant) -> [Action] {
        let status = HandshakeAnswer(data, in: text)
        self.phase = .open
        if let timeout = status.pingTimeout { self.pingTimeout = timeout }
        self.deadline = now + self.pingTimeout
        return [.opened(isAuthenticated: status.isAuthenticated, authError: status.authError)]
    }
}
