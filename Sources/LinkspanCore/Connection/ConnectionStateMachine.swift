internal import LinkspanBridgeKit
public import LinkspanWire
public import NIOCore

/// The protocol of one connection from the opened WebSocket to its end: what may come when, and what the answer is.
///
/// Knows no socket, clock or broker: what happened goes in, what to do comes out. Where releases 14 (protocol 1) and 19 (protocol 2)
/// differ it follows the one that the listener is set to; a listener for both is as lenient as either, and words its errors like 19
/// until the client turns out to speak protocol 1.
public struct ConnectionStateMachine: Sendable {
    public enum Phase: Sendable, Hashable {
        /// Exits: `open` by a handshake, `closing`.
        case awaitingHandshake
        /// Exits: `closing`.
        case open
        /// A close frame went out; nothing that still comes means anything.
        case closing
    }

    public private(set) var phase = Phase.awaitingHandshake
    public private(set) var liveness: Liveness
    public private(set) var subscriptionCount = 0
    public private(set) var isAuthenticated = false
    public let socketID: SocketID

    public init(socketID: SocketID, openedAt now: NIODeadline, rules: ConnectionRules) {
        self.socketID = socketID
        self.liveness = Liveness(openedAt: now, rules: rules)
    }

    /// The dialect that texts are written in: protocol 2 until the client is known to speak protocol 1.
    public var dialect: Dialect { self.liveness.dialect ?? .v2 }

    // MARK: What came from the client

    public mutating func pongReceived(_ dialect: Dialect, at now: NIODeadline, rules: ConnectionRules)
        -> ConnectionAction
    {
        switch self.phase {
        case .awaitingHandshake where rules.requiresHandshakeFirst: return self.close(.messageBeforeHandshake)
        case .awaitingHandshake, .open:
            self.liveness.pongReceived(dialect, at: now, rules: rules)
            return .nothing
        case .closing: return .nothing
        }
    }

    /// An array of packets came; they follow one by one unless this says otherwise.
    public mutating func batchReceived(rules: ConnectionRules) -> ConnectionAction {
        // Release 19 takes the handshake out of an array, release 14 does not.
        guard self.phase == .awaitingHandshake, rules.requiresHandshakeFirst, rules.protocolChoice == .v1 else {
            return .nothing
        }
        return self.close(.messageBeforeHandshake)
    }

    /// - Parameter text: what `packet` was decoded from.
    public mutating func packetReceived(
        _ packet: ClientPacket, in text: RawSpan, at now: NIODeadline, rules: ConnectionRules
    ) -> ConnectionAction {
        switch self.phase {
        case .open:
            self.liveness.messageReceived(at: now, rules: rules)
            return self.packetReceivedWhileOpen(packet, in: text, rules: rules)
        case .awaitingHandshake:
            self.liveness.messageReceived(at: now, rules: rules)
            return self.packetReceivedBeforeHandshake(packet, in: text, rules: rules)
        case .closing:
            return .nothing
        }
    }

    // MARK: What became of it

    /// - Parameter isNew: false when the connection was subscribed already.
    public mutating func subscribed(isNew: Bool) {
        if isNew { self.subscriptionCount += 1 }
    }

    /// - Parameter existed: false when the connection was not subscribed.
    public mutating func unsubscribed(
        existed: Bool, channel: StringSlice, callID: CallID?, in text: RawSpan
    ) -> ConnectionAction {
        if existed { self.subscriptionCount -= 1 }
        guard let callID else { return .nothing }
        if existed { return .answer(.success(callID)) }
        let error = ProtocolError.notSubscribed(
            channel: channel.string(in: text), socketID: self.socketID.description, dialect: self.dialect)
        return .answer(.failure(callID, error))
    }

    /// The server ended a subscription of its own accord.
    public mutating func kickedOut() {
        self.subscriptionCount -= 1
    }

    public mutating func tokenJudged(
        _ verdict: TokenVerdict, for purpose: TokenPurpose, rules: ConnectionRules
    ) -> ConnectionAction {
        guard self.phase != .closing else { return .nothing }
        self.isAuthenticated = verdict == .accepted
        switch purpose {
        case .handshake(let callID): return self.handshakeJudged(verdict, callID: callID, rules: rules)
        case .authenticate(let callID): return self.authenticationJudged(verdict, callID: callID)
        }
    }

    /// Whether a handshake with a token of this worth opens the connection, as far as the rules go.
    public func admits(_ verdict: TokenVerdict, rules: ConnectionRules) -> Bool {
        rules.admitsAnonymous || verdict == .accepted
    }

