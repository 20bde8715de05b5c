import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanRedis

@Suite struct ReplyReaderTests {
    /// Replies in a form that a person can read, the input given in pieces.
    private static func replies(_ pieces: [[UInt8]], keeping: Bool = false) throws(UpstreamError) -> [String] {
        let reader = ReplyReader()
        var replies: [String] = []
        for piece in pieces {
            try reader.read(ByteBuffer(bytes: piece)) { (reader: ReplyReader) throws(UpstreamError) in
                replies.append(
                    reader.tokens.indices.map { index in
                        let token = reader.tokens[index]
                        return switch token.kind {
                        case .array: "*\(token.length)"
                        case .integer: ":\(token.length)"
                        case .null: "nil"
                        case .string: "'\(reader.text(at: index))'"
                        case .status: "+\(reader.text(at: index))"
                        case .error: "-\(reader.text(at: index))"
                        }
                    }.joined(separator: " "))
                if keeping { reader.keepReply() }
            }
        }
        return replies
    }

    private static let conversation = Array(
        """
        +OK\r\n:7\r\n-NOPERM no\r\n$5\r\nhello\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n$7\r\nmessage\r\n$3\r\na/b\r\n$2\r\n{}\r\n\
        *2\r\n*2\r\n:1\r\n*1\r\n+x\r\n$4\r\n\r\n\r\n\r\n:-9\r\n
        """.utf8)
    private static let expected = [
        "+OK", ":7", "-NOPERM no", "'hello'", "''", "nil", "nil", "*0", "*3 'message' 'a/b' '{}'",
        "*2 *2 :1 *1 +x '\r\n\r\n'", ":-9",
    ]

    @Test func `replies of all kinds are laid out flat`() throws {
        #expect(try Self.replies([Self.conversation]) == Self.expected)
    }

    @Test func `where the input is cut makes no difference`() throws {
        #expect(try Self.replies(Self.conversation.map { [$0] }) == Self.expected)
        #expect(try Self.replies(Self.conversation.map { [$0] }, keeping: true) == Self.expected)
        for cut in 0...Self.conversation.count {
            let pieces = [Array(Self.conversation[..<cut]), Array(Self.conversation[cut...])]
            #expect(try Self.replies(pieces) == Self.expected)
        }
    }

    @Test func `kept bytes are handed over, and a reply that has begun moves along`() throws {
        let reader = ReplyReader()
        var places: [(Int, Int)] = []
        func keep(_ reader: ReplyReader) {
            places.append((reader.tokens[1].start, reader.tokens[1].length))
            reader.keepReply()
        }
        try reader.read(ByteBuffer(string: "*1\r\n$1\r\na\r\n*1\r\n$2\r\nbb\r\n*2\r\n$3\r\nccc\r\n$1\r\n"), keep)
        let first = reader.takeBytes()
        #expect(places.map { first.getString(at: $0, length: $1) } == ["a", "bb"])
        places = []
        try reader.read(ByteBuffer(string: "d\r\n"), keep)
        let second = reader.takeBytes()
        #expect(places.map { second.getString(at: $0, length: $1) } == ["ccc"])
        #expect(reader.takeBytes().readableBytes == 0)
    }

    @Test func `a reply larger than many reads arrives whole`() throws {
        let text = String(repeating: "x", count: 3_000_000)
        let bytes = Array("$3000000\r\n\(text)\r\n+next\r\n".utf8)
        let pieces = stride(from: 0, to: bytes.count, by: 65_536).map {
            Array(bytes[$0..<min($0 + 65_536, bytes.count)])
        }
        #expect(try Self.replies(pieces) == ["'\(text)'", "+next"])
    }

    @Test(arguments: [
        "hello\r\n", "%1\r\n+a\r\n+b\r\n", ">3\r\n", "_\r\n", "$-2\r\n", "$x\r\n", "*x\r\n", ":x\r\n", "*2000000\r\n",
        "$99999999999999999999\r\n", "*99999999999999999999\r\n", "*2147483647\r\n",
        String(repeating: "*1\r\n", count: 50) + ":1\r\n",
    ])
    func `bytes that are not RESP 2, or beyond its limits, are a protocol violation`(text: String) throws {
        let error = #expect(throws: UpstreamError.self) { _ = try Self.replies([Array(text.utf8)]) }
        #expect(error?.code == .protocolViolation)
        let bytewise = #expect(throws: UpstreamError.self) { _ = try Self.replies(text.utf8.map { [$0] }) }
        #expect(bytewise?.code == .protocolViolation)
    }

    @Test func `a string that is announced too long is refused before it fills memory`() throws {
        let reader = ReplyReader()
        let piece = ByteBuffer(repeating: 0x78, count: 16 << 20)
        let error = #expect(throws: UpstreamError.self) {
            try reader.read(ByteBuffer(string: "$2000000000\r\n")) { _ in }
            for _ in 0..<20 { try reader.read(piece) { _ in } }
        }
        #expect(error?.code == .protocolViolation)
    }

    @Test func `random bytes never do worse than end the conversation`() throws {
        var random = SeededRandom()
        let alphabet = Array("*$:+-\r\n0123456789ab".utf8)
        for _ in 0..<5_000 {
            var bytes = Self.conversation
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                let byte = alphabet.randomElement(using: &random)!
                if Bool.random(using: &random) { bytes[place] = byte } else { bytes.insert(byte, at: place) }
            }
            do throws(UpstreamError) {
                let whole = try Self.replies([bytes])
                #expect(try Self.replies(bytes.map { [$0] }) == whole, "seed \(random.seed)")
            } catch {
                #expect(error.code == .protocolViolation, "seed \(random.seed)")
            }
        }
    }

    @Test func `commands are formatted with every byte in place`() {
        var buffer = ByteBuffer()
        buffer.writeCommand(["AUTH", "", "a b\r\n\u{0}\u{E9}"])
        #expect(String(buffer: buffer) == "*3\r\n$4\r\nAUTH\r\n$0\r\n\r\n$8\r\na b\r\n\u{0}\u{E9}\r\n")
    }

    @Test(arguments: [0, 1, 9, 10, 99, 100, 12_345, UInt64.max])
    func `numbers are written in decimal`(number: UInt64) {
        var buffer = ByteBuffer()
        buffer.writeDecimal(number)
        #expect(String(buffer: buffer) == "\(number)")
    }

    @Test func `a publish is what hiredis would have written`() {
        var (ours, theirs) = (ByteBuffer(), ByteBuffer())
        ours.writePublish(name: "sc/caf\u{E9} \u{0}", payload: ByteBuffer(string: "{\"a\":1}\r\n"))
        theirs.writeCommand(["PUBLISH", "sc/caf\u{E9} \u{0}", "{\"a\":1}\r\n"])
        #expect(ours == theirs)
    }
}
