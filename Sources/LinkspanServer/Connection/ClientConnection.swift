internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// One client: the only handler of its NIO channel once ``OpeningRequest`` has read the request that opens it.
///
/// Thin on purpose. What may come when and what is answered is decided by ``ConnectionStateMachine``; this class feeds it, carries out its
/// actions, and moves bytes. Everything runs on the event loop of the channel.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Stage {
        /// Exits: `open` by an upgrade, `finishing` by any other request.
        case request
        /// Exits: `closing` by a close frame of either side, `finishing`, `ended`.
        case open
        /// Our close frame went out; waits for the peer's. Exits: `finishing`, `ended`.
        case closing
        /// Nothing more is read; ends when all is written and the peer has hung up, or time is up. Exit: `ended`.
        case finishing
        case ended
    }

    // What each message touches comes first, so that it lies close together: a thousand clients do not fit into a cache.
    let loop: ServerLoop
    let listener: ListenerContext
    var server: ServerContext { self.loop.context }
    var program: Program { self.loop.program }
    @exclusivity(unchecked) private(set) var slot = -1
    @exclusivity(unchecked) var stage = Stage.request
    @exclusivity(unchecked) var pauses: PauseReasons = []
    /// Whether the socket is read.
    @exclusivity(unchecked) var isReading = true
    /// Whether it ever completed a handshake.
    @exclusivity(unchecked) private var wasClient = false
    let writesDirectly: Bool
    /// Nil until the first message has shown it, where the listener admits more than one.
    @exclusivity(unchecked) var codec: MessageCodec? {
        didSet { self.form = FrameForm(self.codec ?? .json, compression: self.form.compression) }
    }
    /// How it is written to.
    @exclusivity(unchecked) private(set) var form: FrameForm
    @exclusivity(unchecked) var parser: WebSocketFrameParser
    /// What came and was not handled yet: an incomplete frame, or anything while reading is paused.
    @exclusivity(unchecked) var unread: ByteBuffer?
    @exclusivity(unchecked) var machine: ConnectionStateMachine?
    /// What the application knows of it; nil without one.
    @exclusivity(unchecked) var session: ClientSession?
    @exclusivity(unchecked) var rate: PublishRate?
    /// What the application has yet to decide; nothing more is handled before that.
    @exclusivity(unchecked) var question: OpenQuestion?
    /// Nil while the client is anonymous.
    @exclusivity(unchecked) var identity: ClientIdentity?

    var context: ChannelHandlerContext?
    /// What this client was found to be allowed; belongs to ``identity``.
    var decisions: ChannelDecisions?
    /// Calls of ours; nil until the first.
    var calls: PendingCalls<CallTicket>?
    /// The message that ``question`` is about, or the rest of it.
    var held: HeldMessage?
    var questionCount: UInt64 = 0
    /// Nil until outbound middleware is asked for the first time.
    var outboundLine: OutboundLine?
    /// When the token ended that the packet under way brought to light, in seconds since 1970.
    var tokenEnded: Int64?
    /// Why it closes, once that is known; for the application.
    private(set) var closing: (code: CloseCode, reason: String)?
    var rateEnds = NIODeadline.distantFuture
    /// The full bridges, as bits, that it waits for.
    var blockedBy: UInt64 = 0
    /// Whether copies of what it published may be on their way here from the owners of their channels.
    @exclusivity(unchecked) var hasPublished = false
    /// Publishes whose answers wait for bridges.
    var openReceipts = 0

    // Outbound; see ClientConnection+Outbound.
    var descriptor: CInt = -1
    var backlog: ByteBuffer?
    var inFlightBytes = 0
    /// Nil unless packets for this client are joined into arrays; see ClientConnection+Batching.
    var batch: OutboundBatch?
    /// Calls that are answered in one array.
    var joinedAnswers: [CallID] = []

    /// The one entry of the timer wheel that counts.
    private(set) var scheduledDeadline = NIODeadline.distantFuture
    private var requestEnds = NIODeadline.distantFuture
    private var isOverLimit = false
    private var socketID: SocketID?

    /// - Parameter writesDirectly: whether nothing else in the pipeline has to see what is written, as TLS has.
    init(loop: ServerLoop, listener: ListenerContext, writesDirectly: Bool) {
        self.loop = loop
        self.listener = listener
        self.writesDirectly = writesDirectly
        self.codec = listener.codec
        self.form = FrameForm(listener.codec ?? .json)
        self.parser = Self.parser(loop.context.settings.limits, allowsCompression: false)
    }

    private static func parser(_ limits: LimitSettings, allowsCompression: Bool) -> WebSocketFrameParser {
        WebSocketFrameParser(
            sender: .client, limits: WebSocketFrameParser.Limits(messageBytes: limits.messageBytes),
            allowsCompression: allowsCompression, checksText: false)
    }

    // MARK: NIO

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let count = self.server.connectionOpened()
        let limit = self.server.settings.limits.connections
        self.isOverLimit = count > limit
        let (slot, socketID) = self.loop.shard.add(self)
        self.slot = slot
        self.socketID = socketID
        // Beyond what may be answered politely.
        guard count <= limit + Self.politeRefusals else {
            self.loop.counters.connectionsRefused.add(1)
            context.close(promise: nil)
            return
        }
        if self.writesDirectly { self.descriptor = self.directDescriptor(of: context) }
        self.updateDirectWay()
        self.requestEnds = .now() + self.listener.rules.handshakeTimeout
        self.reschedule()
    }

    /// Connections past the limit that still get an HTTP answer.
    private static let politeRefusals = 1000

    func channelInactive(context: ChannelHandlerContext) {
        self.loop.catchUp()
        self.end()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.end()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func end() {
        guard self.stage != .ended else { return }
        if self.wasClient { self.loop.counters.clientsOpen.add(-1) }
        self.stage = .ended
        self.context = nil
        self.unread = nil
        self.backlog = nil
        self.forgetDecisions()
        self.batch = nil
        self.endSession()
        guard self.slot >= 0 else { return }
        self.server.connectionClosed()
        self.loop.shard.remove(self)
    }

    // MARK: The request

    func requestReceived(_ head: RequestHead) {
        self.loop.catchUp()
        switch self.listener.upgradeRules.judge(head) {
        case .health(let isHeadRequest):
            self.respond(self.server.health().response(isHeadRequest: isHeadRequest))
        case .refuse(let refusal):
            self.refuse(refusal)
        case .upgrade where self.isOverLimit:
            self.loop.counters.connectionsRefused.add(1)
            self.refuse(.full)
        case .upgrade(let key, let subprotocol, let compression):
            let upgrade = Upgrade(head: head, key: key, subprotocol: subprotocol, compression: compression)
            if self.program.middleware.asksUpgrade { return self.askAbout(upgrade) }
            self.open(upgrade)
        }
    }

    /// Switches to WebSocket.
    func open(_ upgrade: Upgrade) {
        guard let socketID = self.socketID else { return }
        self.loop.shard.answer(self, verbatim: HTTPResponse.upgrade(upgrade))
        if upgrade.compression != nil {
            self.form = FrameForm(self.form.codec, compression: self.listener.compression)
            self.parser = Self.parser(self.server.settings.limits, allowsCompression: true)
        }
        self.stage = .open
        self.requestEnds = .distantFuture
        self.machine = ConnectionStateMachine(
            socketID: socketID, openedAt: self.loop.turn.now, rules: self.listener.rules)
        self.rate = PublishRate(perSecond: self.server.settings.limits.publishesPerSecond, now: self.loop.turn.now)
        self.startSession(upgrade.head, id: socketID)
        self.reschedule()
    }

    func refuse(_ refusal: UpgradeRefusal) {
        self.respond(HTTPResponse.refusal(refusal))
    }

    private func respond(_ response: [UInt8]) {
        self.loop.shard.answer(self, verbatim: response)
        self.finish()
    }

    // MARK: Actions

    func run(_ action: ConnectionAction, text: UnsafeRawBufferPointer) {
        switch action {
        case .nothing: break
        case .publish(let channel, let data, let callID):
            if self.program.checksPublishes, !self.isAdmitted(action, channel, .publish, text: text) { break }
            self.publish(channel, data: data, callID: callID, text: text)
        case .subscribe(let channel, let data, let callID, let joinsAnswer):
            if self.program.checksSubscriptions, !self.isAdmitted(action, channel, .subscribe, text: text) { break }
            self.subscribe(channel, data: data, callID: callID, joinsAnswer: joinsAnswer, text: text)
        case .unsubscribe(let channel, let callID):
            if self.hasPublished, self.awaitOwnCopies(action, of: channel, text: text) { break }
            self.unsubscribe(channel, callID: callID, text: text)
        case .judgeToken(let token, let purpose):
            self.judgeToken(token, for: purpose, text: text)
        case .deauthenticate:
            self.forgetToken()
        case .event(let name, let data, let callID):
            if self.program.middleware.asksEvent, self.askAbout(action, text: text) { break }
            self.eventReceived(name, data: data, callID: callID, text: text)
        case .response(let callID, let data, let error):
            self.responseReceived(callID, data: data, error: error, text: text)
        case .answer(let packet):
            self.answer(packet)
        case .answerTwice(let first, let second):
            self.answer(first)
            self.answer(second)
        case .close(let code):
            self.fail(code)
        case .answerAndClose(let packet, let code):
            self.answer(packet)
            self.fail(code)
        }
        self.noticeHandshake()
    }

    func publish(_ channel: StringSlice, data: Range<Int>?, callID: CallID?, text: UnsafeRawBufferPointer) {
        let data = UnsafeRawBufferPointer(rebasing: text[data ?? 0..<0])
        if let callID, self.server.hasReceipts {
            self.publishForReceipt(channel, data: data, callID: callID, text: text)
        } else {
            self.withName(channel, in: text) { self.loop.publish($0, data: data) }
            self.succeed(callID)
        }
        self.hasPublished = true
        self.loop.counters.publishesReceived.add(1)
        if self.rate != nil { self.applyRate() }
        if self.server.congestion.isCongested { self.applyCongestion() }
        if self.server.backPressure.isRaised { self.applyBackPressure(channel, text: text) }
    }

    func subscribe(
        _ channel: StringSlice, data: Range<Int>?, callID: CallID?, joinsAnswer: Bool, text: UnsafeRawBufferPointer
    ) {
        let isNew = self.withName(channel, in: text) { self.loop.shard.subscribe(self, to: $0) }
        self.machine?.subscribed(isNew: isNew)
        if isNew, self.session != nil { self.tellSubscribed(channel, data: data, text: text) }
        joinsAnswer ? self.joinAnswer(callID) : self.succeed(callID)
    }

    func unsubscribe(_ channel: StringSlice, callID: CallID?, text: UnsafeRawBufferPointer) {
        let existed = self.withName(channel, in: text) { self.loop.shard.unsubscribe(self, from: $0) }
        if existed, self.session != nil { self.tellUnsubscribed(channel, text: text) }
        let answer = self.machine?.unsubscribed(existed: existed, channel: channel, callID: callID, in: text.bytes)
        self.run(answer ?? .nothing, text: text)
    }

    private func noticeHandshake() {
        guard !self.wasClient, self.machine?.phase == .open else { return }
        self.wasClient = true
        self.loop.counters.handshakes.add(1)
        self.loop.counters.clientsOpen.add(1)
        if self.server.settings.batching.onHandshake { self.startBatchOnHandshake() }
        guard let session = self.session else { return }
        let claims = self.identity?.claims
        session.update { snapshot in
            snapshot.isOpen = true
            snapshot.claims = claims
        }
        self.tell { .handshake($0) }
        if claims != nil { self.tellAuthentication() }
    }

    func withName<Result>(
        _ name: StringSlice, in text: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        guard name.hasEscapes else { return body(UnsafeRawBufferPointer(rebasing: text[name.range])) }
        var string = name.string(in: text.bytes)
        return string.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    func succeed(_ callID: CallID?) {
        guard let callID else { return }
        self.loop.shard.answer(self) { frame in
            frame.put("{\"rid\":")
            frame.put(callID)
            frame.put(UInt8(ascii: "}"))
        }
    }

    func answer(_ packet: PacketToClient) {
        let dialect = self.machine?.dialect ?? .v2
        self.loop.shard.answer(self) { packet.encode(dialect: dialect, into: &$0) }
    }

    // MARK: Time

    func timePassed(at now: NIODeadline) {
        self.scheduledDeadline = .distantFuture
        self.loop.touch()
        if self.requestEnds <= now {
            self.stage == .request ? self.requestTimedOut() : self.cut()
            return self.reschedule()
        }
        if self.rateEnds <= now {
            self.rateEnds = .distantFuture
            self.resumeReading(.rate)
        }
        if self.calls != nil { self.expireCalls(at: now) }
        if let question = self.question, question.deadline <= now { self.decided(question.number, .late) }
        if self.outboundLine != nil { self.expireOutboundQuestion(at: now) }
        if self.pauses.contains(.congestion), !self.server.congestion.isCongested { self.resumeReading(.congestion) }
        if self.pauses.contains(.upstream), self.server.backPressure.bits & self.blockedBy == 0 {
            self.endBackPressure()
        }
        let isPaused = !self.pauses.isDisjoint(with: .ours)
        switch self.machine?.timePassed(at: now, rules: self.listener.rules, isReadingPaused: isPaused) {
        case .ping(let form): self.ping(form)
        case .handshakeTimedOut: self.fail(.handshakeTimedOut)
        case .pongTimedOut: self.fail(.pongTimedOut)
        case .closeTimedOut: self.cut()
        case .nothing, nil: break
        }
        self.reschedule()
    }

    private func requestTimedOut() {
        self.unread = nil
        self.refuse(UpgradeRefusal(status: 408, reason: "Request Timeout", body: "Request Timeout"))
    }

    private func ping(_ form: Liveness.PingForm) {
        // A peer that does not take what we send needs no pings on top; it will not answer them either.
        guard self.unwrittenBytes == 0 else { return }
        let numbered = self.codec == .minBin ? Self.numberedMinBinPing : Self.numberedPing
        switch form {
        case .only(.v2): self.loop.shard.answer(self, verbatim: Self.emptyPing)
        case .only(.v1): self.loop.shard.answer(self, verbatim: numbered)
        case .both: self.loop.shard.answer(self, verbatim: Self.emptyPing + numbered)
        }
    }

    private static let emptyPing: [UInt8] = [0x81, 0x00]
    private static let numberedPing: [UInt8] = [0x81, 0x02, UInt8(ascii: "#"), UInt8(ascii: "1")]
    private static let numberedMinBinPing: [UInt8] = [0x82, 0x03, 0xA2, UInt8(ascii: "#"), UInt8(ascii: "1")]

    /// Asks to be called again at the next deadline of any of our clocks.
    func reschedule() {
        guard self.stage != .ended else { return }
        var next = min(self.requestEnds, self.rateEnds)
        if let machine = self.machine, self.stage == .open || self.stage == .closing {
            next = min(next, machine.liveness.nextDeadline)
        }
        if let calls = self.calls { next = min(next, calls.nextDeadline) }
        if let question = self.question { next = min(next, question.deadline) }
        if let question = self.outboundLine?.question { next = min(next, question.deadline) }
        if !self.pauses.isDisjoint(with: .polled) { next = min(next, .now() + .milliseconds(20)) }
        guard next < self.scheduledDeadline else { return }
        self.scheduledDeadline = next
        self.loop.shard.schedule(self, at: next)
    }

    // MARK: The end

    /// Closes for a fault of the peer's.
    func fail(_ code: CloseCode) {
        guard self.stage == .open else { return }
        self.loop.counters.protocolFaults.add(1)
        self.close(code)
    }

    /// Says why, takes part in nothing any more, and waits a bounded time for the peer's close.
    func close(_ code: CloseCode, reason: String = "") {
        guard self.stage == .open else {
            if self.stage == .request { self.context?.close(promise: nil) }
            return
        }
        self.loop.touch()
        if let announcement = self.machine?.closeBegan(
            code, reason: reason, at: self.loop.turn.now, rules: self.listener.rules)
        {
            self.answer(announcement)
            self.sendClose(code)
        } else {
            self.sendClose(code, reason: reason)
        }
        self.closing = (code, reason)
        self.session?.update { $0.isOpen = false }
        self.stage = .closing
        self.forgetDecisions()
        self.resumeReading(.all)
        self.loop.shard.endSubscriptions(of: self)
        self.reschedule()
    }

    /// The peer's close frame, which is answered in kind (RFC 6455 5.5.1).
    func closeReceived(_ code: CloseCode?, reason: UnsafeRawBufferPointer) {
        if self.stage == .open {
            self.closing = (code ?? .noStatus, String(decoding: reason, as: UTF8.self))
            self.session?.update { $0.isOpen = false }
            self.forgetDecisions()
            _ = self.machine?.closeBegan(code ?? .normal, at: self.loop.turn.now, rules: self.listener.rules)
            self.sendClose(code)
            self.loop.shard.endSubscriptions(of: self)
        }
        self.finish()
    }

    /// Bytes of a close frame's payload beside its code (RFC 6455 5.5).
    private static let reasonByteLimit = 123

    private func sendClose(_ code: CloseCode?, reason: String = "") {
        self.loop.shard.answer(self, .close) { frame in
            guard let code else { return }
            frame.put(UInt8(code.rawValue >> 8))
            frame.put(UInt8(truncatingIfNeeded: code.rawValue))
            var fitting = reason[...]
            while fitting.utf8.count > Self.reasonByteLimit { fitting.removeLast() }
            frame.put(verbatim: String(fitting))
        }
    }

    /// Reads nothing more, hangs up once all is written, and is cut off when the peer does not do the same in time.
    func finish() {
        guard self.stage != .finishing, self.stage != .ended else { return }
        self.stage = .finishing
        self.unread = nil
        self.forgetDecisions()
        self.resumeReading(.decision)
        self.loop.touch()
        self.requestEnds = self.loop.turn.now + self.listener.rules.closeTimeout
        self.loop.shard.tellWhenWritten(self)
        self.reschedule()
    }

    /// Without a word.
    func cut() {
        self.context?.close(promise: nil)
    }
}

@available(*, unavailable)
extension ClientConnection: Sendable {}