    /// The application wants no connection with this client.
    /// - Parameter error: names the close code in `statusCode` if it is not to be 4008.
    public func handshakeBlocked(_ error: ProtocolError, callID: CallID?) -> ConnectionAction {
        guard self.phase != .closing else { return .nothing }
        return self.refuseHandshake(error, code: error.statusCode ?? .handshakeRejected, callID: callID)
    }

    /// The client's token has run out, or is believed no more; nil when nobody is to be told.
    public mutating func tokenEnded() -> PacketToClient? {
        guard self.isAuthenticated, self.phase == .open else { return nil }
        self.isAuthenticated = false
        return .removeAuthToken(callID: nil)
    }

    /// The server gives the client a token of its own accord.
    /// - Returns: whether that means anything now.
    public mutating func tokenIssued() -> Bool {
        guard self.phase == .open else { return false }
        self.isAuthenticated = true
        return true
    }

    /// Whether a packet that came after the token's end fails for it: release 14 refuses a subscription that is to wait for the login.
    public func refusal(of packet: ClientPacket, expiredAt expiry: Int64, rules: ConnectionRules) -> PacketToClient? {
        guard self.dialect == .v1, case .subscribe(let request) = packet, request.waitForAuth,
            let callID = self.effective(request.callID, rules: rules)
        else { return nil }
        return .failure(callID, .tokenExpiredInSession(expiry: expiry))
    }

    // MARK: Time and the end

    /// - Parameter isReadingPaused: by us, so that a pong may be waiting unread.
    public mutating func timePassed(
        at now: NIODeadline, rules: ConnectionRules, isReadingPaused: Bool
    ) -> Liveness.Event {
        self.liveness.timePassed(at: now, rules: rules, isReadingPaused: isReadingPaused)
    }

    public mutating func readingResumed(at now: NIODeadline, rules: ConnectionRules) {
        self.liveness.readingResumed(at: now, rules: rules)
    }

    /// A close frame goes out now; the packet that announces it first, in protocol 1 once that is known (`serversocket.js` of release 14).
    public mutating func closeBegan(
        _ code: CloseCode, reason: String = "", at now: NIODeadline, rules: ConnectionRules
    ) -> PacketToClient? {
        // Not to a client that has shown by its first message that it does not speak the protocol.
        let isAnnounced =
            self.phase != .closing && self.liveness.dialect == .v1 && code != .messageBeforeHandshake
        self.phase = .closing
        self.liveness.closeBegan(at: now, rules: rules)
        return isAnnounced ? .disconnect(code: code, data: reason.isEmpty ? nil : JSONText(string: reason)) : nil
    }
}

// MARK: - Packets

extension ConnectionStateMachine {
    private mutating func packetReceivedBeforeHandshake(
        _ packet: ClientPacket, in text: RawSpan, rules: ConnectionRules
    ) -> ConnectionAction {
        if case .handshake(let token, let callID) = packet {
            return self.handshakeReceived(token: token, callID: callID, rules: rules)
        }
        guard !rules.requiresHandshakeFirst else { return self.close(.messageBeforeHandshake) }
        switch packet {
        case .publish(let channel, let data, let callID):
            guard rules.admitsAnonymous else { return self.close(.messageBeforeHandshake) }
            return self.publishReceived(channel, data: data, callID: callID, in: text, rules: rules)
        case .subscribe(let request):
            guard let callID = self.effective(request.callID, rules: rules) else { return .nothing }
            return .answer(.failure(callID, .subscribeBeforeHandshake))
        case .handshake, .authenticate, .removeAuthToken, .unsubscribe, .disconnect, .event, .response, .raw:
            return .nothing
        }
    }

    private mutating func packetReceivedWhileOpen(
        _ packet: ClientPacket, in text: RawSpan, rules: ConnectionRules
    ) -> ConnectionAction {
        switch packet {
        case .publish(let channel, let data, let callID):
            self.publishReceived(channel, data: data, callID: callID, in: text, rules: rules)
        case .subscribe(let request):
            self.subscribeReceived(request, in: text, rules: rules)
        case .unsubscribe(let channel, let callID):
            self.unsubscribeReceived(channel, callID: callID, in: text, rules: rules)
        case .handshake(let token, let callID):
            // Release 14 handles one handshake; release 19 answers every one.
            self.liveness.dialect == .v1 ? .nothing : self.handshakeReceived(token: token, callID: callID, rules: rules)
        case .authenticate(let token, let callID):
            self.authenticateReceived(token, callID: callID, rules: rules)
        case .removeAuthToken:
            self.tokenRemoved()
        case .disconnect(let code, _):
            self.disconnectReceived(code)
        case .event(let name, let data, let callID):
            .event(name: name, data: data, callID: self.effective(callID, rules: rules))
        case .response(let callID, let data, let error):
            .response(callID: callID, data: data, error: error)
        case .raw:
            .nothing
        }
    }

