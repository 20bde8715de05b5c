import LinkspanWire
import TestSupport
import Testing

struct MinBinTests {
    private static let codec = MinBinCodec()

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.filter { !$0.isWhitespace }
        return stride(from: 0, to: digits.count, by: 2).compactMap { offset in
            let start = digits.index(digits.startIndex, offsetBy: offset)
            return UInt8(digits[start...].prefix(2), radix: 16)
        }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func decode(_ message: [UInt8], _ codec: MinBinCodec = codec) throws(MinBinError) -> String {
        var text: [UInt8] = []
        try codec.decode(message.span.bytes, into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    private static func encode(_ text: String) throws(MinBinError) -> [UInt8] {
        let utf8 = Array(text.utf8)
        var message: [UInt8] = []
        try Self.codec.encode(utf8.span.bytes, into: &message)
        return message
    }

    @Test(arguments: [
        (
            "81 a165 93 aa2368616e647368616b65 81a961757468546f6b656ec0 01",
            ##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##
        ),
        ("81 a172 93 05 c0 c0", #"{"rid":5,"error":null,"data":null}"#),
        ("81 a170 93 a3666f6f 81a16101 03", ##"{"event":"#publish","data":{"channel":"foo","data":{"a":1}},"cid":3}"##),
        ("a2 23 31", "#1"), ("a2 23 32", "#2"),
    ])
    func `what the real codec wrote is read and written back`(captured: String, text: String) throws {
        #expect(try Self.decode(Self.bytes(captured)) == text)
        #expect(try Self.encode(text) == Self.bytes(captured))
    }

    @Test(arguments: [
        ("81 a165 92 a16e c0", #"{"event":"n","data":null}"#),
        ("81 a165 91 a16e", #"{"event":"n"}"#),
        ("81 a165 93 a16e c0 c0", #"{"event":"n","data":null}"#),
        ("81 a165 94 a16e c3 02 09", #"{"event":"n","data":true,"cid":2}"#),
        ("81 a170 92 a163 c0", ##"{"event":"#publish","data":{"channel":"c","data":null}}"##),
        ("81 a170 91 a163", ##"{"event":"#publish","data":{"channel":"c"}}"##),
        ("81 a172 93 01 a26e6f c0", #"{"rid":1,"error":"no","data":null}"#),
        ("82 a165 92 a16e c0 a178 01", #"{"event":"n","data":null,"x":1}"#),
        ("81 a165 c0", #"{"e":null}"#), ("81 a170 90", #"{"p":[]}"#), ("81 a178 92 01 02", #"{"x":[1,2]}"#),
        ("80", "{}"),
        ("90", "[]"), ("92 81a1729301c0c0 05", #"[{"rid":1,"error":null,"data":null},5]"#),
        ("c0", "null"), ("c2", "false"), ("7f", "127"), ("ff", "-1"), ("e0", "-32"), ("ccff", "255"),
        ("cdffff", "65535"),
        ("ceffffffff", "4294967295"), ("cfffffffffffffffff", "18446744073709551615"), ("d080", "-128"),
        ("d18000", "-32768"),
        ("d280000000", "-2147483648"), ("d38000000000000000", "-9223372036854775808"), ("ca3fc00000", "1.5"),
        ("cb3ff8000000000000", "1.5"), ("cb4000000000000000", "2"), ("cb7ff0000000000000", "null"),
        ("cb7ff8000000000000", "null"), ("cb8000000000000000", "0"),
        ("91 c4 03 010203", #"[{"base64":true,"data":"AQID"}]"#),
        ("91 c4 00", #"[{"base64":true,"data":""}]"#), ("91 d9 03 616263", #"["abc"]"#), ("91 a2 220a", #"["\"\n"]"#),
        ("91 82 01c0 a161c0", #"[{"1":null,"a":null}]"#), ("dc 0001 01", "[1]"), ("dd 00000001 01", "[1]"),
        ("91 de 0001 a16101", #"[{"a":1}]"#), ("91 df 00000001 a16101", #"[{"a":1}]"#),
        ("91 c5 0001 ff", #"[{"base64":true,"data":"/w=="}]"#),
        ("91 c6 00000002 ffff", #"[{"base64":true,"data":"//8="}]"#),
    ])
    func `every form of MessagePack becomes the JSON that JavaScript would make of it`(hex: String, text: String) throws
    {
        #expect(try Self.decode(Self.bytes(hex)) == text)
    }

    @Test(arguments: [
        ("", MinBinError.truncated), ("a2 23", .truncated), ("91", .truncated), ("81 a161", .truncated),
        ("cd 01", .truncated),
        ("dd ffffffff", .truncated), ("df ffffffff", .truncated), ("c6 ffffffff", .truncated), ("c1", .unsupportedType),
        ("91 d4 01 02", .unsupportedType), ("91 c7 00 01", .unsupportedType), ("81 c0 01", .unsupportedKey),
        ("91 81 90 01", .unsupportedKey), ("a1 ff", .invalidUTF8), ("91 a1 80", .invalidUTF8),
        ("81 a1ff 01", .invalidUTF8),
        ("c0 c0", .trailingBytes), ("81 a165 91 a161 00", .trailingBytes),
    ])
    func `what is no packet is refused with its reason`(hex: String, error: MinBinError) {
        #expect(throws: error) { try Self.decode(Self.bytes(hex)) }
    }

    @Test func `depth and size are bounded`() {
        let nested = [UInt8](repeating: 0x91, count: 200) + [0xC0]
        #expect(throws: MinBinError.tooDeep) { try Self.decode(nested) }
        let small = MinBinCodec(limits: DecodingLimits(depth: 3), maximumTextBytes: 100)
        #expect(throws: Never.self) { try Self.decode([0x91, 0x91, 0x91, 0xC0], small) }
        #expect(throws: MinBinError.tooDeep) { try Self.decode([0x91, 0x91, 0x91, 0x91, 0xC0], small) }
        // {"event":..,"data":[[]]}: the shortened array is no level of its own, the packet is.
        #expect(throws: Never.self) { try Self.decode(Self.bytes("81 a165 92 a161 9190"), small) }
        #expect(throws: MinBinError.tooDeep) { try Self.decode(Self.bytes("81 a165 92 a161 919190"), small) }
        let nils = [0xDC, 0x00, 0x64] + [UInt8](repeating: 0xC0, count: 100)
        #expect(throws: MinBinError.tooLarge) { try Self.decode(nils, small) }
        let controls = [0xD9, 0x60] + [UInt8](repeating: 0x01, count: 0x60)
        #expect(throws: MinBinError.tooLarge) { try Self.decode([0x91] + controls, small) }
        let binary = [0xC4, 0xFF] + [UInt8](repeating: 0, count: 255)
        #expect(throws: MinBinError.tooLarge) { try Self.decode(binary, small) }
    }

    @Test(arguments: [
        (#"{"event":"n"}"#, "81a16592a16ec0"), (#"{"event":"n","data":[],"cid":1}"#, "81a16593a16e9001"),
        (##"{"event":"#publish","data":{"channel":"c"}}"##, "81a17092a163c0"),
        (##"{"event":"#publish"}"##, "81a16592a8237075626c697368c0"),
        (#"{"rid":1,"data":"x"}"#, "81a1729301c0a178"), (#"{"rid":1,"error":{"m":1}}"#, "81a172930181a16d01c0"),
        (#"[{"rid":1},{"event":"n"}]"#, "9281a1729301c0c081a16592a16ec0"), ("[]", "90"),
        (#"{"data":5}"#, "81a46461746105"),
        (
            #"{"event":"n","data":[0,127,128,255,256,65535,65536,4294967295,-1,-32,-33,-128,-129,-32768,-32769,-2147483648]}"#,
            "81a16592a16edc0010" + "00" + "7f" + "cc80" + "ccff" + "cd0100" + "cdffff" + "ce00010000" + "ceffffffff"
                + "ff" + "e0"
                + "d0df" + "d080" + "d1ff7f" + "d18000" + "d2ffff7fff" + "d280000000"
        ),
        (
            #"{"event":"n","data":[4294967296,1.5,1.0,1e400]}"#,
            "81a16592a16e94" + "cb41f0000000000000" + "cb3ff8000000000000" + "01" + "c0"
        ),
        (
            #"{"event":"n","data":["\u00e9","\ud83d\ude00",true,false,null]}"#,
            "81a16592a16e95" + "a2c3a9" + "a4f09f9880" + "c3c2c0"
        ),
        (#"{"event":"n","data":{"base64":true,"data":"AQID"}}"#, "81a16592a16ec403010203"),
        (#"{"event":"n","data":[{"base64":true,"data":""}]}"#, "81a16592a16e91c400"),
        (#"{"event":"n","data":{"base64":true,"data":"/w=="}}"#, "81a16592a16ec401ff"),
    ])
    func `packets are written as the real codec writes them`(text: String, hex: String) throws {
        #expect(Self.hex(try Self.encode(text)) == hex)
    }

    @Test(arguments: [
        #"{"base64":true,"data":"A"}"#, #"{"base64":true,"data":"AQI"}"#, #"{"base64":true,"data":"A=I="}"#,
        #"{"base64":true,"data":"/x=="}"#, #"{"base64":true,"data":"A_-A"}"#, #"{"base64":true,"data":"===="}"#,
        #"{"base64":false,"data":"AQID"}"#, #"{"base64":true,"data":5}"#, #"{"base64":true}"#,
        #"{"base64":true,"data":["AQID"]}"#,
        #"{"base64":true,"data":"AQID","more":1}"#, #"{"data":"AQID"}"#,
    ])
    func `an object that only resembles bytes stays an object`(object: String) throws {
        let message = try Self.encode(#"{"event":"n","data":\#(object)}"#)
        #expect(try Self.decode(message) == #"{"event":"n","data":\#(object)}"#)
    }

    @Test(arguments: ["", "x", "{", "[1", "{\"event\":}"])
    func `text that is no packet is not encoded`(text: String) {
        #expect(throws: MinBinError.notJSON) { try Self.encode(text) }
    }

    @Test func `text nested too deep is not encoded`() {
        let text = String(repeating: "[", count: 300) + String(repeating: "]", count: 300)
        #expect(throws: MinBinError.tooDeep) { try Self.encode("{\"event\":\"n\",\"data\":\(text)}") }
    }

    @Test func `random documents come back as they went`() throws {
        var random = SeededRandom()
        for _ in 0..<3_000 {
            let data = RandomJSON.text(using: &random)
            let text = #"{"event":"e","data":\#(data),"cid":7}"#
            #expect(try Self.decode(try Self.encode(text)) == text)
        }
    }

    @Test func `damaged messages are refused or read, and nothing worse`() {
        var random = SeededRandom()
        var refused = 0
        for _ in 0..<20_000 {
            let text = #"{"event":"e","data":\#(RandomJSON.text(using: &random)),"cid":7}"#
            guard var message = try? Self.encode(text) else {
                Issue.record("\(text) was refused")
                continue
            }
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                message[Int.random(in: 0..<message.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let decoded = try? Self.decode(message) else {
                refused += 1
                continue
            }
            // Whatever is admitted is JSON, or a string that stands alone.
            let isAlone = message.first.map { (0xA0...0xBF).contains($0) || (0xD9...0xDB).contains($0) } ?? false
            #expect(isAlone || (try? JSONText(validating: decoded)) != nil, "\(decoded)")
        }
        #expect(refused > 1_000)
    }
}
