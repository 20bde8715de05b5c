import LinkspanWire
import Testing

struct JSONScannerTests {
    private static let scanner = JSONScanner()

    private static func failure(_ text: String, maximumDepth: Int = 128) -> JSONError? {
        let bytes = Array(text.utf8)
        do throws(JSONError) {
            _ = try JSONScanner(maximumDepth: maximumDepth).scan(bytes.span.bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        "null", "true", "false", " null ", "\t\r\n 1 \n", "0", "-0", "1", "-1", "10", "1.0", "-1.5", "1e5", "1E5",
        "1e+5",
        "1e-05", "0e0", "0.0E-0", "1234567890123456789012345678901234567890", "1E400", #""""#, #""a""#,
        #""\"\\\/\b\f\n\r\t""#, #""\u0000""#, #""\u00e9\u00E9""#, #""\ud83d\ude00""#, #""\ud83d""#, #""\ude00\ud83d""#,
        #""\ud83dx""#, "\"\u{7F}\"", "\"é€😀\u{10FFFF}\"", "\"\u{2028}\u{2029}\"", "[]", "{}", "[ ]", "{ }", "[[]]",
        "[{}]", #"{"":[]}"#, #"{"a":1,"a":2}"#, #"{ "a" : [ 1 , 2 ] , "b" : { } }"#, #"[1,"a",null,true,{"b":[]}]"#,
        #"{"a":{"b":{"c":[[[{"d":0}]]]}}}"#, #"{"\u0061":1}"#, #"{"é":1}"#, "[1\n,2\n]", "\"exactly16bytes__\"",
        "\"1234567\"", "\"12345678\"", "\"123456789012345\\n\"",
    ])
    func `JSON by the grammar is admitted`(text: String) {
        #expect(Self.failure(text) == nil)
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "True", "tru", "falsey", "NaN", "Infinity", "-Infinity", "undefined", "+1", "01",
        "-01",
        "-", "1.", ".5", "1.e5", "1e", "1e+", "1e+-5", "0x10", "1_000", "1 2", "--1", "\"", "\"a", "a\"", "'a'",
        #""\""#, #""\x41""#, #""\u12""#, #""\u12g4""#, #""\U0041""#, #""\'""#, #""\u 123""#, "\"a\nb\"", "\"\t\"",
        "\"\u{0}\"", "\"12345678\u{1F}\"", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,,2]", "[1}", "[}", "{",
        "}",
        "{]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{,"a":1}"#, #"{"a" 1}"#, #"{"a"::1}"#, #"{"a":1 "b":2}"#, "{a:1}",
        "{'a':1}", "{1:1}", #"{"a":1]"#, #"{"a":1}}"#, "[]]", "[] []", "{} {}", "1,2", "// c\n1", "/* c */ 1", "[1] x",
        "\u{FEFF}1", "\u{A0}1", "1\u{0}", "\u{0B}1", "[\u{0C}1]", "*", "[\"a\": 1]", "[nul]", "[tru,1]",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(Self.failure(text) != nil)
    }

    @Test(arguments: [
        [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x20], [0xC2, 0xC2], [0xE0, 0x9F, 0x80],
        [0xE2, 0x82],
        [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xF0, 0x8F, 0x80, 0x80], [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80],
        [0xF5, 0x80, 0x80, 0x80], [0xFE], [0xFF],
    ])
    func `bytes that are not UTF-8 are refused wherever they stand in a string`(bytes: [UInt8]) {
        for padding in 0..<20 {
            let text = [0x22] + [UInt8](repeating: 0x61, count: padding) + bytes + [0x61, 0x22]
            #expect(throws: JSONError(reason: .invalidUTF8, offset: 1 + padding)) {
                try Self.scanner.scan(text.span.bytes)
            }
        }
    }

    @Test func `an error says what was wrong and where`() {
        #expect(Self.failure("[1,2") == JSONError(reason: .unexpectedEnd, offset: 4))
        #expect(Self.failure("[1,?]") == JSONError(reason: .unexpectedByte, offset: 3))
        #expect(Self.failure("{\"a\":1}x") == JSONError(reason: .unexpectedByte, offset: 7))
        #expect(Self.failure("[[[]]]", maximumDepth: 2) == JSONError(reason: .tooDeep, offset: 2))
    }

