import LinkspanWire
import TestSupport
import Testing

struct WebSocketFrameTests {
    private static func frame(
        _ opcode: WebSocketOpcode, _ payload: some Collection<UInt8>, isFinal: Bool = true, isCompressed: Bool = false,
        key: UInt32? = 0x37FA_213D
    ) -> [UInt8] {
        let mask = key.map { WebSocketMask(key: $0) }
        let header = WebSocketFrameHeader(
            opcode: opcode, payloadLength: payload.count, isFinal: isFinal, isCompressed: isCompressed, mask: mask)
        var bytes: [UInt8] = []
        header.encode(into: &bytes)
        var masked = Array(payload)
        masked.withUnsafeMutableBytes { mask?.apply(to: $0) }
        return bytes + masked
    }

    private static func text(_ text: String, isFinal: Bool = true) -> [UInt8] {
        Self.frame(.text, text.utf8, isFinal: isFinal)
    }

    private static func received(
        _ bytes: [UInt8], _ parser: WebSocketFrameParser = WebSocketFrameParser(sender: .client)
    ) -> FrameFeed {
        var feed = FrameFeed(parser)
        feed.receive(bytes)
        return feed
    }

    private static func error(_ bytes: [UInt8]) -> WebSocketError? {
        Self.received(bytes).error
    }

