import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct BridgingEnvelopeCodecTests {
    private let codec = EnvelopeCodec(dataLimit: 1 << 16, jsonDepth: 16)
    private let header = EnvelopeHeader(
        origin: Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: 42),
        hops: [InstanceID("fra-1")!, InstanceID("ams_2")!], acceptedAt: 1_795_216_176_999)

    private func encoded(_ data: String) -> ByteBuffer {
        var payload = ByteBuffer()
        EnvelopeCodec.encode(self.header, data: ByteBuffer(string: data), into: &payload)
        #expect(payload.readableBytes <= EnvelopeCodec.encodedBound(self.header, data: ByteBuffer(string: data)))
        return payload
    }

    @Test func `the envelope is one line of plain JSON`() {
        #expect(
            String(buffer: self.encoded(#"{"a":1}"#))
                == #"{"linkspan":1,"origin":"fra-1","epoch":1795216176123,"seq":42,"hops":["fra-1","ams_2"],"at":1795216176999,"data":{"a":1}}"#
        )
    }

    @Test func `a publish without data has no data key`() {
        #expect(!String(buffer: self.encoded("")).contains("data"))
        #expect(self.codec.decode(self.encoded(""), header: nil) == .envelope(self.header, ByteBuffer()))
    }

    @Test(arguments: ["null", "1", "\"é\\u0000\"", "[ 1 , 2 ]", #"{"linkspan":1}"#, #"{"a":{"data":2}}"#, "1.50e+07"])
    func `data comes back byte for byte`(data: String) {
        #expect(self.codec.decode(self.encoded(data), header: nil) == .envelope(self.header, ByteBuffer(string: data)))
    }

    @Test func `other writers may space, order and extend it, as long as the first key is ours`() {
        let text = """
             { "linkspan" : 1, "seq":7, "later":{"x":[]}, "data": [1, 2] , "epoch":5,"origin":"fr\\u0061" }
            """
        let header = EnvelopeHeader(
            origin: Origin(instance: InstanceID("fra")!, epoch: 5, sequence: 7), hops: [], acceptedAt: 0)
        #expect(
            self.codec.decode(ByteBuffer(string: text), header: nil) == .envelope(header, ByteBuffer(string: "[1, 2]")))
    }

    @Test(arguments: [
        #"{"linkspan":2,"origin":"a","epoch":1,"seq":1}"#,
        #"{"linkspan":"1","origin":"a","epoch":1,"seq":1}"#,
        #"{"linkspan":1,"origin":"","epoch":1,"seq":1}"#,
        #"{"linkspan":1,"origin":"a b","epoch":1,"seq":1}"#,
        #"{"linkspan":1,"origin":7,"epoch":1,"seq":1}"#,
        #"{"linkspan":1,"origin":"a","epoch":-1,"seq":1}"#,
        #"{"linkspan":1,"origin":"a","epoch":1.5,"seq":1}"#,
        #"{"linkspan":1,"origin":"a","epoch":1,"seq":0}"#,
        #"{"linkspan":1,"origin":"a","epoch":1,"seq":99999999999999999999}"#,
        #"{"linkspan":1,"origin":"a","epoch":1}"#,
        #"{"linkspan":1,"origin":"a","epoch":1,"seq":1,"at":"now"}"#,
        #"{"linkspan":1,"origin":"a","epoch":1,"seq":1,"hops":"a"}"#,
        #"{"linkspan":1,"origin":"a","epoch":1,"seq":1,"hops":["a",null]}"#,
        #"{"linkspan":1,"origin":"a","epoch":1,"seq":1,"hops":["a",""]}"#,
        #"{"linkspan":1}"#,
        #"{"linkspanner":1,"origin":"a","epoch":1,"seq":1}"#,
        #"{"a":0,"linkspan":1,"origin":"a","epoch":1,"seq":1}"#,
    ])
    func `what only looks like an envelope is raw JSON`(text: String) {
        #expect(self.codec.decode(ByteBuffer(string: text), header: nil) == .raw(ByteBuffer(string: text)))
    }

    @Test func `more hops than can be are not believed`() {
        let hops = { (count: Int) in (0..<count).map { "\"i\($0)\"" }.joined(separator: ",") }
        let text = { (count: Int) in
            ByteBuffer(string: #"{"linkspan":1,"origin":"a","epoch":1,"seq":1,"hops":[\#(hops(count))]}"#)
        }
        guard case .envelope(let header, _) = self.codec.decode(text(64), header: nil) else {
            Issue.record("64 hops were refused")
            return
        }
        #expect(header.hops.count == 64)
        #expect(self.codec.decode(text(65), header: nil) == .raw(text(65)))
    }

    @Test func `raw payloads become JSON, each by its kind`() {
        let raw = { (bytes: [UInt8]) in self.codec.decode(ByteBuffer(bytes: bytes), header: nil) }
        #expect(raw(Array(#" {"a":1} "#.utf8)) == .raw(ByteBuffer(string: #" {"a":1} "#)))
        #expect(raw(Array("21.5 °C\n".utf8)) == .raw(ByteBuffer(string: #""21.5 °C\n""#)))
        #expect(raw([0xFF, 0x00, 0x10, 0x83]) == .raw(ByteBuffer(string: #"{"base64":true,"data":"/wAQgw=="}"#)))
        #expect(raw([0xFF]) == .raw(ByteBuffer(string: #"{"base64":true,"data":"/w=="}"#)))
        #expect(raw([0xFB, 0xEF, 0xBE]) == .raw(ByteBuffer(string: #"{"base64":true,"data":"++++"}"#)))
        #expect(raw([]) == .refused(.empty))
    }

    @Test func `with a carried header the payload is the data`() {
        #expect(
            self.codec.decode(ByteBuffer(string: "{}"), header: self.header)
                == .envelope(self.header, ByteBuffer(string: "{}")))
        #expect(self.codec.decode(ByteBuffer(), header: self.header) == .envelope(self.header, ByteBuffer()))
        #expect(
            self.codec.decode(ByteBuffer(string: "hi"), header: self.header)
                == .envelope(self.header, ByteBuffer(string: "\"hi\"")))
        var impossible = self.header
        impossible.origin.sequence = 0
        #expect(self.codec.decode(ByteBuffer(string: "{}"), header: impossible) == .raw(ByteBuffer(string: "{}")))
        #expect(self.codec.decode(ByteBuffer(), header: impossible) == .refused(.empty))
    }

    @Test func `too much and too deep are refused by name`() {
        let big = ByteBuffer(string: "\"" + String(repeating: "x", count: 1 << 16) + "\"")
        #expect(self.codec.decode(big, header: nil) == .refused(.tooLarge))
        #expect(self.codec.decode(ByteBuffer(repeating: 0x01, count: 1 << 15), header: nil) == .refused(.tooLarge))
        let deep = String(repeating: "[", count: 17) + String(repeating: "]", count: 17)
        #expect(self.codec.decode(ByteBuffer(string: deep), header: nil) == .refused(.invalid))
        #expect(self.codec.decode(self.encoded(deep), header: nil) == .refused(.invalid))
        let limit = String(repeating: "[", count: 16) + String(repeating: "]", count: 16)
        #expect(
            self.codec.decode(self.encoded(limit), header: nil) == .envelope(self.header, ByteBuffer(string: limit)))
    }

    @Test func `mutated envelopes never crash and never yield data that is not JSON`() {
        var random = SeededRandom()
        let original = Array(self.encoded(#"{"a":[1,"é",null]}"#).readableBytesView)
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                default: bytes.insert("{}[]\",:0e".utf8.randomElement(using: &random) ?? 0, at: index)
                }
            }
            switch self.codec.decode(ByteBuffer(bytes: bytes), header: nil) {
            case .envelope(let header, let data):
                #expect(header.origin.sequence > 0)
                let again = self.codec.decode(data, header: header)
                #expect(again == .envelope(header, data), "seed \(random.seed)")
            case .raw(let data):
                #expect(
                    self.codec.decode(data, header: self.header) == .envelope(self.header, data), "seed \(random.seed)")
            case .refused:
                break
            }
        }
    }
}
