internal import LinkspanBridgeKit
internal import NIOCore

/// Names of the entry fields beside those of ``HeaderKey``; docs/envelope.md.
enum FieldName {
    static let channel: StaticString = "channel"
    static let data: StaticString = "data"
}

/// Writes `XADD stream MAXLEN ~ limit * channel .. data .. ls-header ..`. Lives on the event loop of its connection.
final class EntryEncoder {
    /// The command up to the name, with and without a header to follow.
    private let headed: ByteBuffer
    private let bare: ByteBuffer
    private var text = HeaderText()

    init(stream: String, limit: Int) {
        self.headed = Self.head(stream, limit, arguments: 12)
        self.bare = Self.head(stream, limit, arguments: 10)
    }

    func write(_ message: EgressMessage, to buffer: inout ByteBuffer) {
        // Nobody would believe a header that cannot be expressed.
        let header = message.header.flatMap { self.text.write($0)?.text }
        buffer.reserve(
            self.headed.readableBytes + 128 + message.name.utf8.count + message.payload.readableBytes
                + (header?.count ?? 0))
        buffer.writeImmutableBuffer(header == nil ? self.bare : self.headed)
        buffer.writeBulk(message.name)
        buffer.writeStaticString("$4\r\ndata\r\n")
        buffer.writeBulk(message.payload)
        guard let header else { return }
        buffer.writeStaticString("$9\r\nls-header\r\n")
        buffer.writeBulkHead(header.count)
        buffer.writeBytes(header)
        buffer.writeStaticString("\r\n")
    }

    private static func head(_ stream: String, _ limit: Int, arguments: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeString("*\(arguments)\r\n")
        for argument in ["XADD", stream, "MAXLEN", "~", "\(limit)", "*", "channel"] { buffer.writeBulk(argument) }
        return buffer
    }
}

@available(*, unavailable)
extension EntryEncoder: Sendable {}
