import LinkspanBridgeKit
import LinkspanCore
import TestSupport
import Testing

@Suite struct BridgingHeaderTextTests {
    private static func header(
        _ origin: String = "fra-1", epoch: UInt64 = 1_795_216_176_123, _ sequence: UInt64 = 7, hops: [String]? = nil,
        at: UInt64 = 1_795_216_180_456
    ) -> EnvelopeHeader {
        EnvelopeHeader(
            origin: Origin(instance: InstanceID(origin)!, epoch: epoch, sequence: sequence),
            hops: (hops ?? [origin]).map { InstanceID($0)! }, acceptedAt: at)
    }

    private static func text(_ header: EnvelopeHeader, _ writer: inout HeaderText) -> String? {
        writer.write(header).map { String(decoding: $0.text, as: UTF8.self) }
    }

    private static func read(_ text: some Collection<UInt8>, _ reader: inout HeaderReader) -> EnvelopeHeader? {
        Array(text).withUnsafeBytes { reader.header($0) }
    }

    private static func read(_ text: String) -> EnvelopeHeader? {
        var reader = HeaderReader()
        return Self.read(text.utf8, &reader)
    }

    @Test func `a message straight from its origin names no hops`() {
        var writer = HeaderText()
        #expect(Self.text(Self.header(), &writer) == "fra-1/1795216176123/7/1795216180456")
        #expect(Self.read("fra-1/1795216176123/7/1795216180456") == Self.header())
    }

    @Test(arguments: [
        ([], "fra-1/1/2/3/"), (["ams-1"], "fra-1/1/2/3/ams-1"), (["fra-1", "ams-1"], "fra-1/1/2/3/fra-1,ams-1"),
    ])
    func `other hops are all named`(hops: [String], text: String) {
        var writer = HeaderText()
        let header = Self.header(epoch: 1, 2, hops: hops, at: 3)
        #expect(Self.text(header, &writer) == text)
        #expect(Self.read(text) == header)
    }

    @Test func `what is written is read, whatever came before`() {
        var random = SeededRandom()
        var writer = HeaderText()
        var reader = HeaderReader()
        let names = ["a", "b.c", String(repeating: "x", count: 64), "fra-1", "fra-10"]
        for _ in 0..<5_000 {
            let hopCount = [0, 1, 2, HeaderFields.hopLimit, HeaderFields.hopLimit + 1].randomElement(using: &random)!
            let origin = names.randomElement(using: &random)!
            let header = Self.header(
                origin, epoch: [0, 7, .max].randomElement(using: &random)!,
                [1, 9, 10, 99, .max].randomElement(using: &random)!,
                hops: Bool.random(using: &random)
                    ? [origin] : (0..<hopCount).map { _ in names.randomElement(using: &random)! },
                at: [0, 1_795_216_180_456, .max].randomElement(using: &random)!)
            guard let text = Self.text(header, &writer) else {
                #expect(header.hops.count > HeaderFields.hopLimit, "\(random)")
                continue
            }
            #expect(text.utf8.count <= HeaderText.limit)
            #expect(Self.read(text.utf8, &reader) == header, "\(random)")
        }
    }

    @Test func `the identity is what stands before the time, and a byte zero ends the text`() throws {
        var writer = HeaderText()
        let written = writer.write(Self.header(hops: ["fra-1", "b"]))
        let (text, length) = try #require(written)
        #expect(String(decoding: text[..<length], as: UTF8.self) == "fra-1/1795216176123/7")
        #expect(String(cString: text.baseAddress!.assumingMemoryBound(to: CChar.self)).utf8.count == text.count)
    }

    @Test(arguments: [
        "", "/", "////", "fra-1", "fra-1/1", "fra-1/1/2", "fra-1/1/2/", "/1/2/3", "fra-1//2/3", "fra-1/1//3",
        "fra-1/1/0/3",
        "fra-1/-1/2/3", "fra-1/1/+2/3", "fra-1/1/2/ 3", "fra-1/1/2/3.0", "fra-1/18446744073709551616/2/3",
        "fra-1/000000000000000000001/2/3", "fra 1/1/2/3", "\u{E9}/1/2/3", "fra-1,b/1/2/3", "fra-1/1/2/3/,",
        "fra-1/1/2/3/a,", "fra-1/1/2/3/a,,b", "fra-1/1/2/3/a b", "fra-1/1/2/3/a/", "fra-1/1/2/3/a/b",
        "fra-1/1/2/3/\u{0}", "fra-1/1/2/3\n",
        String(repeating: "x", count: 65) + "/1/2/3",
        "a/1/2/3/" + Array(repeating: "a", count: 65).joined(separator: ","),
    ])
    func `a damaged text is no header, and disturbs none`(text: String) {
        #expect(Self.read(text) == nil)
        var reader = HeaderReader()
        #expect(Self.read("fra-1/1/2/3".utf8, &reader) != nil)
        #expect(Self.read(text.utf8, &reader) == nil)
        #expect(Self.read("fra-1/1/2/3".utf8, &reader) == Self.header(epoch: 1, 2, at: 3))
    }

