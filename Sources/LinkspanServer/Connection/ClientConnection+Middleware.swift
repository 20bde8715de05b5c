internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// A request for a WebSocket that may be granted.
struct Upgrade {
    var head: RequestHead
    var key: String
    var subprotocol: String?
    /// Nil for a connection without compression.
    var compression: CompressionAgreement?
}

/// What the application, or another loop, has yet to say about one connection.
struct OpenQuestion {
    /// Behind a pointer: every connection has room for a question, and few ever have one.
    indirect enum Subject {
        case upgrade(Upgrade)
        case message(WebSocketMessageKind)
        case handshake(JSONValue?, TokenOutcome, TokenPurpose)
        case token(TokenOutcome, TokenPurpose)
        case action(ConnectionAction, MiddlewareActionType)
        /// Nobody's decision: an `unsubscribe` that waits for what the client has published before.
        case departure(ConnectionAction)
    }

    /// Tells answers to this question from those to earlier ones.
    let number: UInt64
    let subject: Subject
    let deadline: NIODeadline
    let task: Task<Void, Never>
}

/// A message of which something waits for a decision.
struct HeldMessage {
    let text: [UInt8]
    /// The packets that come after the one that waits.
    var rest: PacketBatch?
}

/// Asking the application, and going on when it has decided.
///
/// One question is open at a time. Its message is kept until all packets in it are handled, and what came after it stays unread, so order
/// holds whatever the application takes its time for.
extension ClientConnection {
    // MARK: Asking

    func askAbout(_ upgrade: Upgrade) {
        let (request, address) = (ClientRequest(upgrade.head), self.context?.remoteAddress)
        let middleware = self.program.middleware.middleware
        self.ask(.upgrade(upgrade), UnsafeRawBufferPointer(start: nil, count: 0)) {
            try await middleware.handshake?(.handshakeWS(request: request, remoteAddress: address)) ?? .allow
        }
    }

    /// False when there is nobody to ask, as below.
    func askAboutMessage(_ kind: WebSocketMessageKind, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let session = self.session else { return false }
        let message: RawMessage
        switch kind {
        case .binary: message = .binary(Array(bytes))
        case .text:
            // What is no UTF-8 ends the connection, whatever anybody says.
            guard let text = String(validating: bytes, as: UTF8.self) else { return false }
            message = .text(text)
        }
        let middleware = self.program.middleware.middleware
        self.ask(.message(kind), bytes) {
            let action = RawAction(socket: ClientSocket(session), message: message)
            return MiddlewareDecision(raw: try await middleware.inboundRaw?(action) ?? .allow)
        }
        return true
    }

    func askAboutHandshake(
        _ token: JSONValue?, _ outcome: TokenOutcome, for purpose: TokenPurpose, text: UnsafeRawBufferPointer
    ) -> Bool {
        let verdict = outcome.verdict(self.machine?.dialect ?? .v2)
        guard let session = self.session, self.machine?.admits(verdict, rules: self.listener.rules) == true else {
            return false
        }
        var shown = HandshakeToken(signed: token?.string?.string(in: text.bytes))
        if case .accepted(let claims) = outcome { shown.claims = claims }
        if case .failed(let error, _) = verdict { shown.error = error }
        let middleware = self.program.middleware.middleware
        self.ask(.handshake(token, outcome, purpose), text) { [shown] in
            try await middleware.handshake?(.handshakeSC(socket: ClientSocket(session), token: shown)) ?? .allow
        }
        return true
    }

    func askAboutToken(
        _ token: JSONValue?, _ outcome: TokenOutcome, for purpose: TokenPurpose, text: UnsafeRawBufferPointer
    ) -> Bool {
        guard case .accepted(let claims) = outcome, let session = self.session else { return false }
        let signed = token?.string?.string(in: text.bytes) ?? ""
        self.ask(
            .token(outcome, purpose), text, session, .authenticate(signedToken: signed, claims: claims))
        return true
    }

    /// Whether a publish or subscription may go on at once: neither denied nor for the application to decide.
    func isAdmitted(
        _ action: ConnectionAction, _ channel: StringSlice, _ use: ChannelAction, text: UnsafeRawBufferPointer
    ) -> Bool {
        if self.program.hasPermissions, !self.mayUse(channel, for: use, callID: action.callID, text: text) {
            return false
        }
        // Before anything is copied: most servers have permissions and no middleware.
        guard use == .publish ? self.program.middleware.asksPublish : self.program.middleware.asksSubscribe else {
            return true
        }
        if self.program.middleware.limitsChannels,
            !self.program.middleware.middleware.concerns(channel.string(in: text.bytes))
        {
            return true
        }
        return !self.askAbout(action, text: text)
    }

