internal import CLinkspanRabbitMQ
internal import Glibc
internal import LinkspanBridgeKit

/// Sole owner of one connection of librabbitmq. Not thread-safe: lives on its link's thread.
///
/// Only the frame level of the library is used: its message level waits without a limit and stumbles over interleaved confirms.
struct RabbitConnection: ~Copyable {
    let raw: amqp_connection_state_t
    let descriptor: Int32
    /// As agreed with the upstream; zero when both sides want none.
    let heartbeat: Duration
    let isEncrypted: Bool
    /// Publishes that wait for ``flush()``.
    var frames: FrameWriter

    /// Takes over `raw`, which is logged in.
    init(loggedIn raw: amqp_connection_state_t, isEncrypted: Bool) {
        self.raw = raw
        self.isEncrypted = isEncrypted
        self.frames = FrameWriter(channel: Self.channel, frameLimit: Int(amqp_get_frame_max(raw)))
        self.descriptor = amqp_get_sockfd(raw)
        self.heartbeat = .seconds(Int64(amqp_get_heartbeat(raw)))
        Self.boundSendQueue(of: self.descriptor)
    }

    deinit {
        amqp_destroy_connection(self.raw)
    }

    /// The next frame that is here already; nil when there is none. Sends heartbeats that are due.
    mutating func nextFrame() throws(UpstreamError) -> RabbitFrame? {
        var frame = amqp_frame_t()
        var none = timeval()
        let status = amqp_simple_wait_frame_noblock(self.raw, &frame, &none)
        switch status {
        case AMQP_STATUS_OK.rawValue: return RabbitFrame(frame)
        case AMQP_STATUS_TIMEOUT.rawValue: return nil
        default: throw UpstreamError(status: status, during: "reading")
        }
    }

    /// Gives the memory of the frames so far back; without it the library keeps every frame.
    mutating func releaseBuffers() {
        amqp_maybe_release_buffers(self.raw)
    }

    /// Tells the upstream that we live while we do not read, which is when the library would do it.
    mutating func sendHeartbeat() throws(UpstreamError) {
        var frame = amqp_frame_t()
        frame.frame_type = UInt8(AMQP_FRAME_HEARTBEAT)
        try Self.check(amqp_send_frame(self.raw, &frame), "sending a heartbeat")
    }

    mutating func acknowledge(upTo tag: UInt64) throws(UpstreamError) {
        try Self.check(amqp_basic_ack(self.raw, Self.channel, tag, 1), "acknowledging")
    }

    /// The AMQP channel that carries messages.
    static let channel: UInt16 = 1
    /// The AMQP channel for bindings: a refused one closes it, and must not end the consumer.
    static let bindingChannel: UInt16 = 2

    /// Consumer tags: of the instance's own queue, and of the one that a group shares.
    static let ownConsumer: StaticString = "linkspan"
    static let groupConsumer: StaticString = "linkspan-group"

    mutating func openChannel(_ channel: UInt16) throws(RabbitFailure) {
        amqp_channel_open(self.raw, channel)
        try self.checkReply("opening a channel")
    }

    /// Answers the upstream's `channel.close`; the number may then be opened again.
    mutating func confirmChannelClosed(_ channel: UInt16) throws(UpstreamError) {
        var ok = amqp_channel_close_ok_t()
        try Self.check(amqp_send_method(self.raw, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok), "closing a channel")
    }

    /// Answers the upstream's `connection.close`, as far as the socket still takes it.
    mutating func confirmConnectionClosed() {
        var ok = amqp_connection_close_ok_t()
        amqp_send_method(self.raw, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok)
    }

    /// Says good-bye, waiting a second at most for the answer: everything written before has then been read by the upstream.
    mutating func close() {
        var limit = timeval(tv_sec: 1, tv_usec: 0)
        amqp_set_rpc_timeout(self.raw, &limit)
        amqp_connection_close(self.raw, 200)
    }

    /// Whether ``writeQuantum`` bytes fit into the socket: more, and `amqp_basic_publish` may wait inside, without a limit.
    ///
    /// The kernel says so while a third of the send buffer is free and less than ``unsentLimit`` is unsent.
    var isWritable: Bool {
        var polled = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&polled, 1, 0) == 1
    }

    /// Bytes that may be written after the socket was found writable; a third of the smallest send buffer holds them.
    static let writeQuantum = 8 << 10
    /// Bytes that may wait in the socket to be sent: enough to keep the path full, little enough to lose with the connection.
    private static let unsentLimit: Int32 = 256 << 10

    /// Holds back half-filled packets while a batch is written, and sends the rest at its end (tcp(7), TCP_CORK).
    ///
    /// Without TLS a batch is one write as it is.
    mutating func setCorked(_ isCorked: Bool) {
        guard self.isEncrypted else { return }
        var value: Int32 = isCorked ? 1 : 0
        setsockopt(self.descriptor, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    static func check(_ status: Int32, _ attempt: @autoclosure () -> String) throws(UpstreamError) {
        guard status == AMQP_STATUS_OK.rawValue else { throw UpstreamError(status: status, during: attempt()) }
    }

    /// Looks at how the library's last request went.
    func checkReply(_ attempt: String) throws(RabbitFailure) {
        try Self.check(amqp_get_rpc_reply(self.raw), attempt)
    }

    static func check(_ reply: amqp_rpc_reply_t, _ attempt: String) throws(RabbitFailure) {
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL:
            return
        case AMQP_RESPONSE_SERVER_EXCEPTION:
            guard let decoded = reply.reply.decoded else {
                throw .ended(UpstreamError(.protocolViolation, "\(attempt): the upstream refused without a reason"))
            }
            if reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD { throw .channelClosed(Closure(channel: decoded)) }
            throw .ended(UpstreamError(Closure(connection: decoded), during: attempt))
        default:
            throw .ended(UpstreamError(status: reply.library_error, during: attempt))
        }
    }

    private static func boundSendQueue(of descriptor: Int32) {
        var limit = Self.unsentLimit
        setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, &limit, socklen_t(MemoryLayout<Int32>.size))
    }
}