    @Test(arguments: [1, 2, 63, 64, 65, 128, 1024])
    func `nesting is admitted up to the limit and not beyond`(limit: Int) {
        let arrays = { String(repeating: "[", count: $0) + String(repeating: "]", count: $0) }
        let objects = { String(repeating: "{\"a\":", count: $0) + "1" + String(repeating: "}", count: $0) }
        #expect(Self.failure(arrays(limit), maximumDepth: limit) == nil)
        #expect(Self.failure(arrays(limit + 1), maximumDepth: limit)?.reason == .tooDeep)
        #expect(Self.failure(objects(limit), maximumDepth: limit) == nil)
        #expect(Self.failure(objects(limit + 1), maximumDepth: limit)?.reason == .tooDeep)
        #expect(Self.failure(arrays(5000), maximumDepth: .max)?.reason == .tooDeep)
    }

    @Test func `closing brackets must match what they close at any depth`() {
        for depth in [1, 64, 65, 130] {
            let opening = (0..<depth).map { $0 % 2 == 0 ? "[" : "{\"a\":" }.joined()
            let closing = (0..<depth).reversed().map { $0 % 2 == 0 ? "]" : "}" }
            #expect(Self.failure(opening + "1" + closing.joined(), maximumDepth: 200) == nil)
            for wrong in 0..<depth {
                var mismatched = closing
                mismatched[wrong] = mismatched[wrong] == "]" ? "}" : "]"
                #expect(Self.failure(opening + "1" + mismatched.joined(), maximumDepth: 200) != nil)
            }
        }
    }

    @Test func `values are found where they lie`() throws {
        let text = Array(#" {"a":12,"b":"x\ny","a":[true,null]} "#.utf8)
        let value = try Self.scanner.scan(text.span.bytes)
        #expect(value == JSONValue(kind: .object, range: 1..<text.count - 1))
        var seen: [String] = []
        try Self.scanner.forEachMember(of: value, in: text.span.bytes) { key, member in
            let raw = String(decoding: text[member.range], as: UTF8.self)
            seen.append("\(key.string(in: text.span.bytes)) \(member.kind) \(raw)")
        }
        #expect(seen == ["a number 12", #"b string "x\ny""#, "a array [true,null]"])
    }

    @Test func `elements are found and read`() throws {
        let text = Array(#"[1,-7,1.5,true,false,"a\u00e9",9223372036854775807,9223372036854775808,1e2,-0]"#.utf8)
        let value = try Self.scanner.scan(text.span.bytes)
        var integers: [Int64?] = []
        var booleans: [Bool?] = []
        var strings: [String?] = []
        try Self.scanner.forEachElement(of: value, in: text.span.bytes) { element in
            integers.append(element.integer(in: text.span.bytes))
            booleans.append(element.boolean(in: text.span.bytes))
            strings.append(element.string?.string(in: text.span.bytes))
        }
        #expect(integers == [1, -7, nil, nil, nil, nil, .max, nil, nil, 0])
        #expect(booleans == [nil, nil, nil, true, false, nil, nil, nil, nil, nil])
        #expect(strings == [nil, nil, nil, nil, nil, "aé", nil, nil, nil, nil])
    }

    @Test func `asking the wrong kind of value for its parts is an error`() throws {
        let text = Array("[1]".utf8)
        let value = try Self.scanner.scan(text.span.bytes)
        #expect(throws: JSONError(reason: .unexpectedByte, offset: 0)) {
            try Self.scanner.forEachMember(of: value, in: text.span.bytes) { _, _ in }
        }
    }

    @Test(arguments: [
        (#"a\"b"#, "a\"b"), (#"\u0041\u00e9\u20ac\ud83d\ude00"#, "Aé€😀"), (#"\b\f\n\r\t\/\\"#, "\u{8}\u{C}\n\r\t/\\"),
        (#"\ud83d"#, "\u{FFFD}"), (#"\ud83d\ud83d\ude00"#, "\u{FFFD}😀"), (#"\ude00x"#, "\u{FFFD}x"),
        (#"\uD83D\uDE00"#, "😀"), (#"\ud83d\n"#, "\u{FFFD}\n"),
    ])
    func `escapes are resolved`(raw: String, expected: String) throws {
        let text = Array("\"\(raw)\"".utf8)
        let slice = try #require(try Self.scanner.scan(text.span.bytes).string)
        #expect(slice.hasEscapes)
        #expect(slice.string(in: text.span.bytes) == expected)
    }
}