    func askAbout(_ action: ConnectionAction, text: UnsafeRawBufferPointer) -> Bool {
        guard let session = self.session, let kind = Self.kind(of: action, in: text) else { return false }
        let type = InboundAction(socket: ClientSocket(session), kind: kind, tokenExpired: nil).type
        guard self.program.middleware.asks(about: type) else { return false }
        self.ask(.action(action, type), text, session, kind)
        return true
    }

    /// What a client publishes before it leaves a channel reaches it, as SocketCluster has it, which handles one packet after the other. Where another loop
    /// owns the channel, leaving waits until that has handed on what it was given before.
    ///
    /// False when nothing can be on its way.
    func awaitOwnCopies(_ action: ConnectionAction, of channel: StringSlice, text: UnsafeRawBufferPointer) -> Bool {
        let name = ChannelName(channel.string(in: text.bytes))
        guard self.loop.shard.isSubscribed(self, to: name), let owner = self.loop.foreignOwner(of: name) else {
            return false
        }
        self.ask(.departure(action), text) {
            await owner.untilTurnEnds()
            return .allow
        }
        return true
    }

    private static func kind(of action: ConnectionAction, in text: UnsafeRawBufferPointer) -> InboundAction.Kind? {
        func json(_ range: Range<Int>?) -> JSONText? { range.map { JSONText(alreadyValid: Array(text[$0])) } }
        switch action {
        case .publish(let channel, let data, _):
            return .publishIn(channel: ChannelName(channel.string(in: text.bytes)), data: json(data))
        case .subscribe(let channel, let data, _, _):
            return .subscribe(channel: ChannelName(channel.string(in: text.bytes)), data: json(data))
        case .event(let name, let data, nil):
            return .transmit(receiver: name.string(in: text.bytes), data: json(data))
        case .event(let name, let data, .some):
            return .invoke(procedure: name.string(in: text.bytes), data: json(data))
        case .nothing, .unsubscribe, .judgeToken, .deauthenticate, .answer, .answerTwice, .response, .close,
            .answerAndClose:
            return nil
        }
    }

    private func ask(
        _ subject: OpenQuestion.Subject, _ text: UnsafeRawBufferPointer, _ session: ClientSession,
        _ kind: InboundAction.Kind
    ) {
        let middleware = self.program.middleware.middleware
        let expired = self.tokenEnded.map(ProtocolError.tokenExpiredInSession)
        self.ask(subject, text) {
            let action = InboundAction(socket: ClientSocket(session), kind: kind, tokenExpired: expired)
            return try await middleware.inbound?(action) ?? .allow
        }
    }

    private func ask(
        _ subject: OpenQuestion.Subject, _ text: UnsafeRawBufferPointer,
        _ decide: @escaping @Sendable () async throws -> MiddlewareDecision
    ) {
        // The rest of a message that is held already points into the same text.
        if self.held == nil { self.held = HeldMessage(text: Array(text)) }
        self.questionCount += 1
        let (number, address) = (self.questionCount, self.address)
        let task = Task {
            let decision: MiddlewareDecision
            do {
                decision = try await decide()
            } catch {
                decision = .block(error)
            }
            address.post { $0.decided(number, decision) }
        }
        let deadline = self.loop.turn.now + self.program.middleware.timeLimit
        self.question = OpenQuestion(number: number, subject: subject, deadline: deadline, task: task)
        self.pauseReading(.decision)
        self.reschedule()
    }

    /// What comes after the packet that waits.
    func keep(_ rest: PacketBatch) {
        self.held?.rest = rest
    }

    func forgetDecisions() {
        self.forgetOutboundLine()
        self.question?.task.cancel()
        self.question = nil
        self.held = nil
    }

    // MARK: Going on

    /// The answer to a question; one that comes late means nothing.
    func decided(_ number: UInt64, _ decision: MiddlewareDecision) {
        guard let question = self.question, question.number == number, let held = self.held else { return }
        self.loop.touch()
        self.question = nil
        if case .late = decision.outcome {
            question.task.cancel()
            self.loop.counters.decisionsTimedOut.add(1)
        }
        held.text.withUnsafeBytes { text in
            self.goOn(question.subject, decision, text)
            if self.question == nil, var rest = self.held?.rest { self.batchReceived(&rest, text) }
        }
        guard self.question == nil else { return }
        self.held = nil
        self.resumeReading(.decision)
    }

    private func goOn(
        _ subject: OpenQuestion.Subject, _ decision: MiddlewareDecision, _ text: UnsafeRawBufferPointer
    ) {
        switch decision.outcome {
        case .allow, .replace, .replaceMessage: self.admit(subject, decision, text)
        case .block(let reason): self.block(subject, reason, text)
        case .late: self.block(subject, subject.type?.lateError, text)
        }
    }

