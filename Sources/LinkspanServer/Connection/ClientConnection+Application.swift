internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// What the application hears of this connection, and does with it.
extension ClientConnection {
    // MARK: What came for the application

    func startSession(_ head: RequestHead, id: SocketID) {
        self.makeSession(ClientRequest(head), id: id)
        if self.session != nil { self.tell { .opened($0) } }
    }

    /// A connection that was opened before there was anybody to ask is made known to it; what request opened it is forgotten by then.
    func programChanged() {
        self.decisions = nil
        guard self.session == nil, self.stage == .open, let machine = self.machine else { return }
        self.makeSession(ClientRequest(path: self.listener.path, query: nil, fields: []), id: machine.socketID)
        let claims = self.identity?.claims
        self.session?.update { snapshot in
            snapshot.isOpen = machine.phase == .open
            snapshot.claims = claims
        }
    }

    private func makeSession(_ request: ClientRequest, id: SocketID) {
        guard let application = self.program.application else { return }
        let session = ClientSession(
            id: id.description, request: request, remoteAddress: self.context?.remoteAddress,
            context: self.server, address: self.address, workLimit: application.workLimit)
        session.update { $0.dialect = self.machine?.liveness.dialect }
        self.session = session
    }

    var address: ConnectionAddress {
        ConnectionAddress(inbox: self.loop.inbox, slot: self.slot, generation: self.loop.shard.generation(of: self))
    }

    func tell(_ event: (ClientSocket) -> ConnectionEvent) {
        guard let session = self.session else { return }
        let event = event(ClientSocket(session))
        self.program.application?.onConnectionEvent?(event)
        self.server.connectionEvents.tell(event)
    }

    func tellAuthentication() {
        let claims = self.identity?.claims
        self.session?.update { $0.claims = claims }
        self.tell { .authenticationChanged($0, claims: claims) }
    }

    func eventReceived(_ name: StringSlice, data: Range<Int>?, callID: CallID?, text: UnsafeRawBufferPointer) {
        // Nobody to tell: clients expect no answer then.
        guard let application = self.program.application, let session = self.session else { return }
        let name = name.string(in: text.bytes)
        let admitsBoth = self.machine?.liveness.dialect != .v2
        guard let handler = application.handler(of: name, isCall: callID != nil, admitsBoth: admitsBoth) else { return }
        let data = data.map { JSONText(alreadyValid: Array(text[$0])) }
        let hasRoom =
            switch handler {
            case .receiver(let body):
                session.enqueue(name) {
                    await body(ReceivedEvent(socket: ClientSocket(session), name: name, data: data))
                }
            case .procedure(let body):
                session.enqueue(name) { await session.serve(name, data: data, callID: callID, body) }
            }
        if !hasRoom {
            self.loop.counters.applicationPauses.add(1)
            self.pauseReading(.application)
        }
    }

    func tellSubscribed(_ channel: StringSlice, data: Range<Int>?, text: UnsafeRawBufferPointer) {
        let data = data.map { JSONText(alreadyValid: Array(text[$0])) }
        self.tell { .subscribed($0, ChannelName(channel.string(in: text.bytes)), data: data) }
    }

    func tellUnsubscribed(_ channel: StringSlice, text: UnsafeRawBufferPointer) {
        self.tell { .unsubscribed($0, ChannelName(channel.string(in: text.bytes))) }
    }

    // MARK: Calls of ours

    func call(
        _ event: String, limit: TimeAmount, ticket: CallTicket, _ packet: (Int64) -> PacketToClient
    ) {
        guard self.stage == .open, self.machine?.phase == .open else { return }
        var calls = self.calls ?? PendingCalls()
        let id = calls.begin(event, deadline: self.loop.turn.now + limit, waiter: ticket)
        self.calls = calls
        guard let id else { return }
        self.answer(packet(id))
        self.reschedule()
    }

    func responseReceived(_ callID: CallID, data: Range<Int>?, error: Range<Int>?, text: UnsafeRawBufferPointer) {
        guard case .integer(let id) = callID, let answer = self.calls?.answered(id) else { return }
        if let error {
            answer.settle(.failure(ErrorAnswer.error(from: Array(text[error]))))
        } else {
            answer.settle(.success(data.map { JSONText(alreadyValid: Array(text[$0])) }))
        }
    }

    func expireCalls(at now: NIODeadline) {
        let dialect = self.machine?.dialect ?? .v2
        for expired in self.calls?.timePassed(at: now) ?? [] {
            self.loop.counters.callsTimedOut.add(1)
            expired.waiter.settle(.failure(ProtocolError.timedOut(event: expired.event, dialect: dialect)))
        }
    }

    func endSession() {
        // Tickets that are forgotten tell whoever waits.
        self.calls = nil
        guard let session = self.session else { return }
        session.update { $0.isOpen = false }
        let (code, reason) = self.closing ?? (.abnormal, "")
        self.tell { .disconnected($0, code: code, reason: reason) }
        self.session = nil
    }

    // MARK: What the application does

    func tokenIssued(_ token: IssuedToken) {
        guard self.stage == .open, self.machine?.tokenIssued() == true else { return }
        self.identity = ClientIdentity(token.claims)
        self.decisions = nil
        self.tellAuthentication()
    }

    func removeToken() {
        guard self.stage == .open else { return }
        self.dropToken()
    }

    /// Makes the client anonymous without telling it.
    func forgetClient() {
        guard self.stage == .open else { return }
        self.forgetToken()
        _ = self.machine?.tokenEnded()
    }

    func kickOut(_ channel: ChannelName, message: String?) {
        guard self.stage == .open else { return }
        var name = channel.string
        let existed = name.withUTF8 { self.loop.shard.unsubscribe(self, from: UnsafeRawBufferPointer($0)) }
        guard existed else { return }
        self.machine?.kickedOut()
        self.answer(.kickOut(channel: channel.string, message: message))
        self.tell { .unsubscribed($0, channel) }
    }

    func kickOutOfAll(message: String?) {
        for channel in self.channels { self.kickOut(channel, message: message) }
    }

    var channels: [ChannelName] {
        self.loop.shard.channels(of: self).map { ChannelName(String(decoding: $0, as: UTF8.self)) }
    }

    var outboundFigures: OutboundFigures {
        var figures = OutboundFigures()
        figures.queuedBytes = self.queuedBytes + (self.outboundLine?.byteCount ?? 0)
        figures.unansweredCalls = self.calls?.count ?? 0
        return figures
    }
}

extension ClientRequest {
    init(_ head: RequestHead) {
        self.init(path: head.path, query: head.query, fields: head.fields)
    }
}

extension ClientSession {
    /// Runs a procedure and answers what it makes of the call.
    fileprivate func serve(
        _ name: String, data: JSONText?, callID: CallID?, _ body: Application.Procedure
    ) async {
        let scope = CallScope()
        let socket = ClientSocket(self, scope: scope)
        let call = ProcedureCall(socket: socket, name: name, data: data, wantsAnswer: callID != nil)
        let packet: PacketToClient?
        do {
            let data = try await body(call)
            packet = callID.map { .success($0, data: data) }
        } catch {
            packet = callID.map { ErrorAnswer.packet(for: error, callID: $0) }
        }
        let staged = scope.answered()
        self.post { connection in
            for action in staged { action(connection) }
            if let packet, connection.stage == .open { connection.answer(packet) }
        }
    }
}