    @Test func `the examples of RFC 6455 5-7 are read and written`() {
        let hello = Array("Hello".utf8)
        let unmasked: [UInt8] = [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]
        let masked: [UInt8] = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]
        #expect(Self.frame(.text, hello, key: nil) == unmasked)
        #expect(Self.frame(.text, hello) == masked)
        #expect(Self.received(masked).events == [.message(.text, hello)])
        #expect(Self.received(unmasked, WebSocketFrameParser(sender: .server)).events == [.message(.text, hello)])
        let fragments: [UInt8] = [0x01, 0x03, 0x48, 0x65, 0x6C, 0x80, 0x02, 0x6C, 0x6F]
        #expect(Self.received(fragments, WebSocketFrameParser(sender: .server)).events == [.message(.text, hello)])
        #expect(Self.received([0x8A, 0x85] + masked[2...]).events == [.pong(hello)])
    }

    @Test(arguments: [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_000])
    func `payloads of every length form survive masking`(length: Int) {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let feed = Self.received(Self.frame(.binary, payload))
        #expect(feed.events == [.message(.binary, payload)])
        #expect(feed.unparsed == 0)
        let header = Self.frame(.binary, payload, key: nil).count - length
        #expect(header == WebSocketFrameHeader.length(payloadLength: length, isMasked: false))
    }

    @Test func `masking in pieces is masking as a whole`() {
        let mask = WebSocketMask(key: 0x0102_0304)
        let payload = (0..<61).map { UInt8($0) }
        var whole = payload
        whole.withUnsafeMutableBytes { mask.apply(to: $0) }
        for (index, byte) in payload.enumerated() { #expect(whole[index] == byte ^ [1, 2, 3, 4][index % 4]) }
        for split in 0...payload.count {
            var pieces = payload
            pieces.withUnsafeMutableBytes { bytes in
                mask.apply(to: UnsafeMutableRawBufferPointer(rebasing: bytes[..<split]))
                mask.apply(to: UnsafeMutableRawBufferPointer(rebasing: bytes[split...]), offset: split)
            }
            #expect(pieces == whole)
        }
    }

    @Test func `a stream cut anywhere reads as the whole stream`() {
        var random = SeededRandom()
        let stream =
            Self.text("first") + Self.frame(.ping, [1, 2]) + Self.text("zw", isFinal: false) + Self.frame(.pong, [])
            + Self.frame(.continuation, Array("é€".utf8.prefix(3)), isFinal: false) + Self.frame(.ping, [3])
            + Self.frame(.continuation, Array("é€".utf8.dropFirst(3))) + Self.frame(.binary, [0xFF, 0x00])
            + Self.frame(.text, []) + Self.frame(.binary, (0..<300).map { UInt8(truncatingIfNeeded: $0) })
            + Self.frame(.close, [0x03, 0xE8] + Array("bye".utf8))
        let expected: [FrameFeed.Received] = [
            .message(.text, Array("first".utf8)), .ping([1, 2]), .pong([]), .ping([3]),
            .message(.text, Array("zwé€".utf8)), .message(.binary, [0xFF, 0x00]), .message(.text, []),
            .message(.binary, (0..<300).map { UInt8(truncatingIfNeeded: $0) }), .close(.normal, "bye"),
        ]
        #expect(Self.received(stream).events == expected)
        var single = FrameFeed()
        for byte in stream { single.receive([byte]) }
        #expect(single.events == expected)
        for _ in 0..<200 {
            var feed = FrameFeed()
            var rest = stream[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...40, using: &random))
                feed.receive(piece)
                rest = rest.dropFirst(piece.count)
            }
            #expect(feed.events == expected)
            #expect(feed.error == nil)
            #expect(feed.unparsed == 0)
        }
    }

    @Test func `an incomplete frame says how much it takes`() throws {
        var frame = Self.frame(.binary, [UInt8](repeating: 7, count: 200))
        var parser = WebSocketFrameParser(sender: .client)
        let whole = frame.count
        let early = try frame.withUnsafeMutableBytes {
            try parser.parse(UnsafeMutableRawBufferPointer(rebasing: $0[..<3]))
        }
        #expect(early == .incomplete(needed: 4))
        let late = try frame.withUnsafeMutableBytes {
            try parser.parse(UnsafeMutableRawBufferPointer(rebasing: $0[..<20]))
        }
        #expect(late == .incomplete(needed: whole))
        let none = try frame.withUnsafeMutableBytes {
            try parser.parse(UnsafeMutableRawBufferPointer(rebasing: $0[..<0]))
        }
        #expect(none == .incomplete(needed: 1))
    }

    @Test func `a span is parsed like a buffer`() throws {
        var frame = Self.text("hi")
        var parser = WebSocketFrameParser(sender: .client)
        var span = frame.mutableSpan
        var bytes = span.mutableBytes
        let step = try parser.parse(&bytes)
        #expect(step == .frame(.message(.text, payload: 6..<8, isCompressed: false), consumed: 8))
        #expect(Array(frame.suffix(2)) == Array("hi".utf8))
    }

    @Test func `every breach of the protocol has its error`() {
        let key: [UInt8] = [0, 0, 0, 0]
        #expect(Self.error([0x91, 0x80] + key) == .reservedBits)
        #expect(Self.error([0xA1, 0x80] + key) == .reservedBits)
        #expect(Self.error([0xC1, 0x80] + key) == .reservedBits)
        for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] as [UInt8] {
            #expect(Self.error([0x80 | opcode, 0x80] + key) == .unknownOpcode)
        }
        #expect(Self.error([0x81, 0x00]) == .notMasked)
        #expect(Self.received([0x81, 0x80] + key, WebSocketFrameParser(sender: .server)).error == .masked)
        #expect(Self.error([0x82, 0xFE, 0x00, 0x7D] + key) == .lengthNotMinimal)
        #expect(Self.error([0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] + key) == .lengthNotMinimal)
        #expect(Self.error([0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0] + key) == .lengthTooLarge)
        #expect(Self.error([0x09, 0x80] + key) == .fragmentedControlFrame)
        #expect(Self.error(Self.frame(.ping, [UInt8](repeating: 0, count: 126))) == .oversizedControlFrame)
        #expect(Self.error(Self.frame(.continuation, [1])) == .unexpectedContinuation)
        #expect(Self.error(Self.text("a", isFinal: false) + Self.text("b")) == .unfinishedMessage)
        #expect(Self.error(Self.frame(.close, [0x03])) == .malformedCloseFrame)
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] as [UInt16] {
            let frame = Self.frame(.close, [UInt8(code >> 8), UInt8(code & 0xFF)])
            #expect(Self.error(frame) == .forbiddenCloseCode, "\(code)")
        }
        for code in [1000, 1001, 1003, 1007, 1014, 3000, 4001, 4999] as [UInt16] {
            let frame = Self.frame(.close, [UInt8(code >> 8), UInt8(code & 0xFF)])
            #expect(Self.received(frame).events == [.close(CloseCode(rawValue: code), "")])
        }
        #expect(Self.error(Self.frame(.close, [0x03, 0xE8, 0xFF])) == .invalidUTF8)
        #expect(Self.error(Self.frame(.text, [0xC3])) == .invalidUTF8)
        #expect(Self.received(Self.frame(.close, [])).events == [.close(nil, "")])
    }

    @Test func `each error has the close code that the RFC gives it`() {
        for error in WebSocketError.allCases {
            switch error {
            case .invalidUTF8: #expect(error.closeCode == .invalidPayload)
            case .messageTooBig, .lengthTooLarge: #expect(error.closeCode == .messageTooBig)
            default: #expect(error.closeCode == .protocolError)
            }
        }
    }

    @Test func `nothing is taken after a close or an error`() {
        let afterClose = Self.received(Self.frame(.close, []) + Self.text("late"))
        #expect(afterClose.events == [.close(nil, "")])
        #expect(afterClose.error == .frameAfterClose)
        var parser = Self.received([0x81, 0x00]).parser
        var good = Self.text("a")
        #expect(throws: WebSocketError.frameAfterClose) { try good.withUnsafeMutableBytes { try parser.parse($0) } }
    }

    @Test func `a message past its limit is refused when its header is there`() {
        let parser = WebSocketFrameParser(sender: .client, limits: .init(messageBytes: 10, fragments: 3))
        let ten = [UInt8](repeating: 0, count: 10)
        #expect(Self.received(Self.frame(.binary, ten), parser).events == [.message(.binary, ten)])
        #expect(Self.received([0x82, 0x8B, 0, 0, 0, 0], parser).error == .messageTooBig)
        let twoParts = Self.frame(.binary, ten.prefix(6), isFinal: false) + [0x80, 0x85, 0, 0, 0, 0]
        #expect(Self.received(twoParts, parser).error == .messageTooBig)
        let empty = Self.frame(.continuation, [], isFinal: false)
        let many = Self.frame(.binary, [], isFinal: false) + empty + empty
        #expect(Self.received(many, parser).error == nil)
        #expect(Self.received(many + empty, parser).error == .messageTooBig)
        #expect(
            Self.received([0x82, 0xFF, 0x3F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], parser).error
                == .messageTooBig)
    }

    @Test func `text that goes wrong in a fragment is refused before the message ends`() {
        let broken =
            Self.frame(.text, [0x61, 0xC3], isFinal: false) + Self.frame(.continuation, [0x61], isFinal: false)
        #expect(Self.error(broken) == .invalidUTF8)
        let cut = Self.frame(.text, [0x61, 0xC3], isFinal: false) + Self.frame(.continuation, [])
        #expect(Self.error(cut) == .invalidUTF8)
        let whole = Self.frame(.text, [0x61, 0xC3], isFinal: false) + Self.frame(.continuation, [0xA9])
        #expect(Self.received(whole).events == [.message(.text, Array("aé".utf8))])
        let binary = Self.frame(.binary, [0xC3], isFinal: false) + Self.frame(.continuation, [0xFF])
        #expect(Self.received(binary).events == [.message(.binary, [0xC3, 0xFF])])
    }

    @Test func `text is left unchecked where another checks it`() {
        let parser = WebSocketFrameParser(sender: .client, checksText: false)
        #expect(Self.received(Self.frame(.text, [0xFF]), parser).events == [.message(.text, [0xFF])])
    }

    @Test func `compressed messages are marked where compression was agreed on`() {
        let parser = WebSocketFrameParser(sender: .client, allowsCompression: true)
        let whole = Self.frame(.text, [0xFF], isCompressed: true)
        #expect(Self.received(whole, parser).events == [.message(.text, [0xFF], isCompressed: true)])
        let parts = Self.frame(.text, [0xFF], isFinal: false, isCompressed: true) + Self.frame(.continuation, [0xFE])
        #expect(Self.received(parts, parser).events == [.message(.text, [0xFF, 0xFE], isCompressed: true)])
        #expect(Self.received(Self.frame(.ping, [], isCompressed: true), parser).error == .reservedBits)
        let late = Self.frame(.text, [], isFinal: false) + Self.frame(.continuation, [], isCompressed: true)
        #expect(Self.received(late, parser).error == .reservedBits)
        #expect(Self.received(Self.frame(.text, [0xFF]), parser).error == .invalidUTF8)
    }

    @Test func `random bytes never do more than fail the connection`() {
        var random = SeededRandom()
        for _ in 0..<20_000 {
            var bytes =
                Self.text("hello") + Self.frame(.binary, [1, 2, 3], isFinal: false) + Self.frame(.continuation, [4])
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let feed = Self.received(bytes)
            #expect(feed.unparsed <= bytes.count)
        }
    }
}
