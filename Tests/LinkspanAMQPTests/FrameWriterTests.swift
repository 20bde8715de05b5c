import CLinkspanRabbitMQ
import LinkspanBridgeKit
import NIOCore
import Testing

@testable import LinkspanAMQP

/// What is written without the library is read here as AMQP 0-9-1 says, 4.2.
struct FrameWriterTests {
    private struct Frame: Equatable {
        var type: UInt8
        var channel: UInt16
        var payload: ByteBuffer
    }

    private struct EndOfBytes: Error {}

    private static func some<Value>(_ value: Value?) throws -> Value {
        guard let value else { throw EndOfBytes() }
        return value
    }

    private static func frames(_ writer: FrameWriter) throws -> [Frame] {
        var bytes = writer.bytes
        var frames: [Frame] = []
        while bytes.readableBytes > 0 {
            let type: UInt8 = try Self.some(bytes.readInteger())
            let channel: UInt16 = try Self.some(bytes.readInteger())
            let size: UInt32 = try Self.some(bytes.readInteger())
            let payload = try Self.some(bytes.readSlice(length: Int(size)))
            let end: UInt8 = try Self.some(bytes.readInteger())
            #expect(end == 0xCE)
            frames.append(Frame(type: type, channel: channel, payload: payload))
        }
        return frames
    }

    private static func shortText(_ bytes: inout ByteBuffer) throws -> String {
        let length: UInt8 = try Self.some(bytes.readInteger())
        return try Self.some(bytes.readString(length: Int(length)))
    }

    private struct Refused: Error {}

    private func append(
        _ key: String, _ body: ByteBuffer, messageID: String = "a/e/1/2", isMandatory: Bool = false,
        to writer: inout FrameWriter
    ) throws {
        let exchange = PinnedText("ex")
        let status = key.withAMQPBytes { key in
            messageID.withAMQPBytes { messageID in
                var publish = amqp_basic_publish_t(
                    ticket: 0, exchange: exchange.bytes, routing_key: key, mandatory: isMandatory ? 1 : 0, immediate: 0)
                var properties = amqp_basic_properties_t()
                properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG)
                properties.delivery_mode = 2
                properties.message_id = messageID
                return writer.append(&publish, &properties, body: body)
            }
        }
        if status < 0 { throw Refused() }
    }

    @Test func `a message is a method, a header and a body`() throws {
        var writer = FrameWriter(channel: 7, frameLimit: 4096)
        try self.append("sc.news", ByteBuffer(string: "\"hi\""), isMandatory: true, to: &writer)
        var frames = try Self.frames(writer)
        #expect(frames.map(\.type) == [1, 2, 3])
        #expect(frames.allSatisfy { $0.channel == 7 })
        // basic.publish is 60, 40; a reserved number, exchange, routing key, and a byte of bits, mandatory first.
        let method = try Self.some(frames[0].payload.readMultipleIntegers(as: (UInt16, UInt16, UInt16).self))
        #expect(method == (60, 40, 0))
        let exchange = try Self.shortText(&frames[0].payload)
        let key = try Self.shortText(&frames[0].payload)
        #expect(exchange == "ex" && key == "sc.news")
        #expect(Array(frames[0].payload.readableBytesView) == [1])
        // Class, weight, size of the body, and which properties follow: delivery mode, then message id.
        let head = try Self.some(frames[1].payload.readMultipleIntegers(as: (UInt16, UInt16, UInt64).self))
        #expect(head == (60, 0, 4))
        let (flags, mode) = try Self.some(frames[1].payload.readMultipleIntegers(as: (UInt16, UInt8).self))
        #expect(flags == 1 << 12 | 1 << 7 && mode == 2)
        let messageID = try Self.shortText(&frames[1].payload)
        #expect(messageID == "a/e/1/2" && frames[1].payload.readableBytes == 0)
        #expect(String(buffer: frames[2].payload) == "\"hi\"")
    }

    @Test(arguments: [0, 1, 4087, 4088, 4089, 8176, 8177, 30_000])
    func `a body is parted into frames that the upstream takes`(size: Int) throws {
        var writer = FrameWriter(channel: 1, frameLimit: 4096)
        let body = ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try self.append("k", body, to: &writer)
        try self.append("next", ByteBuffer(string: "1"), to: &writer)
        let frames = try Self.frames(writer)
        let parts = frames.dropFirst(2).prefix { $0.type == 3 }
        #expect(parts.count == (size + 4087) / 4088)
        #expect(parts.allSatisfy { (1...4088).contains($0.payload.readableBytes) })
        #expect(parts.reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1.payload) } == body)
        #expect(frames.dropFirst(2 + parts.count).map(\.type) == [1, 2, 3])
    }

    @Test func `what does not fit into a frame leaves nothing behind`() throws {
        var writer = FrameWriter(channel: 1, frameLimit: 128)
        try self.append("first", ByteBuffer(string: "1"), to: &writer)
        let before = writer.bytes
        #expect(throws: Refused.self) {
            try self.append(String(repeating: "k", count: 200), ByteBuffer(string: "2"), to: &writer)
        }
        #expect(writer.bytes == before)
        #expect(throws: Refused.self) {
            try self.append("k", ByteBuffer(string: "2"), messageID: String(repeating: "m", count: 200), to: &writer)
        }
        #expect(writer.bytes == before)
        try self.append("second", ByteBuffer(string: "3"), to: &writer)
        let types = try Self.frames(writer).map(\.type)
        #expect(types == [1, 2, 3, 1, 2, 3])
        writer.removeAll()
        #expect(writer.bytes.readableBytes == 0)
    }
}
