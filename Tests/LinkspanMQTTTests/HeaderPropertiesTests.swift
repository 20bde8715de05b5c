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
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in
                Array(value.utf8).withUnsafeBytes { value in result.add(name: name, value: value) }
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

    @Test func `what we write we read`() {
        let header = EnvelopeHeader.test(7, hops: ["a", "b", "c"])
        #expect(header.hopList == "a,b,c")
        #expect(EnvelopeHeader.test(7).hopList == "fra-1")
    }

    @Test func `any bytes are read without a trap`() {
        var random = SeededRandom()
        let names = Self.whole.map(\.0) + ["ls-", "ls", "", "ls-originx"]
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
                name.withUnsafeBytes { name in value.withUnsafeBytes { fields.add(name: name, value: $0) } }
            }
            if let header = fields.header() { #expect(header.hops.count <= HeaderFields.hopLimit, "\(random)") }
        }
    }
}
