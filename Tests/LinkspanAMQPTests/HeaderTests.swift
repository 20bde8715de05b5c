import LinkspanBridgeKit
import Testing

@testable import LinkspanAMQP

struct HeaderTests {
    private func header(
        origin: String? = "fra-1", epoch: UInt64? = 7, sequence: UInt64? = 3, hops: String? = "fra-1,ams.2",
        acceptedAt: UInt64? = 9
    ) -> EnvelopeHeader? {
        let originBytes = origin.map { Array($0.utf8) }
        let hopBytes = hops.map { Array($0.utf8) }
        func bytes<Result>(_ array: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Result) -> Result {
            guard let array else { return body(nil) }
            return array.withUnsafeBytes { body($0) }
        }
        return bytes(originBytes) { origin in
            bytes(hopBytes) { hops in
                var reader = HeaderReader()
                let fields = HeaderFields(
                    origin: origin, epoch: epoch, sequence: sequence, hops: hops, acceptedAt: acceptedAt)
                let header = reader.header(from: fields)
                // Once more, from memory.
                #expect(reader.header(from: fields) == header)
                return header
            }
        }
    }

    @Test func `five well-formed fields are a header`() {
        let header = EnvelopeHeader(
            origin: Origin(instance: InstanceID("fra-1")!, epoch: 7, sequence: 3),
            hops: [InstanceID("fra-1")!, InstanceID("ams.2")!], acceptedAt: 9)
        #expect(self.header() == header)
        #expect(self.header(hops: "")?.hops == [])
    }

    @Test func `a damaged header makes the message raw`() {
        #expect(self.header(origin: nil) == nil)
        #expect(self.header(origin: "") == nil)
        #expect(self.header(origin: "a b") == nil)
        #expect(self.header(origin: String(repeating: "x", count: 65)) == nil)
        #expect(self.header(epoch: nil) == nil)
        #expect(self.header(sequence: nil) == nil)
        #expect(self.header(sequence: 0) == nil)
        #expect(self.header(hops: nil) == nil)
        #expect(self.header(hops: ",") == nil)
        #expect(self.header(hops: "a,,b") == nil)
        #expect(self.header(hops: "a,\u{0}") == nil)
        #expect(self.header(hops: Array(repeating: "a", count: 65).joined(separator: ",")) == nil)
        #expect(self.header(acceptedAt: nil) == nil)
    }

    @Test func `a hostile header between two good ones disturbs neither`() {
        var reader = HeaderReader()
        func read(_ origin: String, _ hops: String) -> EnvelopeHeader? {
            Array(origin.utf8).withUnsafeBytes { origin in
                Array(hops.utf8).withUnsafeBytes { hops in
                    reader.header(
                        from: HeaderFields(origin: origin, epoch: 1, sequence: 1, hops: hops, acceptedAt: 1))
                }
            }
        }
        #expect(read("a", "a") != nil)
        #expect(read("a", ",,") == nil)
        #expect(read("/", "a") == nil)
        #expect(read("a", "a") != nil)
    }

    @Test(
        arguments: [
            ("0", 0), ("18446744073709551615", .max), ("18446744073709551616", nil), ("99999999999999999999", nil),
            ("000000000000000000001", nil), ("-1", nil), ("+1", nil), (" 1", nil), ("1.0", nil), ("", nil),
            ("0x10", nil),
        ] as [(String, UInt64?)])
    func `numbers as text are plain decimal`(_ text: String, _ number: UInt64?) {
        #expect(Array(text.utf8).withUnsafeBytes { HeaderFields.number($0) } == number)
    }

    @Test func `a message id names its message and no other`() {
        func matches(_ id: String, _ message: EgressMessage) -> Bool {
            Array(id.utf8).withUnsafeBytes { MessageID($0)?.isOf(message) ?? false }
        }
        let header = EnvelopeHeader(
            origin: Origin(instance: InstanceID("a.b")!, epoch: 7, sequence: 12), hops: [], acceptedAt: 0)
        #expect(matches("a.b/7/12", message(1, header: header)))
        #expect(matches("a.b/7/12/9", message(1, header: header)))
        #expect(matches("a.b/7/12/9/a.b,c", message(1, header: header)))
        #expect(!matches("a.b/7/13", message(1, header: header)))
        #expect(!matches("a.b/8/12", message(1, header: header)))
        #expect(!matches("a.c/7/12", message(1, header: header)))
        #expect(!matches("ticket/1", message(1, header: header)))
        #expect(matches("ticket/1", message(1)))
        #expect(!matches("ticket/2", message(1)))
        for id in ["", "/", "//", "///", "a.b/7/12/", "a.b/x/12", "ticket/", "ticket/-1", "ticket"] {
            #expect(!matches(id, message(1, header: header)))
            #expect(!matches(id, message(1)))
        }
    }

    @Test func `RabbitMQ's words tell a forbidden key from a forbidden exchange`() {
        func topic(_ code: Int, _ text: String) -> String? {
            Closure(code: code, text: text, classID: 60, methodID: 40).forbiddenTopic
        }
        #expect(
            topic(
                403,
                "ACCESS_REFUSED - access to topic 'sc.o'x' in exchange 'linkspan' in vhost '/' refused for user 'b'")
                == "sc.o'x")
        #expect(topic(403, "ACCESS_REFUSED - access to exchange 'topic' in vhost '/' refused for user 'b'") == nil)
        #expect(topic(404, "NOT_FOUND - no exchange 'topic 'a' in exchange '' in vhost '/'") == nil)
    }
}
