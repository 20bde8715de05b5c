internal import LinkspanBridgeKit
internal import NIOCore

/// What a connection is for. Called on its event loop, while it is open.
protocol ConnectionRole: AnyObject, SendableMetatype {
    /// One reply, in the reader's tokens. Throwing ends the conversation.
    func replyReceived(_ reader: ReplyReader) throws(UpstreamError)

    /// All replies of one read were handed over.
    func readCompleted(_ reader: ReplyReader) throws(UpstreamError)

    /// Nothing more will arrive, and the conversation is about to end.
    func connectionEnded(_ reader: ReplyReader)

    /// Asks for a sign of life, unless an answer is due anyway.
    func ping()
}

/// What a role does with its connection. On the event loop; without effect once the connection has ended.
protocol RedisConnection: AnyObject {
    /// False while more than the high watermark of the transport waits to be sent.
    var isWritable: Bool { get }

    func write(_ buffer: ByteBuffer)

    /// Reads no further, and takes silence for our own doing, until ``resumeReading()``.
    func pauseReading()
    func resumeReading()

    /// Ends the conversation.
    func end(_ error: UpstreamError?)
}

/// Lives at the end of a connection's pipeline: parses what arrives, logs in, watches for silence, and hands replies to the role.
///
/// Confined to its event loop. It ends once, by `ended`, with the reason; nil when we closed it ourselves.
final class ReplyHandler<Role: ConnectionRole>: ChannelInboundHandler, RedisConnection {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case connecting
        case loggingIn(Login)
        case open
        case ended
    }

    let role: Role
    private let name: String
    private let login: Login
    private let isOpen: (UpstreamFacts) -> Void
    private let ended: (UpstreamError?) -> Void
    private let reader = ReplyReader()
    private var state = State.connecting
    private var liveness: Liveness
    private var watch: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private var isLeaving = false

    /// - Parameters:
    ///   - name: of the connection, for messages, such as `the subscription connection to redis://127.0.0.1:6379`.
    ///   - isOpen: called when the upstream has let us in.
    ///   - ended: called once, also when it never opened.
    init(
        role: Role, name: String, login: Login, liveness: Liveness, isOpen: @escaping (UpstreamFacts) -> Void,
        ended: @escaping (UpstreamError?) -> Void
    ) {
        self.role = role
        self.name = name
        self.login = login
        self.liveness = liveness
        self.isOpen = isOpen
        self.ended = ended
    }

    // MARK: Doing

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    func write(_ buffer: ByteBuffer) {
        self.context?.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    func pauseReading() {
        self.liveness.paused()
        try? self.context?.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func resumeReading() {
        self.liveness.resumed(at: .now())
        try? self.context?.channel.syncOptions?.setOption(.autoRead, value: true)
    }

    /// Says good-bye; Redis answers what is under way and closes.
    func leave() {
        guard case .open = self.state else { return self.end(nil) }
        self.isLeaving = true
        var buffer = ByteBuffer()
        buffer.writeCommand(["QUIT"])
        self.write(buffer)
    }

    func end(_ error: UpstreamError?) {
        if case .ended = self.state { return }
        let wasOpen = if case .open = self.state { true } else { false }
        // First, because what the role still does may end the other connection, and with it this one once more.
        self.state = .ended
        if wasOpen { self.role.connectionEnded(self.reader) }
        self.watch?.cancel()
        self.watch = nil
        let context = self.context
        self.context = nil
        context?.close(promise: nil)
        self.ended(self.isLeaving ? nil : error)
    }

    // MARK: Events

    func handlerAdded(context: ChannelHandlerContext) {
        if case .ended = self.state {
            // We gave up while the connection was still being made.
            context.close(promise: nil)
            return
        }
        self.context = context
        if context.channel.isActive { self.connected(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.end(UpstreamError(.lost, "\(self.name) was closed"))
    }

    func channelActive(context: ChannelHandlerContext) {
        self.connected(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch self.state {
        case .connecting, .loggingIn:
            self.end(UpstreamError(.unreachable, "\(self.name) was closed before Redis had let us in"))
        case .open:
            self.end(UpstreamError(.lost, "\(self.name) was closed by Redis"))
        case .ended:
            break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isEstablished = if case .open = self.state { true } else { false }
        self.end(TransportError.describe(error, on: self.name, whileOpen: isEstablished))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .ended = self.state { return }
        do throws(UpstreamError) {
            try self.reader.read(self.unwrapInboundIn(data)) { reader throws(UpstreamError) in
                try self.replyReceived(reader)
            }
        } catch {
            self.end(UpstreamError(error.code, "\(self.name): \(error.message)"))
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.liveness.heard(at: .now())
        guard case .open = self.state else { return }
        do throws(UpstreamError) {
            try self.role.readCompleted(self.reader)
        } catch {
            self.end(error)
        }
    }

    private func connected(_ context: ChannelHandlerContext) {
        guard case .connecting = self.state else { return }
        self.state = .loggingIn(self.login)
        var buffer = ByteBuffer()
        for command in self.login.commands { buffer.writeCommand(command) }
        self.write(buffer)
    }

    private func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        switch self.state {
        case .open:
            try self.role.replyReceived(reader)
        case .loggingIn(var login):
            let isArray = reader.tokens[0].kind == .array
            let facts = try login.replyReceived(
                isError: reader.tokens[0].kind == .error,
                texts: reader.tokens.indices.dropFirst(isArray ? 1 : 0).map(reader.text(at:)))
            self.state = .loggingIn(login)
            if let facts { self.open(facts) }
        case .connecting, .ended:
            break
        }
    }

    private func open(_ facts: UpstreamFacts) {
        self.state = .open
        self.liveness.heard(at: .now())
        self.watchLiveness()
        self.isOpen(facts)
    }

    private func watchLiveness() {
        self.watch = self.context?.eventLoop.assumeIsolated().scheduleTask(in: self.liveness.resolution) {
            [weak self] in
            self?.checkLiveness()
            self?.watchLiveness()
        }
    }

    private func checkLiveness() {
        switch self.liveness.check(at: .now()) {
        case .fine: break
        case .ping: self.role.ping()
        case .silent(let time):
            self.end(
                UpstreamError(.silent, "\(self.name) gave no sign of life for \(time.nanoseconds / 1_000_000_000) s"))
        }
    }
}

@available(*, unavailable)
extension ReplyHandler: Sendable {}