    private mutating func handshakeReceived(
        token: JSONValue?, callID: CallID?, rules: ConnectionRules
    ) -> ConnectionAction {
        if rules.protocolChoice == .v2, callID?.isNumber != true { return self.close(.handshakeRejected) }
        let purpose = TokenPurpose.handshake(callID: self.effective(callID, rules: rules))
        return .judgeToken(token, for: purpose)
    }

    private mutating func handshakeJudged(
        _ verdict: TokenVerdict, callID: CallID?, rules: ConnectionRules
    ) -> ConnectionAction {
        guard self.admits(verdict, rules: rules) else {
            return self.refuseAnonymous(verdict, callID: callID)
        }
        self.phase = .open
        self.liveness.handshakeCompleted()
        var status = HandshakeStatus(
            id: self.socketID.description, pingTimeout: rules.announcedPingTimeout,
            isAuthenticated: self.isAuthenticated)
        var isBad = false
        if case .failed(let error, isBad: let bad) = verdict {
            status.authError = error
            isBad = bad
        }
        let answer = PacketToClient.handshakeAccepted(status, callID: callID)
        let removal = PacketToClient.removeAuthToken(callID: nil)
        // Release 14 answers a handshake without call ID by nothing at all; the connection is open all the same.
        let isSilent = callID == nil && self.liveness.dialect == .v1
        switch (isSilent, isBad) {
        case (true, true): return .answer(removal)
        case (true, false): return .nothing
        case (false, false): return .answer(answer)
        case (false, true):
            return self.dialect == .v1 ? .answerTwice(removal, answer) : .answerTwice(answer, removal)
        }
    }

    private func refuseAnonymous(_ verdict: TokenVerdict, callID: CallID?) -> ConnectionAction {
        var error = ProtocolError.tokenInvalid(.missing, dialect: self.dialect)
        if case .failed(let problem, _) = verdict { error = problem }
        return self.refuseHandshake(error, code: .handshakeRejected, callID: callID)
    }

    private func refuseHandshake(_ error: ProtocolError, code: CloseCode, callID: CallID?) -> ConnectionAction {
        guard callID != nil || self.liveness.dialect != .v1 else { return self.close(code) }
        var error = error
        error.fields.removeAll { $0.key == "statusCode" }
        error.fields.append(ProtocolError.Field("statusCode", .integer(Int64(code.rawValue))))
        return .answerAndClose(.handshakeRefused(error, statusCode: code, callID: callID), code)
    }

    private mutating func authenticateReceived(
        _ token: JSONValue?, callID: CallID?, rules: ConnectionRules
    ) -> ConnectionAction {
        if rules.protocolChoice == .v2, callID?.isNumber != true { return self.close(.handshakeRejected) }
        return .judgeToken(token, for: .authenticate(callID: self.effective(callID, rules: rules)))
    }

    private func authenticationJudged(_ verdict: TokenVerdict, callID: CallID?) -> ConnectionAction {
        let removal = PacketToClient.removeAuthToken(callID: nil)
        switch verdict {
        case .accepted, .absent:
            guard let callID else { return .nothing }
            return .answer(.authenticated(AuthenticateStatus(isAuthenticated: self.isAuthenticated), callID: callID))
        case .failed(let error, isBad: false):
            guard let callID else { return .nothing }
            return .answer(
                .authenticated(AuthenticateStatus(isAuthenticated: false, authError: error), callID: callID))
        case .failed(let error, isBad: true):
            guard let callID else { return .answer(removal) }
            guard self.dialect == .v1 else { return .answerTwice(.failure(callID, error), removal) }
            let status = AuthenticateStatus(isAuthenticated: false, authError: error, isFailure: true)
            return .answerTwice(removal, .authenticated(status, callID: callID))
        }
    }

    private mutating func tokenRemoved() -> ConnectionAction {
        self.isAuthenticated = false
        return .deauthenticate
    }