    private func admit(
        _ subject: OpenQuestion.Subject, _ decision: MiddlewareDecision, _ text: UnsafeRawBufferPointer
    ) {
        switch subject {
        case .upgrade(let upgrade):
            self.open(upgrade)
        case .message(let kind):
            // Its packets are found in the message itself, or in what another codec makes of it.
            self.held = nil
            self.admit(kind, decision, text)
        case .handshake(let token, let outcome, let purpose):
            self.handshakeAdmitted(token, outcome, for: purpose, text: text)
        case .token(let outcome, let purpose):
            self.tokenSettled(outcome, for: purpose, text: text)
        case .action(let action, _):
            guard case .replace(let data) = decision.outcome else {
                return self.carryOut(action, decision.answer, text)
            }
            let changed = action.replacing(data: data?.utf8, in: text)
            changed.text.withUnsafeBytes { self.carryOut(changed.action, decision.answer, $0) }
        case .departure(let action):
            self.carryOut(action, nil, text)
        }
    }

    private func admit(_ kind: WebSocketMessageKind, _ decision: MiddlewareDecision, _ text: UnsafeRawBufferPointer) {
        switch decision.outcome {
        case .replaceMessage(.text(var message)):
            message.withUTF8 { self.messageAdmitted(.text, UnsafeRawBufferPointer($0)) }
        case .replaceMessage(.binary(let message)):
            message.withUnsafeBytes { self.messageAdmitted(.binary, $0) }
        case .allow, .replace, .block, .late:
            self.messageAdmitted(kind, text)
        }
    }

    /// - Parameter answer: data of the answer to a publish.
    private func carryOut(_ action: ConnectionAction, _ answer: JSONText?, _ text: UnsafeRawBufferPointer) {
        switch action {
        case .publish(let channel, let data, let callID):
            guard self.mayStillUse(channel, for: .publish, callID: callID, text: text) else { return }
            self.publish(channel, data: data, callID: answer == nil ? callID : nil, text: text)
            if let answer, let callID { self.answer(.success(callID, data: answer)) }
        case .subscribe(let channel, let data, let callID, let joinsAnswer):
            guard self.mayStillUse(channel, for: .subscribe, callID: callID, text: text) else { return }
            self.subscribe(channel, data: data, callID: callID, joinsAnswer: joinsAnswer, text: text)
        case .event(let name, let data, let callID):
            self.eventReceived(name, data: data, callID: callID, text: text)
        case .unsubscribe(let channel, let callID):
            self.unsubscribe(channel, callID: callID, text: text)
        case .nothing, .judgeToken, .deauthenticate, .answer, .answerTwice, .response, .close, .answerAndClose:
            break
        }
    }

    /// The client may have become somebody else while the application was deciding.
    private func mayStillUse(
        _ channel: StringSlice, for use: ChannelAction, callID: CallID?, text: UnsafeRawBufferPointer
    ) -> Bool {
        !self.program.hasPermissions || self.mayUse(channel, for: use, callID: callID, text: text)
    }

    private func block(_ subject: OpenQuestion.Subject, _ error: (any Error)?, _ text: UnsafeRawBufferPointer) {
        let dialect = self.machine?.dialect ?? (self.listener.rules.protocolChoice == .v1 ? .v1 : .v2)
        switch subject {
        case .upgrade:
            self.loop.counters.handshakesBlocked.add(1)
            let error = MiddlewareActionType.handshakeWS.refusalObject(error, dialect: dialect)
            self.refuse(UpgradeRefusal(status: 401, reason: "Unauthorized", body: error.message))
        case .message:
            self.loop.counters.messagesBlocked.add(1)
        case .handshake(_, _, let purpose):
            self.loop.counters.handshakesBlocked.add(1)
            let error = MiddlewareActionType.handshakeSC.refusalObject(error, dialect: dialect)
            self.run(self.machine?.handshakeBlocked(error, callID: purpose.callID) ?? .nothing, text: text)
        case .token(_, let purpose):
            self.loop.counters.actionsBlocked.add(1)
            let error = MiddlewareActionType.authenticate.refusalObject(error, dialect: dialect)
            self.tokenSettled(.blocked(error), for: purpose, text: text)
        case .action(let action, let type):
            self.loop.counters.actionsBlocked.add(1)
            guard let callID = action.callID else { return }
            self.answer(ErrorAnswer.packet(for: type.refusal(error, dialect: dialect), callID: callID))
        case .departure(let action):
            // The other loop is too busy to say so; whoever wants to leave leaves.
            self.carryOut(action, nil, text)
        }
    }
}

extension OpenQuestion.Subject {
    /// Nil for what is nobody's decision.
    fileprivate var type: MiddlewareActionType? {
        switch self {
        case .upgrade: .handshakeWS
        case .message: .message
        case .handshake: .handshakeSC
        case .token: .authenticate
        case .action(_, let type): type
        case .departure: nil
        }
    }
}
