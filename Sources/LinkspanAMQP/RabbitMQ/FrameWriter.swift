internal import CLinkspanRabbitMQ
internal import NIOCore

/// Puts the frames of publishes into one buffer, with the library's encoders for what is in them.
///
/// The library writes each frame by a system call of its own, three for a message, whatever waits behind it.
struct FrameWriter {
    /// Bytes of a frame beside its payload (AMQP 0-9-1, 4.2.3): type, channel and size before it, and an end mark.
    private static let overhead = 8
    private static let headLength = 7
    private static let endMark: UInt8 = 0xCE

    /// Whole frames, in order.
    private(set) var bytes = ByteBuffer()
    private let channel: UInt16
    /// Most bytes of a frame, as agreed with the upstream.
    private let frameLimit: Int

    init(channel: UInt16, frameLimit: Int) {
        self.channel = channel
        self.frameLimit = frameLimit
    }

    /// Appends method, header and body of one message.
    ///
    /// - Returns: a status of the library, zero or less; what is below zero left nothing behind.
    mutating func append(
        _ publish: inout amqp_basic_publish_t, _ properties: inout amqp_basic_properties_t, body: ByteBuffer
    ) -> Int32 {
        let start = self.bytes.writerIndex
        let bodySize = UInt64(body.readableBytes)
        var status = self.append(type: UInt8(AMQP_FRAME_METHOD), headSize: 4) { head, rest in
            head.storeBytes(of: AMQP_BASIC_PUBLISH_METHOD.bigEndian, as: UInt32.self)
            return amqp_encode_method(AMQP_BASIC_PUBLISH_METHOD, &publish, rest)
        }
        if status >= 0 {
            // AMQP 0-9-1, 4.2.6.1: class, weight and size of the body.
            status = self.append(type: UInt8(AMQP_FRAME_HEADER), headSize: 12) { head, rest in
                head.storeBytes(of: UInt16(AMQP_BASIC_CLASS).bigEndian, as: UInt16.self)
                head.storeBytes(of: 0, toByteOffset: 2, as: UInt16.self)
                head.storeBytes(of: bodySize.bigEndian, toByteOffset: 4, as: UInt64.self)
                return amqp_encode_properties(UInt16(AMQP_BASIC_CLASS), &properties, rest)
            }
        }
        guard status >= 0 else {
            self.bytes.moveWriterIndex(to: start)
            return status
        }
        var rest = body
        while rest.readableBytes > 0,
            let part = rest.readSlice(length: min(rest.readableBytes, self.frameLimit - Self.overhead))
        {
            self.bytes.writeInteger(UInt8(AMQP_FRAME_BODY))
            self.bytes.writeInteger(self.channel)
            self.bytes.writeInteger(UInt32(part.readableBytes))
            self.bytes.writeImmutableBuffer(part)
            self.bytes.writeInteger(Self.endMark)
        }
        return 0
    }

    mutating func removeAll() {
        self.bytes.clear()
    }

    /// - Parameter encode: fills the first `headSize` bytes of the payload, and the rest by the library, whose status it returns: bytes, or less
    ///   than zero.
    private mutating func append(
        type: UInt8, headSize: Int, _ encode: (UnsafeMutableRawBufferPointer, amqp_bytes_t) -> Int32
    ) -> Int32 {
        var status: Int32 = 0
        let channel = self.channel
        self.bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: self.frameLimit) { room in
            // The rest of a frame has to hold it, as much room as there may be.
            let payload = UnsafeMutableRawBufferPointer(rebasing: room[Self.headLength..<self.frameLimit - 1])
            let rest = amqp_bytes_t(len: payload.count - headSize, bytes: payload.baseAddress! + headSize)
            status = encode(UnsafeMutableRawBufferPointer(rebasing: payload[..<headSize]), rest)
            guard status >= 0 else { return 0 }
            let size = headSize + Int(status)
            room[0] = type
            room.storeBytes(of: channel.bigEndian, toByteOffset: 1, as: UInt16.self)
            room.storeBytes(of: UInt32(size).bigEndian, toByteOffset: 3, as: UInt32.self)
            room[Self.headLength + size] = Self.endMark
            return size + Self.overhead
        }
        return status
    }
}
