import LinkspanWire
import Testing

@Suite struct `A joiner of frames` {
    private static func frame(_ opcode: WebSocketOpcode, _ payload: [UInt8]) -> [UInt8] {
        var frame: [UInt8] = []
        WebSocketFrameHeader(opcode: opcode, payloadLength: payload.count).encode(into: &frame)
        return frame + payload
    }

    private static func text(_ text: String) -> [UInt8] { self.frame(.text, Array(text.utf8)) }

    /// What `joiner` lets through of `frames`.
    private func passed(_ frames: [UInt8]..., by joiner: inout FrameJoiner) -> [[UInt8]] {
        var passed: [[UInt8]] = []
        frames.flatMap(\.self).withUnsafeBytes { bytes in
            joiner.join(bytes) { passed.append(Array($0)) }
        }
        return passed
    }

    @Test func `makes one array of packets and of arrays of packets, in order, and has nothing left then`() {
        var joiner = FrameJoiner()
        #expect(joiner.takeArray() == nil)
        #expect(self.passed(Self.text(#"{"rid":1}"#), by: &joiner).isEmpty)
        #expect(self.passed(Self.text(#"[{"rid":2},{"rid":3}]"#), Self.text("[]"), by: &joiner).isEmpty)
        #expect(joiner.byteCount == 29)
        #expect(joiner.takeArray() == Self.text(#"[{"rid":1},{"rid":2},{"rid":3}]"#))
        #expect(joiner.takeArray() == nil)
        #expect(self.passed(Self.text(#"{"rid":4}"#), by: &joiner).isEmpty)
        #expect(joiner.takeArray() == Self.text(#"[{"rid":4}]"#))
    }

    @Test(arguments: [100, 200, 70_000]) func `reads and writes headers of every length`(length: Int) {
        var joiner = FrameJoiner()
        let packet = #"{"a":"\#(String(repeating: "x", count: length))"}"#
        #expect(self.passed(Self.text(packet), Self.text("{}"), by: &joiner).isEmpty)
        #expect(joiner.takeArray() == Self.text("[\(packet),{}]"))
    }

    @Test func `lets pings and pongs pass what waits, and a close frame go behind it`() {
        var joiner = FrameJoiner()
        let ping = Self.text("#1")
        let pong = Self.frame(.pong, [1, 2])
        let close = Self.frame(.close, [0x0F, 0xA0])
        #expect(self.passed(Self.text("{}"), Self.text(""), ping, pong, by: &joiner) == [Self.text(""), ping, pong])
        #expect(self.passed(close, by: &joiner) == [Self.text("[{}]"), close])
        #expect(joiner.takeArray() == nil)
        #expect(self.passed(close, by: &joiner) == [close])
    }

    @Test func `joins MessagePack by counting`() {
        var joiner = FrameJoiner()
        let packet: [UInt8] = [0x81, 0xA1, 0x72, 0x93, 0x05, 0xC0, 0xC0]
        let ping = Self.frame(.binary, [0xA2, 0x23, 0x31])
        #expect(self.passed(Self.frame(.binary, packet), ping, by: &joiner) == [ping])
        #expect(self.passed(Self.frame(.binary, [0x92] + packet + packet), by: &joiner).isEmpty)
        #expect(joiner.takeArray() == Self.frame(.binary, [0x93] + packet + packet + packet))
        for head in [[0xDC, 0, 17], [0xDD, 0, 0, 0, 17]] as [[UInt8]] {
            let many = [[UInt8]](repeating: packet, count: 17).flatMap(\.self)
            #expect(self.passed(Self.frame(.binary, head + many), by: &joiner).isEmpty)
            #expect(joiner.takeArray() == Self.frame(.binary, [0xDC, 0, 17] + many))
        }
    }

    @Test func `hands on what is compressed, behind what waits`() {
        var joiner = FrameJoiner()
        var compressed: [UInt8] = []
        WebSocketFrameHeader(opcode: .text, payloadLength: 2, isCompressed: true).encode(into: &compressed)
        compressed += [UInt8(ascii: "{"), UInt8(ascii: "}")]
        #expect(self.passed(Self.text("{}"), compressed, by: &joiner) == [Self.text("[{}]"), compressed])
        #expect(joiner.takeArray() == nil)
    }

    @Test func `keeps what is JSON apart from what is not`() {
        var joiner = FrameJoiner()
        #expect(
            self.passed(Self.text("{}"), Self.frame(.binary, [0x80]), by: &joiner) == [Self.text("[{}]")])
        #expect(joiner.takeArray() == Self.frame(.binary, [0x91, 0x80]))
    }
}
