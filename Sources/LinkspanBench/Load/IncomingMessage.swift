/// One message from a server, still in the read buffer.
struct IncomingMessage {
    enum Kind {
        /// `body` is the payload of a publish.
        case delivery
        /// Anything else; `body` is the message.
        case control
        /// A sign of life is asked for; `body` is the message.
        case ping
    }

    var kind: Kind
    var body: UnsafeRawBufferPointer
    /// Bytes of the message in the read buffer.
    var length: Int

    /// The first message of `bytes`; nil when it is not all there.
    ///
    /// - Throws: ``BenchError`` when the bytes are not of this dialect.
    @inline(__always)
    static func first(of bytes: UnsafeRawBufferPointer, in dialect: Dialect) throws -> IncomingMessage? {
        switch dialect {
        case .socketCluster: try Self.socketCluster(bytes)
        case .plainWebSocket: try Self.webSocket(bytes)
        case .mqtt: Self.mqtt(bytes)
        case .redis: try Self.redis(bytes)
        case .nats: try Self.nats(bytes)
        }
    }

    @inline(__always)
    private static func webSocket(_ bytes: UnsafeRawBufferPointer) throws -> IncomingMessage? {
        guard bytes.count >= 2 else { return nil }
        var length = Int(bytes[1])
        var header = 2
        if length == 126 {
            guard bytes.count >= 4 else { return nil }
            length = Int(bytes[2]) << 8 | Int(bytes[3])
            header = 4
        }
        guard length < 0x10000, length != 127 || header == 4 else {
            throw BenchError("the server sent a frame of more than 64 KiB")
        }
        guard bytes.count >= header + length else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[header..<header + length])
        switch bytes[0] {
        case 0x81, 0x82: return IncomingMessage(kind: .delivery, body: body, length: header + length)
        case 0x89: return IncomingMessage(kind: .ping, body: body, length: header + length)
        case 0x88: throw BenchError("the server closed a connection")
        default: return IncomingMessage(kind: .control, body: body, length: header + length)
        }
    }

    /// `{"event":"#publish","data":{"channel":"c7","data":` payload `}}`.
    @inline(__always)
    private static func socketCluster(_ bytes: UnsafeRawBufferPointer) throws -> IncomingMessage? {
        guard var message = try Self.webSocket(bytes) else { return nil }
        let start: StaticString = ##"{"event":"#publish","data":{"channel":""##
        let body = message.body
        guard message.kind == .delivery else { return message }
        guard body.count > start.utf8CodeUnitCount + 16 else {
            message.kind = body.isEmpty ? .ping : .control
            return message
        }
        guard memoryEqual(body.baseAddress!, start.utf8Start, start.utf8CodeUnitCount) else {
            message.kind = .control
            return message
        }
        var at = start.utf8CodeUnitCount
        while at < body.count, body[at] != UInt8(ascii: "\"") { at += 1 }
        let data: StaticString = #"","data":"#
        guard at + data.utf8CodeUnitCount + 2 <= body.count else {
            message.kind = .control
            return message
        }
        message.body = UnsafeRawBufferPointer(rebasing: body[(at + data.utf8CodeUnitCount)..<(body.count - 2)])
        return message
    }

    private static func mqtt(_ bytes: UnsafeRawBufferPointer) -> IncomingMessage? {
        guard bytes.count >= 2 else { return nil }
        var rest = 0
        var at = 1
        while true {
            guard at < bytes.count, at < 5 else { return nil }
            rest |= Int(bytes[at] & 127) << (7 * (at - 1))
            at += 1
            if bytes[at - 1] < 128 { break }
        }
        guard bytes.count >= at + rest else { return nil }
        let whole = UnsafeRawBufferPointer(rebasing: bytes[..<(at + rest)])
        guard bytes[0] >> 4 == 3, rest >= 2 else {
            return IncomingMessage(kind: .control, body: whole, length: whole.count)
        }
        let payload = at + 2 + Int(bytes[at]) << 8 + Int(bytes[at + 1])
        guard payload <= whole.count else { return IncomingMessage(kind: .control, body: whole, length: whole.count) }
        return IncomingMessage(
            kind: .delivery, body: UnsafeRawBufferPointer(rebasing: whole[payload...]), length: whole.count)
    }

    private static func redis(_ bytes: UnsafeRawBufferPointer) throws -> IncomingMessage? {
        guard let first = bytes.first else { return nil }
        guard first == UInt8(ascii: "*") else {
            guard let end = Self.line(bytes, from: 0) else { return nil }
            guard first != UInt8(ascii: "-") else { throw BenchError("the server answered with an error") }
            return IncomingMessage(kind: .control, body: UnsafeRawBufferPointer(rebasing: bytes[..<end]), length: end)
        }
        guard var at = Self.line(bytes, from: 0) else { return nil }
        var payload = UnsafeRawBufferPointer(rebasing: bytes[..<0])
        var isDelivery = false
        for index in 0..<3 {
            guard let next = Self.line(bytes, from: at) else { return nil }
            if bytes[at] != UInt8(ascii: "$") {
                at = next
                continue
            }
            let length = Self.decimal(bytes, at + 1)
            guard bytes.count >= next + length + 2 else { return nil }
            if index == 0 { isDelivery = length == 7 }
            payload = UnsafeRawBufferPointer(rebasing: bytes[next..<(next + length)])
            at = next + length + 2
        }
        let whole = UnsafeRawBufferPointer(rebasing: bytes[..<at])
        return IncomingMessage(kind: isDelivery ? .delivery : .control, body: isDelivery ? payload : whole, length: at)
    }

    private static func nats(_ bytes: UnsafeRawBufferPointer) throws -> IncomingMessage? {
        guard let end = Self.line(bytes, from: 0) else { return nil }
        switch bytes[0] {
        case UInt8(ascii: "M"):
            var space = end - 3
            while bytes[space] != UInt8(ascii: " ") { space -= 1 }
            let length = Self.decimal(bytes, space + 1)
            guard bytes.count >= end + length + 2 else { return nil }
            return IncomingMessage(
                kind: .delivery, body: UnsafeRawBufferPointer(rebasing: bytes[end..<(end + length)]),
                length: end + length + 2)
        case UInt8(ascii: "-"): throw BenchError("the server answered with an error")
        default:
            let isPing = bytes[1] == UInt8(ascii: "I") && bytes[0] == UInt8(ascii: "P")
            return IncomingMessage(
                kind: isPing ? .ping : .control, body: UnsafeRawBufferPointer(rebasing: bytes[..<end]), length: end)
        }
    }

    /// The index after the line break that follows `start`; nil when there is none yet.
    private static func line(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var at = start
        while at + 1 < bytes.count {
            if bytes[at] == 13, bytes[at + 1] == 10 { return at + 2 }
            at += 1
        }
        return nil
    }

    private static func decimal(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> Int {
        var value = 0
        var at = start
        while at < bytes.count, bytes[at] >= UInt8(ascii: "0"), bytes[at] <= UInt8(ascii: "9") {
            value = value * 10 + Int(bytes[at] - UInt8(ascii: "0"))
            at += 1
        }
        return value
    }
}
