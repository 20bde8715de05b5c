internal import CLinkspanRabbitMQ
internal import LinkspanBridgeKit
internal import NIOCore

/// Puts method, header and body frames of one delivery together (AMQP 0-9-1, 4.2.6).
struct DeliveryReader {
    /// Bytes set aside at first for a body, whatever its header announces.
    private static let initialCapacity = 64 << 10

    private enum State {
        case idle
        case expectsHeader
        case expectsBody(left: UInt64)
    }

    private var state = State.idle
    private var name = ""
    private var nameBytes: [UInt8] = []
    private var header: EnvelopeHeader?
    private var payload = ByteBuffer()
    private var headers = HeaderReader()
    private let allocator = ByteBufferAllocator()

    mutating func began(routingKey: UnsafeRawBufferPointer) {
        self.state = .expectsHeader
        // Messages come in runs of one name; a name is made once per run.
        guard !self.nameBytes.elementsEqual(routingKey) else { return }
        self.nameBytes = Array(routingKey)
        self.name = String(decoding: routingKey, as: UTF8.self)
    }

    /// - Returns: the message, when it has no body.
    mutating func headerReceived(
        bodySize: UInt64, _ properties: UnsafeMutablePointer<amqp_basic_properties_t>?
    ) -> IngressMessage? {
        guard case .expectsHeader = self.state else { return nil }
        self.header = properties.flatMap { self.headers.header(from: HeaderFields($0.pointee)) }
        self.payload = self.allocator.buffer(capacity: Int(min(bodySize, UInt64(Self.initialCapacity))))
        self.state = .expectsBody(left: bodySize)
        return bodySize == 0 ? self.finish() : nil
    }

    /// - Returns: the message, when this was the last part of its body.
    mutating func bodyReceived(_ fragment: UnsafeRawBufferPointer) -> IngressMessage? {
        guard case .expectsBody(let left) = self.state else { return nil }
        self.payload.writeBytes(fragment)
        let rest = left - min(left, UInt64(fragment.count))
        self.state = .expectsBody(left: rest)
        return rest == 0 ? self.finish() : nil
    }

    private mutating func finish() -> IngressMessage {
        self.state = .idle
        defer {
            self.payload = ByteBuffer()
            self.header = nil
        }
        return IngressMessage(name: self.name, payload: self.payload, header: self.header)
    }
}

extension HeaderFields {
    /// Entries looked at; more than any program of ours sends.
    private static let entryLimit = 256

    /// Fields of the table, and where it has none of ours the `message_id` of who calls itself an instance.
    init(_ properties: amqp_basic_properties_t) {
        self.init()
        if properties._flags & UInt32(AMQP_BASIC_HEADERS_FLAG) != 0 { self = HeaderFields(properties.headers) }
        if self.text == nil, !self.hasFields, let id = properties.messageIDOfInstance { self.text = id }
    }

    /// Reads our headers from a table of a stranger's making: wrong types are absent, nested tables are never entered.
    private init(_ table: amqp_table_t) {
        self.init()
        let count = min(Int(table.num_entries), Self.entryLimit)
        for entry in UnsafeBufferPointer(start: table.entries, count: max(0, count)) {
            guard entry.key.len >= 5, entry.key.buffer[0] == UInt8(ascii: "l"), entry.key.buffer[1] == UInt8(ascii: "s")
            else {
                continue
            }
            if entry.key.equals(HeaderKey.header) {
                // What is there and no text is no header either, whatever else the message says.
                self.text = entry.value.text ?? UnsafeRawBufferPointer(start: nil, count: 0)
            } else if entry.key.equals(HeaderKey.origin) {
                self.origin = entry.value.text
            } else if entry.key.equals(HeaderKey.epoch) {
                self.epoch = entry.value.number
            } else if entry.key.equals(HeaderKey.sequence) {
                self.sequence = entry.value.number
            } else if entry.key.equals(HeaderKey.hops) {
                self.hops = entry.value.text
            } else if entry.key.equals(HeaderKey.acceptedAt) {
                self.acceptedAt = entry.value.number
            }
        }
    }
}

extension amqp_basic_properties_t {
    fileprivate var messageIDOfInstance: UnsafeRawBufferPointer? {
        let flags = UInt32(AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_APP_ID_FLAG)
        guard self._flags & flags == flags, self.app_id.equals(PropertyWriter.appID) else { return nil }
        return self.message_id.buffer
    }
}

extension amqp_field_value_t {
    fileprivate var text: UnsafeRawBufferPointer? {
        switch amqp_field_value_kind_t(UInt32(self.kind)) {
        case AMQP_FIELD_KIND_UTF8, AMQP_FIELD_KIND_BYTES: self.value.bytes.buffer
        default: nil
        }
    }

    /// A whole number that is not negative, in any of AMQP's integer types or as decimal text.
    fileprivate var number: UInt64? {
        switch amqp_field_value_kind_t(UInt32(self.kind)) {
        case AMQP_FIELD_KIND_I8: UInt64(exactly: self.value.i8)
        case AMQP_FIELD_KIND_U8: UInt64(self.value.u8)
        case AMQP_FIELD_KIND_I16: UInt64(exactly: self.value.i16)
        case AMQP_FIELD_KIND_U16: UInt64(self.value.u16)
        case AMQP_FIELD_KIND_I32: UInt64(exactly: self.value.i32)
        case AMQP_FIELD_KIND_U32: UInt64(self.value.u32)
        case AMQP_FIELD_KIND_I64: UInt64(exactly: self.value.i64)
        case AMQP_FIELD_KIND_U64, AMQP_FIELD_KIND_TIMESTAMP: self.value.u64
        case AMQP_FIELD_KIND_UTF8, AMQP_FIELD_KIND_BYTES: HeaderFields.number(self.value.bytes.buffer)
        default: nil
        }
    }
}
