internal import CLinkspanRabbitMQ
internal import Glibc

/// basic.publish in a bare loop over librabbitmq.
struct AMQPSource: FlowSource {
    private let client: RabbitClient
    private let isConfirming: Bool
    private var published: UInt64 = 0
    private var confirmed: UInt64 = 0

    /// Most publishes without a confirm, as many as a bridge has by default.
    private static let window: UInt64 = 1000

    /// - Parameters:
    ///   - carriesHeader: whether each message gets the properties that a bridge would give it.
    ///   - isConfirming: whether messages are persistent and confirmed, as a bridge with `at_least_once` sends them, or neither.
    init(port: UInt16, name: StaticString, carriesHeader: Bool, isConfirming: Bool) throws {
        self.client = try RabbitClient(port: port, key: name)
        self.client.isPersistent = isConfirming
        self.isConfirming = isConfirming
        self.client.carriesHeader = carriesHeader
        if isConfirming { try self.client.selectConfirms() }
    }

    var room: Int { self.isConfirming ? Int(Self.window - (self.published - self.confirmed)) : 4096 }

    mutating func publish(_ payload: UnsafeRawBufferPointer) throws {
        try self.client.publish(payload)
        self.published += 1
    }

    mutating func turn() throws {
        let waits = self.room == 0
        while let tag = try self.client.nextConfirm(microseconds: waits && self.room == 0 ? 20_000 : 0) {
            self.confirmed = max(self.confirmed, tag)
        }
    }
}

/// basic.consume without acknowledgements in a bare loop over librabbitmq.
struct AMQPSink: FlowSink {
    private let client: RabbitClient

    init(port: UInt16, name: StaticString) throws {
        self.client = try RabbitClient(port: port, key: name)
        try self.client.consume()
    }

    mutating func receive(within milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        var microseconds = Int(milliseconds) * 1000
        // A bound, so that the receiver looks up now and then.
        for _ in 0..<256 {
            guard try self.client.nextDelivery(microseconds: microseconds, body) else { return }
            microseconds = 0
        }
    }
}

/// Sole owner of one AMQP connection with one channel. Lives on one thread.
private final class RabbitClient {
    private let raw: amqp_connection_state_t
    private static let exchange: StaticString = "linkspan"
    private let key: StaticString
    /// Whether each message has the properties of a bridge's, with the lengths that they have there.
    var carriesHeader = false
    var isPersistent = true
    private var body: [UInt8] = []
    private var left: UInt64 = 0

    init(port: UInt16, key: StaticString) throws {
        self.key = key
        guard let raw = amqp_new_connection() else { throw BenchError("librabbitmq is out of memory") }
        self.raw = raw
        guard let socket = amqp_tcp_socket_new(raw), amqp_socket_open(socket, "127.0.0.1", Int32(port)) == 0 else {
            throw BenchError("no connection to RabbitMQ on port \(port)")
        }
        var table = amqp_table_t()
        try Self.check(linkspan_amqp_login_plain(raw, "/", 0, 131_072, 0, &table, "guest", "guest"))
        amqp_channel_open(raw, 1)
        try Self.check(amqp_get_rpc_reply(raw))
        // As a bridge declares it: topic, durable.
        amqp_exchange_declare(raw, 1, Self.bytes(Self.exchange), Self.bytes("topic"), 0, 1, 0, 0, amqp_table_t())
        try Self.check(amqp_get_rpc_reply(raw))
    }

    deinit {
        amqp_destroy_connection(self.raw)
    }

    func selectConfirms() throws {
        amqp_confirm_select(self.raw, 1)
        try Self.check(amqp_get_rpc_reply(self.raw))
    }

    func consume() throws {
        guard let queue = amqp_queue_declare(self.raw, 1, amqp_bytes_t(), 0, 0, 1, 1, amqp_table_t()) else {
            throw BenchError("RabbitMQ refused a queue")
        }
        let name = queue.pointee.queue
        amqp_queue_bind(self.raw, 1, name, Self.bytes(Self.exchange), Self.bytes(self.key), amqp_table_t())
        try Self.check(amqp_get_rpc_reply(self.raw))
        amqp_basic_consume(self.raw, 1, name, amqp_bytes_t(), 0, 1, 1, amqp_table_t())
        try Self.check(amqp_get_rpc_reply(self.raw))
    }

    func publish(_ payload: UnsafeRawBufferPointer) throws {
        var properties = amqp_basic_properties_t()
        properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG)
        properties.delivery_mode = self.isPersistent ? 2 : 1
        properties.content_type = Self.bytes("application/json")
        if self.carriesHeader {
            properties._flags |= UInt32(
                AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_APP_ID_FLAG)
            properties.message_id = Self.bytes("bench-1/1795246646322/100000/1795246646322")
            properties.app_id = Self.bytes("linkspan")
            properties.timestamp = 1_795_246_646
        }
        let body = amqp_bytes_t(len: payload.count, bytes: UnsafeMutableRawPointer(mutating: payload.baseAddress))
        let code = amqp_basic_publish(
            self.raw, 1, Self.bytes(Self.exchange), Self.bytes(self.key), 0, 0, &properties, body)
        guard code == 0 else { throw BenchError("librabbitmq: \(String(cString: amqp_error_string2(code)))") }
    }

    /// The highest number that the next confirm stands for; nil when none came in time.
    func nextConfirm(microseconds: Int) throws -> UInt64? {
        while let frame = try self.nextFrame(microseconds) {
            guard Int32(frame.frame_type) == AMQP_FRAME_METHOD, frame.payload.method.id == AMQP_BASIC_ACK_METHOD else {
                continue
            }
            return frame.payload.method.decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee.delivery_tag
        }
        return nil
    }

    /// Hands over one message; false when none came in time.
    func nextDelivery(microseconds: Int, _ take: (UnsafeRawBufferPointer) -> Void) throws -> Bool {
        while let frame = try self.nextFrame(microseconds) {
            switch Int32(frame.frame_type) {
            case AMQP_FRAME_HEADER:
                self.left = frame.payload.properties.body_size
                self.body.removeAll(keepingCapacity: true)
            case AMQP_FRAME_BODY:
                let part = frame.payload.body_fragment
                self.left -= UInt64(part.len)
                let bytes = UnsafeRawBufferPointer(start: part.bytes, count: part.len)
                if self.left == 0, self.body.isEmpty {
                    take(bytes)
                    return true
                }
                self.body += bytes
                if self.left == 0 {
                    self.body.withUnsafeBytes { take($0) }
                    return true
                }
            default: break
            }
        }
        return false
    }

    private func nextFrame(_ microseconds: Int) throws -> amqp_frame_t? {
        amqp_maybe_release_buffers(self.raw)
        var frame = amqp_frame_t()
        var time = timeval(tv_sec: 0, tv_usec: microseconds)
        let code = amqp_simple_wait_frame_noblock(self.raw, &frame, &time)
        if code == AMQP_STATUS_TIMEOUT.rawValue { return nil }
        guard code == 0 else { throw BenchError("librabbitmq: \(String(cString: amqp_error_string2(code)))") }
        return frame
    }

    static func bytes(_ text: StaticString) -> amqp_bytes_t {
        amqp_bytes_t(len: text.utf8CodeUnitCount, bytes: UnsafeMutableRawPointer(mutating: text.utf8Start))
    }

    private static func check(_ reply: amqp_rpc_reply_t) throws {
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else { throw BenchError("RabbitMQ refused us") }
    }
}
