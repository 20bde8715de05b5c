import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanMQTT

struct HeaderPropertiesTests {
    private static let whole: [(String, String)] = [
        ("ls-origin", "fra-1"), ("ls-epoch", "1795216176123"), ("ls-seq", "42"), ("ls-hops", "fra-1,ber.2,x_3"),
        ("ls-at", "1795216176999"),
    ]

    private static func header(_ fields: [(String, String)]) -> EnvelopeHeader? {
        var result = HeaderProperties()
        var reader = HeaderReader()
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in
                Array(value.utf8).withUnsafeBytes { value in result.add(name: name, value: value, &reader) }
            }
        }
        return result.header()
    }

    private static func with(_ key: String, _ value: String?) -> EnvelopeHeader? {
        Self.header(Self.whole.compactMap { $0.0 == key ? value.map { (key, $0) } : $0 })
    }

    @Test func `a whole header is read in any order and among other properties`() {
        let expected = EnvelopeHeader.test(42, hops: ["fra-1", "ber.2", "x_3"])
        #expect(Self.header(Self.whole) == expected)
        #expect(
            Self.header(Self.whole.reversed() + [("traceparent", "00-x"), ("ls-", ""), ("ls-sig", "s")]) == expected)
    }

    @Test(arguments: ["ls-origin", "ls-epoch", "ls-seq", "ls-hops", "ls-at"])
    func `a header without one of its fields is none`(key: String) {
        #expect(Self.with(key, nil) == nil)
    }

    @Test(arguments: ["ls-origin", "ls-epoch", "ls-seq", "ls-hops", "ls-at"])
    func `a field that comes twice breaks the header`(key: String) {
        #expect(Self.header(Self.whole + Self.whole.filter { $0.0 == key }) == nil)
    }

    @Test(arguments: [
        "", "-1", "+1", " 1", "1.5", "0x10", "18446744073709551616", "99999999999999999999", "000000000000000000001",
        "١",
    ])
    func `hostile numbers break the header`(value: String) {
        for key in ["ls-epoch", "ls-seq", "ls-at"] { #expect(Self.with(key, value) == nil) }
    }

    @Test func `the largest number is read`() {
        #expect(Self.with("ls-seq", "18446744073709551615")?.origin.sequence == .max)
    }

    @Test(arguments: ["", "a b", "ä", "a,b", String(repeating: "x", count: 65)])
    func `hostile origins break the header`(value: String) {
        #expect(Self.with("ls-origin", value) == nil)
    }

    @Test(arguments: [",", "a,", ",a", "a,,b", "a b", String(repeating: "x", count: 65)])
    func `hostile hops break the header`(value: String) {
        #expect(Self.with("ls-hops", value) == nil)
    }

    @Test func `a message that passed no instance has an empty list of hops`() {
        #expect(Self.with("ls-hops", "")?.hops == [])
    }

    @Test func `hops are bounded in number`() {
        let most = Array(repeating: String(repeating: "h", count: 64), count: HeaderFields.hopLimit)
        #expect(Self.with("ls-hops", most.joined(separator: ","))?.hops.count == HeaderFields.hopLimit)
        #expect(Self.with("ls-hops", (most + ["h"]).joined(separator: ",")) == nil)
    }

    @Test func `one property has it all`() {
        let text = "fra-1/1795216176123/42/1795216176999"
        #expect(Self.header([("traceparent", "00-x"), ("ls-header", text)]) == .test(42))
        #expect(Self.header([("ls-header", text + "/a,b")]) == .test(42, hops: ["a", "b"]))
        #expect(Self.header([("ls-header", "fra-1/1795216176123/42")]) == nil)
    }

    @Test func `a header that comes twice, in one form or both, is none`() {
        let text = ("ls-header", "fra-1/1795216176123/42/1795216176999")
        #expect(Self.header([text, text]) == nil)
        #expect(Self.header([text] + Self.whole) == nil)
        #expect(Self.header(Self.whole + [text]) == nil)
        for field in Self.whole { #expect(Self.header([text, field]) == nil) }
        #expect(Self.header([("ls-header", "damaged")] + Self.whole) == nil)
    }

    @Test func `any bytes are read without a trap`() {
        var random = SeededRandom()
        var reader = HeaderReader()
        let names = Self.whole.map(\.0) + ["ls-header", "ls-", "ls", "", "ls-originx"]
        for _ in 0..<20_000 {
            var fields = HeaderProperties()
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let name = Array(names.randomElement(using: &random)!.utf8)
                let value = (0..<Int.random(in: 0...24, using: &random)).map { _ in
                    [
                        UInt8(ascii: "0"), UInt8(ascii: "9"), UInt8(ascii: ","),
                        UInt8.random(in: 0...255, using: &random),
                    ].randomElement(using: &random)!
                }
                name.withUnsafeBytes { name in value.withUnsafeBytes { fields.add(name: name, value: $0, &reader) } }
            }
            if let header = fields.header() { #expect(header.hops.count <= HeaderFields.hopLimit, "\(random)") }
        }
    }
}
