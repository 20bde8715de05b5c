internal import LinkspanBridgeKit
internal import NIOCore

// The commands that are sent for each message are written here, straight into the buffer that goes to the socket; hiredis's formatter
// would allocate twice for each.
extension ByteBuffer {
    /// Appends `PUBLISH name payload`.
    mutating func writePublish(name: String, payload: ByteBuffer) {
        self.reserve(64 + name.utf8.count + payload.readableBytes)
        self.writeStaticString("*3\r\n$7\r\nPUBLISH\r\n")
        self.writeBulk(name)
        self.writeBulk(payload)
    }

    /// Appends `SPUBLISH name payload`.
    mutating func writeShardPublish(name: String, payload: ByteBuffer) {
        self.reserve(64 + name.utf8.count + payload.readableBytes)
        self.writeStaticString("*3\r\n$8\r\nSPUBLISH\r\n")
        self.writeBulk(name)
        self.writeBulk(payload)
    }

    /// Appends a bulk string.
    mutating func writeBulk(_ text: String) {
        self.writeBulkHead(text.utf8.count)
        self.writeString(text)
        self.writeStaticString("\r\n")
    }

    mutating func writeBulk(_ bytes: ByteBuffer) {
        self.writeBulkHead(bytes.readableBytes)
        self.writeImmutableBuffer(bytes)
        self.writeStaticString("\r\n")
    }

    mutating func writeBulkHead(_ length: Int) {
        self.writeInteger(UInt8(ascii: "$"))
        self.writeDecimal(UInt64(length))
        self.writeStaticString("\r\n")
    }

    mutating func writeDecimal(_ number: UInt64) {
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { $0.writeDecimal(number) }
    }

    /// Grows by doubling, so that a batch of many small commands is not copied again for each.
    mutating func reserve(_ count: Int) {
        if self.writableBytes < count {
            self.reserveCapacity(max(self.capacity * 2, self.writerIndex + count))
        }
    }
}
