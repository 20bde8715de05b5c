internal import CLinkspanRabbitMQ
internal import LinkspanBridgeKit
internal import NIOCore

/// Writes the properties of publishes into memory of its own, so that a publish allocates nothing.
struct PropertyWriter: ~Copyable {
    private static let headerCount = 5
    /// Origin, message id (origin, two numbers, separators), the most hops that ``HeaderFields/hopLimit`` allows, and a lifetime.
    private static let textCapacity = 64 + (64 + 1 + 20 + 1 + 20) + HeaderFields.hopLimit * 65 + 20

    private let headers: UnsafeMutablePointer<amqp_table_entry_t>
    private let text: UnsafeMutableRawPointer
    private var used = 0
    private let deliveryMode: UInt8
    private let namesTickets: Bool

    /// - Parameters:
    ///   - isPersistent: whether a durable queue keeps the message on disk.
    ///   - namesTickets: whether a message without header gets a message id too, to be recognised when it is returned.
    init(isPersistent: Bool, namesTickets: Bool) {
        self.headers = .allocate(capacity: Self.headerCount)
        self.headers.initialize(repeating: amqp_table_entry_t(), count: Self.headerCount)
        self.text = .allocate(byteCount: Self.textCapacity, alignment: 1)
        self.deliveryMode = isPersistent ? 2 : 1
        self.namesTickets = namesTickets
        self.headers[0] = RabbitConnection.entry(HeaderKey.origin, text: amqp_empty_bytes)
        self.headers[1] = RabbitConnection.entry(HeaderKey.epoch, integer: 0)
        self.headers[2] = RabbitConnection.entry(HeaderKey.sequence, integer: 0)
        self.headers[3] = RabbitConnection.entry(HeaderKey.hops, text: amqp_empty_bytes)
        self.headers[4] = RabbitConnection.entry(HeaderKey.acceptedAt, integer: 0)
    }

    deinit {
        self.headers.deallocate()
        self.text.deallocate()
    }

    /// The properties of `message`, valid until the next call; nil when its header cannot be expressed.
    mutating func properties(of message: borrowing EgressMessage) -> amqp_basic_properties_t? {
        var properties = amqp_basic_properties_t()
        properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_APP_ID_FLAG)
        properties.delivery_mode = self.deliveryMode
        properties.app_id = amqp_bytes_t("linkspan")
        if message.payload.readableBytes > 0 {
            properties._flags |= UInt32(AMQP_BASIC_CONTENT_TYPE_FLAG)
            properties.content_type = amqp_bytes_t("application/json")
        }
        self.used = 0
        if let lifetime = message.lifetime {
            // What is worth nothing later needs no place on a disk.
            properties.delivery_mode = 1
            properties._flags |= UInt32(AMQP_BASIC_EXPIRATION_FLAG)
            properties.expiration = self.decimal(UInt64(max(lifetime / .milliseconds(1), 0)))
        }
        guard let header = message.header else {
            if self.namesTickets {
                properties._flags |= UInt32(AMQP_BASIC_MESSAGE_ID_FLAG)
                properties.message_id = self.ticketID(message.ticket)
            }
            return properties
        }
        guard self.write(header) else { return nil }
        properties._flags |= UInt32(AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG)
        properties.headers = amqp_table_t(num_entries: Int32(Self.headerCount), entries: self.headers)
        properties.message_id = self.messageID(header.origin)
        // AMQP 0-9-1, 4.2.5.4: timestamps count seconds.
        properties.timestamp = header.acceptedAt / 1_000
        return properties
    }

    private mutating func write(_ header: EnvelopeHeader) -> Bool {
        guard header.hops.count <= HeaderFields.hopLimit, let epoch = Int64(exactly: header.origin.epoch),
            let sequence = Int64(exactly: header.origin.sequence), let acceptedAt = Int64(exactly: header.acceptedAt)
        else { return false }
        self.headers[0].value.value.bytes = self.append(header.origin.instance.string)
        self.headers[1].value.value.i64 = epoch
        self.headers[2].value.value.i64 = sequence
        self.headers[3].value.value.bytes = self.append(hops: header.hops)
        self.headers[4].value.value.i64 = acceptedAt
        return true
    }

    /// The message's identity as text: `origin/epoch/seq`.
    private mutating func messageID(_ origin: Origin) -> amqp_bytes_t {
        let start = self.used
        _ = self.append(origin.instance.string)
        self.append(UInt8(ascii: "/"))
        self.append(origin.epoch)
        self.append(UInt8(ascii: "/"))
        self.append(origin.sequence)
        return self.bytes(from: start)
    }

    private mutating func ticketID(_ ticket: UInt64) -> amqp_bytes_t {
        let start = self.used
        _ = self.append("ticket/")
        self.append(ticket)
        return self.bytes(from: start)
    }

    private mutating func decimal(_ number: UInt64) -> amqp_bytes_t {
        let start = self.used
        self.append(number)
        return self.bytes(from: start)
    }

    private mutating func append(hops: [InstanceID]) -> amqp_bytes_t {
        let start = self.used
        for index in hops.indices {
            if index > 0 { self.append(UInt8(ascii: ",")) }
            _ = self.append(hops[index].string)
        }
        return self.bytes(from: start)
    }

    private mutating func append(_ string: String) -> amqp_bytes_t {
        let start = self.used
        var string = string
        string.withUTF8 { utf8 in
            (self.text + start).copyMemory(
                from: UnsafeRawPointer(utf8.baseAddress ?? UnsafePointer(bitPattern: 1)!), byteCount: utf8.count)
            self.used += utf8.count
        }
        return self.bytes(from: start)
    }

    private mutating func append(_ byte: UInt8) {
        self.text.storeBytes(of: byte, toByteOffset: self.used, as: UInt8.self)
        self.used += 1
    }

    private mutating func append(_ number: UInt64) {
        var digits = 1
        var rest = number / 10
        while rest > 0 {
            digits += 1
            rest /= 10
        }
        var value = number
        for position in stride(from: self.used + digits - 1, through: self.used, by: -1) {
            self.text.storeBytes(of: UInt8(ascii: "0") + UInt8(value % 10), toByteOffset: position, as: UInt8.self)
            value /= 10
        }
        self.used += digits
    }

    private func bytes(from start: Int) -> amqp_bytes_t {
        amqp_bytes_t(UnsafeRawBufferPointer(start: self.text + start, count: self.used - start))
    }
}
