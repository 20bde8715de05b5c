internal import LinkspanBridgeKit
internal import NIOCore

/// Names of the entry fields beside those of ``HeaderKey``; docs/envelope.md.
enum FieldName {
    static let channel: StaticString = "channel"
    static let data: StaticString = "data"
}

/// Writes `XADD stream MAXLEN ~ limit * channel .. data .. ls-origin .. ls-epoch .. ls-seq .. ls-hops .. ls-at ..`.
struct EntryEncoder {
    /// The command up to the name, with and without a header to follow.
    private let headed: ByteBuffer
    private let bare: ByteBuffer

    init(stream: String, limit: Int) {
        self.headed = Self.head(stream, limit, arguments: 20)
        self.bare = Self.head(stream, limit, arguments: 10)
    }

    func write(_ message: EgressMessage, to buffer: inout ByteBuffer) {
        buffer.reserve(self.headed.readableBytes + 320 + message.name.utf8.count + message.payload.readableBytes)
        buffer.writeImmutableBuffer(message.header == nil ? self.bare : self.headed)
        buffer.writeBulk(message.name)
        buffer.writeStaticString("$4\r\ndata\r\n")
        buffer.writeBulk(message.payload)
        guard let header = message.header else { return }
        buffer.writeStaticString("$9\r\nls-origin\r\n")
        buffer.writeBulk(header.origin.instance.string)
        buffer.writeStaticString("$8\r\nls-epoch\r\n")
        buffer.writeBulk(header.origin.epoch)
        buffer.writeStaticString("$6\r\nls-seq\r\n")
        buffer.writeBulk(header.origin.sequence)
        buffer.writeStaticString("$7\r\nls-hops\r\n")
        Self.write(header.hops, to: &buffer)
        buffer.writeStaticString("$5\r\nls-at\r\n")
        buffer.writeBulk(header.acceptedAt)
    }

    private static func write(_ hops: [InstanceID], to buffer: inout ByteBuffer) {
        var length = max(hops.count - 1, 0)
        for hop in hops { length += hop.string.utf8.count }
        buffer.writeBulkHead(length)
        for index in hops.indices {
            if index > 0 { buffer.writeInteger(UInt8(ascii: ",")) }
            buffer.writeString(hops[index].string)
        }
        buffer.writeStaticString("\r\n")
    }

    private static func head(_ stream: String, _ limit: Int, arguments: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeString("*\(arguments)\r\n")
        for argument in ["XADD", stream, "MAXLEN", "~", "\(limit)", "*", "channel"] { buffer.writeBulk(argument) }
        return buffer
    }
}