    @Test func `a header in both forms is none`() {
        var reader = HeaderReader()
        Array("a/1/2/3".utf8).withUnsafeBytes { text in
            #expect(reader.header(from: HeaderFields(text: text)) == Self.header("a", epoch: 1, 2, at: 3))
            #expect(reader.header(from: HeaderFields(text: text, sequence: 2)) == nil)
        }
    }

    @Test func `any bytes are read without a trap, and what is believed can be written`() {
        var random = SeededRandom()
        var writer = HeaderText()
        var reader = HeaderReader()
        let seeds = ["fra-1/1795216176123/7/1795216180456", "a/1/2/3/a,b,c", "a/1/2/3/"].map { Array($0.utf8) }
        var believed = 0
        for _ in 0..<20_000 {
            var bytes = seeds.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let index = Int.random(in: 0..<max(1, bytes.count), using: &random)
                let byte = [
                    UInt8(ascii: "/"), UInt8(ascii: ","), UInt8(ascii: "0"), UInt8.random(in: 0...255, using: &random),
                ].randomElement(using: &random)!
                switch Int.random(in: 0...2, using: &random) {
                case 0 where index < bytes.count: bytes[index] = byte
                case 1 where index < bytes.count: bytes.remove(at: index)
                default: bytes.insert(byte, at: min(index, bytes.count))
                }
            }
            guard let header = Self.read(bytes, &reader) else { continue }
            believed += 1
            #expect(header.origin.sequence > 0 && header.hops.count <= HeaderFields.hopLimit, "\(random)")
            let text = Self.text(header, &writer) ?? ""
            #expect(Self.read(text) == header, "\(random)")
        }
        #expect(believed > 0)
    }

    // MARK: Loops

    @Test func `a header without hops is of its origin's, who drops it`() {
        let header = Self.read("fra-1/1/2/3")!
        #expect(HopGuard(instance: InstanceID("fra-1")!).judge(header, limit: 4) == .looped)
        #expect(HopGuard(instance: InstanceID("ams-1")!).judge(header, limit: 4) == .passes)
        #expect(HopGuard(instance: InstanceID("ams-1")!).judge(header, limit: 0) == .tooManyHops)
    }

    /// Each instance reads the text, judges it, and writes it again for the next one in the ring, as bridges with `transit` do.
    @Test func `no text that anybody may forge goes round a ring twice`() {
        var random = SeededRandom()
        let ring = (0..<5).map { InstanceID("site-\($0)")! }
        let names = ring.map(\.string) + ["stranger", "", "site-9"]
        var longest = 0
        for _ in 0..<5_000 {
            let hops = (0..<Int.random(in: 0...4, using: &random)).map { _ in names.randomElement(using: &random)! }
            var text = names.randomElement(using: &random)! + "/1/2/3"
            if Bool.random(using: &random) { text += "/" + hops.joined(separator: ",") }
            let limit = Int.random(in: 1...HeaderFields.hopLimit, using: &random)
            var carriers: [InstanceID] = []
            var at = Int.random(in: 0..<ring.count, using: &random)
            var reader = HeaderReader()
            var writer = HeaderText()
            // A raw message goes no further either.
            while let header = Self.read(text.utf8, &reader) {
                let hopGuard = HopGuard(instance: ring[at])
                guard hopGuard.judge(header, limit: limit) == .passes,
                    let onward = Self.text(hopGuard.leaving(header), &writer)
                else { break }
                carriers.append(ring[at])
                text = onward
                at = (at + 1) % ring.count
                guard carriers.count <= ring.count else { break }
            }
            #expect(carriers.count == Set(carriers).count, "\(random)")
            longest = max(longest, carriers.count)
        }
        #expect(longest == ring.count)
    }
}
