internal import CLinkspanRabbitMQ
internal import LinkspanBridgeKit
internal import NIOCore

/// Writes the properties of publishes into memory of its own, so that a publish allocates nothing.
///
/// The header of a message stands in its `message_id`: RabbitMQ takes a table of headers apart and puts it together again for each message, which costs a
/// sixth of its rate. Only a header that is too long for a short string is an entry of the table, with the identity alone for `message_id`.
struct PropertyWriter: ~Copyable {
    /// The longest short string (AMQP 0-9-1, 4.2.5.3).
    private static let shortLimit = 255
    /// `ticket/` and a number, and a lifetime.
    private static let textCapacity = 7 + 20 + 20

    private let entry: UnsafeMutablePointer<amqp_table_entry_t>
    private let text: UnsafeMutableRawPointer
    private var used = 0
    private var header = HeaderText()
    private let deliveryMode: UInt8
    private let namesTickets: Bool

    /// - Parameters:
    ///   - isPersistent: whether a durable queue keeps the message on disk.
    ///   - namesTickets: whether a message without header gets a message id too, to be recognised when it is returned.
    init(isPersistent: Bool, namesTickets: Bool) {
        self.entry = .allocate(capacity: 1)
        self.entry.initialize(to: RabbitConnection.entry(HeaderKey.header, text: amqp_empty_bytes))
        self.text = .allocate(byteCount: Self.textCapacity, alignment: 1)
        self.deliveryMode = isPersistent ? 2 : 1
        self.namesTickets = namesTickets
    }

    deinit {
        self.entry.deallocate()
        self.text.deallocate()
    }

    /// The properties of `message`, valid until the next call; nil when its header cannot be expressed.
    mutating func properties(of message: borrowing EgressMessage) -> amqp_basic_properties_t? {
        var properties = amqp_basic_properties_t()
        properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_APP_ID_FLAG)
        properties.delivery_mode = self.deliveryMode
        properties.app_id = amqp_bytes_t(Self.appID)
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
        guard let (text, identityLength) = self.header.write(header) else { return nil }
        properties._flags |= UInt32(AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG)
        if text.count <= Self.shortLimit {
            properties.message_id = amqp_bytes_t(text)
        } else {
            properties._flags |= UInt32(AMQP_BASIC_HEADERS_FLAG)
            self.entry.pointee.value.value.bytes = amqp_bytes_t(text)
            properties.headers = amqp_table_t(num_entries: 1, entries: self.entry)
            properties.message_id = amqp_bytes_t(UnsafeRawBufferPointer(rebasing: text[..<identityLength]))
        }
        // AMQP 0-9-1, 4.2.5.4: timestamps count seconds.
        properties.timestamp = header.acceptedAt / 1_000
        return properties
    }

    /// By which a receiver knows that a `message_id` may be a header.
    static let appID: StaticString = "linkspan"

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

    private mutating func append(_ number: UInt64) {
        let room = UnsafeMutableRawBufferPointer(start: self.text + self.used, count: Self.textCapacity - self.used)
        self.used += room.writeDecimal(number)
    }

    private func bytes(from start: Int) -> amqp_bytes_t {
        amqp_bytes_t(UnsafeRawBufferPointer(start: self.text + start, count: self.used - start))
    }
}
