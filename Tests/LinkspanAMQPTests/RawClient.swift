import CLinkspanRabbitMQ
import Glibc
import LinkspanBridgeKit
import NIOCore
import TestSupport

/// A program that knows nothing of Linkspan, on librabbitmq's blocking calls. Lives on the thread that ``run(_:_:)`` gives it.
final class RawClient {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    struct Received: Sendable {
        var body: String
        var contentType: String?
        var messageID: String?
        var appID: String?
        var timestamp: UInt64?
        var deliveryMode: UInt8
        var headers: [String: String]
    }

    enum Value: Sendable {
        case text(String)
        case integer(Int64)
        case boolean(Bool)
        /// A table in a table, so many times.
        case nested(Int)
    }

    private let raw: amqp_connection_state_t

    /// - Note: writing deeply nested tables recurses inside the library, so the thread's stack is large.
    static func run<Result: Sendable>(
        _ broker: TestBroker, _ body: @escaping @Sendable (RawClient) throws -> Result
    ) async throws -> Result {
        let (port, virtualHost) = (broker.server.port, broker.virtualHost)
        return try await LinkThread.run(name: "raw", stackSize: 64 << 20) { _ in
            try body(try RawClient(port: port, virtualHost: virtualHost))
        }
    }

    private init(port: Int, virtualHost: String) throws {
        self.raw = amqp_new_connection()
        let socket = amqp_tcp_socket_new(self.raw)
        guard amqp_socket_open(socket, "127.0.0.1", Int32(port)) == 0 else { throw Failure(description: "connecting") }
        var properties = amqp_table_t()
        let reply = linkspan_amqp_login_plain(self.raw, virtualHost, 0, 131_072, 0, &properties, "guest", "guest")
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else { throw Failure(description: "logging in") }
        amqp_channel_open(self.raw, 1)
        try self.check("opening a channel")
    }

    deinit {
        amqp_connection_close(self.raw, 200)
        amqp_destroy_connection(self.raw)
    }

    private func check(_ what: String) throws {
        guard amqp_get_rpc_reply(self.raw).reply_type == AMQP_RESPONSE_NORMAL else { throw Failure(description: what) }
    }

    private static func bytes(_ text: String) -> amqp_bytes_t {
        let copy = strdup(text)!
        return amqp_bytes_t(len: text.utf8.count, bytes: copy)
    }

    private static func field(_ value: Value) -> amqp_field_value_t {
        var field = amqp_field_value_t()
        switch value {
        case .text(let text):
            field.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
            field.value.bytes = Self.bytes(text)
        case .integer(let integer):
            field.kind = UInt8(AMQP_FIELD_KIND_I64.rawValue)
            field.value.i64 = integer
        case .boolean(let boolean):
            field.kind = UInt8(AMQP_FIELD_KIND_BOOLEAN.rawValue)
            field.value.boolean = boolean ? 1 : 0
        case .nested(let depth):
            field.kind = UInt8(AMQP_FIELD_KIND_TABLE.rawValue)
            field.value.table = amqp_table_t()
            for _ in 1..<depth {
                let entry = UnsafeMutablePointer<amqp_table_entry_t>.allocate(capacity: 1)
                entry.initialize(to: amqp_table_entry_t(key: Self.bytes("k"), value: field))
                field.value.table = amqp_table_t(num_entries: 1, entries: entry)
            }
        }
        return field
    }

    /// Publishes; what it allocates for headers is left to the end of the process.
    func publish(
        _ key: String, _ body: String, exchange: String = "linkspan", headers: [(String, Value)] = [],
        messageID: String? = nil, appID: String? = nil
    ) throws {
        var properties = amqp_basic_properties_t()
        let entries = UnsafeMutablePointer<amqp_table_entry_t>.allocate(capacity: max(1, headers.count))
        for (index, header) in headers.enumerated() {
            (entries + index).initialize(
                to: amqp_table_entry_t(key: Self.bytes(header.0), value: Self.field(header.1)))
        }
        if !headers.isEmpty {
            properties._flags = UInt32(AMQP_BASIC_HEADERS_FLAG)
            properties.headers = amqp_table_t(num_entries: Int32(headers.count), entries: entries)
        }
        if let messageID {
            properties._flags |= UInt32(AMQP_BASIC_MESSAGE_ID_FLAG)
            properties.message_id = Self.bytes(messageID)
        }
        if let appID {
            properties._flags |= UInt32(AMQP_BASIC_APP_ID_FLAG)
            properties.app_id = Self.bytes(appID)
        }
        let status = amqp_basic_publish(
            self.raw, 1, Self.bytes(exchange), Self.bytes(key), 0, 0, &properties, Self.bytes(body))
        guard status == 0 else { throw Failure(description: "publishing: \(status)") }
    }

    /// Declares a queue that takes `key` from `exchange`.
    /// - Parameter limit: most messages in it; further ones are rejected.
    func declareQueue(_ name: String, key: String, exchange: String = "linkspan", limit: Int? = nil) throws {
        var entries = [
            amqp_table_entry_t(key: Self.bytes("x-max-length"), value: Self.field(.integer(Int64(limit ?? 0)))),
            amqp_table_entry_t(key: Self.bytes("x-overflow"), value: Self.field(.text("reject-publish"))),
        ]
        entries.withUnsafeMutableBufferPointer { entries in
            let table = amqp_table_t(num_entries: limit == nil ? 0 : 2, entries: entries.baseAddress)
            amqp_queue_declare(self.raw, 1, Self.bytes(name), 0, 0, 0, 0, table)
        }
        try self.check("declaring a queue")
        amqp_queue_bind(self.raw, 1, Self.bytes(name), Self.bytes(exchange), Self.bytes(key), amqp_empty_table)
        try self.check("binding a queue")
    }

    func get(_ queue: String) throws -> Received? {
        let reply = amqp_basic_get(self.raw, 1, Self.bytes(queue), 1)
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else { throw Failure(description: "getting") }
        guard reply.reply.id == AMQP_BASIC_GET_OK_METHOD else { return nil }
        var message = amqp_message_t()
        guard amqp_read_message(self.raw, 1, &message, 0).reply_type == AMQP_RESPONSE_NORMAL else {
            throw Failure(description: "reading")
        }
        defer { amqp_destroy_message(&message) }
        let properties = message.properties
        func text(_ bytes: amqp_bytes_t) -> String {
            String(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
        }
        func has(_ flag: Int32) -> Bool { properties._flags & UInt32(flag) != 0 }
        var headers: [String: String] = [:]
        if has(AMQP_BASIC_HEADERS_FLAG) {
            for index in 0..<Int(properties.headers.num_entries) {
                let entry = properties.headers.entries[index]
                headers[text(entry.key)] =
                    UInt32(entry.value.kind) == AMQP_FIELD_KIND_I64.rawValue
                    ? "\(entry.value.value.i64)" : text(entry.value.value.bytes)
            }
        }
        return Received(
            body: text(message.body),
            contentType: has(AMQP_BASIC_CONTENT_TYPE_FLAG) ? text(properties.content_type) : nil,
            messageID: has(AMQP_BASIC_MESSAGE_ID_FLAG) ? text(properties.message_id) : nil,
            appID: has(AMQP_BASIC_APP_ID_FLAG) ? text(properties.app_id) : nil,
            timestamp: has(AMQP_BASIC_TIMESTAMP_FLAG) ? properties.timestamp : nil,
            deliveryMode: properties.delivery_mode, headers: headers)
    }
}