    private mutating func subscribeReceived(
        _ request: SubscribeRequest, in text: RawSpan, rules: ConnectionRules
    ) -> ConnectionAction {
        let callID = self.effective(request.callID, rules: rules)
        // Release 19 does not subscribe a client that cannot learn of it.
        if callID == nil, rules.protocolChoice == .v2 { return .nothing }
        guard case .name(let channel) = request.channel, !(request.isBareString && rules.protocolChoice == .v2) else {
            return self.refuse(callID) { machine in
                .subscribeMalformed(
                    channel: JavaScriptText.describe(request.channel, in: text),
                    socketID: machine.socketID.description, dialect: machine.dialect)
            }
        }
        if let error = self.problem(withName: channel, in: text, rules: rules) {
            return self.refuse(callID) { _ in error }
        }
        guard self.subscriptionCount < rules.channelLimit else {
            return self.refuse(callID) { machine in
                .subscriptionLimit(
                    channel: channel.string(in: text), socketID: machine.socketID.description,
                    limit: rules.channelLimit, dialect: machine.dialect)
            }
        }
        // Only clients of protocol 1 ask, and release 19 does not listen.
        let joinsAnswer = request.wantsBatch && callID != nil && self.liveness.dialect != .v2
        return .subscribe(channel: channel, data: request.data, callID: callID, joinsAnswer: joinsAnswer)
    }

    private func unsubscribeReceived(
        _ field: NameField, callID: CallID?, in text: RawSpan, rules: ConnectionRules
    ) -> ConnectionAction {
        let callID = self.effective(callID, rules: rules)
        guard case .name(let channel) = field else {
            return self.refuse(callID) { machine in
                .unsubscribeMalformed(
                    channel: JavaScriptText.describe(field, in: text), socketID: machine.socketID.description,
                    dialect: machine.dialect)
            }
        }
        return .unsubscribe(channel: channel, callID: callID)
    }

    private func publishReceived(
        _ field: NameField, data: Range<Int>?, callID: CallID?, in text: RawSpan, rules: ConnectionRules
    ) -> ConnectionAction {
        let callID = self.effective(callID, rules: rules)
        guard rules.allowsClientPublish else { return self.refuse(callID) { _ in .publishDisabled } }
        guard case .name(let channel) = field else {
            return self.refuse(callID) { machine in
                .publishMalformed(
                    channel: JavaScriptText.describe(field, in: text), socketID: machine.socketID.description,
                    dialect: machine.dialect)
            }
        }
        if let error = self.problem(withName: channel, in: text, rules: rules) {
            return self.refuse(callID) { _ in error }
        }
        return .publish(channel: channel, data: data, callID: callID)
    }

    private mutating func disconnectReceived(_ code: Int?) -> ConnectionAction {
        // To release 19 it is an event that nobody listens to; the client closes by itself.
        guard self.liveness.dialect != .v2 else { return .nothing }
        let code = code.flatMap(UInt16.init(exactly:)).map(CloseCode.init(rawValue:)) ?? .normal
        return self.close(code.isAllowedOnWire ? code : .normal)
    }

    // MARK: Helpers

    private func close(_ code: CloseCode) -> ConnectionAction { .close(code) }

    /// The call ID that gets an answer: release 19 counts numbers only, release 14 takes 0 for none.
    private func effective(_ callID: CallID?, rules: ConnectionRules) -> CallID? {
        guard let callID else { return nil }
        switch rules.protocolChoice {
        case .v2: return callID.isNumber ? callID : nil
        case .v1: return callID == .integer(0) ? nil : callID
        case .auto: return callID
        }
    }

    private func refuse(
        _ callID: CallID?, _ error: (ConnectionStateMachine) -> ProtocolError
    ) -> ConnectionAction {
        guard let callID else { return .nothing }
        return .answer(.failure(callID, error(self)))
    }

    /// Names that clients may not use: our own, and longer ones than the limit.
    private func problem(withName name: StringSlice, in text: RawSpan, rules: ConnectionRules) -> ProtocolError? {
        // Escapes only ever shorten, so most names are settled by their length and first byte.
        if name.range.count > rules.channelNameByteLimit {
            if !name.hasEscapes || name.string(in: text).utf8.count > rules.channelNameByteLimit {
                return .channelNameTooLong(limit: rules.channelNameByteLimit)
            }
        }
        guard !name.range.isEmpty, name.hasEscapes || Self.startsWithDollar(name, in: text) else { return nil }
        let channel = name.string(in: text)
        return ChannelName(channel).isReserved ? .reservedChannel(channel) : nil
    }

    private static func startsWithDollar(_ name: StringSlice, in text: RawSpan) -> Bool {
        text.unsafeLoad(fromByteOffset: name.range.lowerBound, as: UInt8.self) == UInt8(ascii: "$")
    }
}

extension ProtocolError {
    /// The close code that goes with it, if it names one that may be sent.
    fileprivate var statusCode: CloseCode? {
        for field in self.fields where field.key == "statusCode" {
            guard case .integer(let number) = field.value, let value = UInt16(exactly: number) else { return nil }
            let code = CloseCode(rawValue: value)
            return code.isAllowedOnWire ? code : nil
        }
        return nil
    }
}
