import LinkspanCore
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@testable import LinkspanServer

@Suite struct CompressionTests {
    private static let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

    /// A WebSocket after the handshake, whose upgrade was answered like this.
    private func ready(_ address: SocketAddress, fields: String) async throws -> (client: RawClient, upgrade: String) {
        let client = try await RawClient.connect(address)
        try await client.send(bytes: Array(RawClient.request(fields: fields).utf8))
        guard case .response(let upgrade) = try await client.next("upgrade") else {
            throw TimedOut(what: "upgrade", limit: nil, seen: "\(client.log.events)")
        }
        try await client.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
        _ = try await client.nextText("handshake's answer") { $0.contains("isAuthenticated") }
        return (client, upgrade)
    }

    private static func inflated(_ bytes: [UInt8]) throws -> [UInt8] {
        try bytes.withUnsafeBytes { bytes in
            let block = try Inflater().inflate(bytes, limit: 64 << 20)
            return Array(UnsafeRawBufferPointer(start: block.base, count: block.count))
        }
    }

    private static func deflated(_ text: String) throws -> [UInt8] {
        let block = FrameBlock()
        let deflater = try #require(Deflater(CompressionSettings()))
        #expect(Array(text.utf8).withUnsafeBytes { deflater.deflate($0, into: block) })
        return Array(UnsafeRawBufferPointer(start: block.base, count: block.count))
    }

    private func nextCompressed(_ client: RawClient) async throws -> (WebSocketMessageKind, [UInt8]) {
        let event = try await client.next("compressed message") { event in
            if case .compressed = event { true } else { event == .disconnected }
        }
        guard case .compressed(let kind, let bytes) = event else {
            throw TimedOut(what: "compressed message", limit: nil, seen: "\(client.log.events)")
        }
        return (kind, bytes)
    }

    private static let long = #"{"text":"\#(String(repeating: "all work and no play ", count: 200))"}"#

    @Test func `it is agreed on only with clients that offer it where the listener does`() async throws {
        try await withServer({ $0.compression = CompressionSettings() }) { _, address in
            let agreed = try await self.ready(address, fields: Self.offer)
            #expect(
                agreed.upgrade.contains(
                    "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                        + "client_no_context_takeover\r\n"))
            let silent = try await self.ready(address, fields: "")
            #expect(!silent.upgrade.contains("Extensions"))
            let odd = try await self.ready(address, fields: "Sec-WebSocket-Extensions: permessage-deflate; x\r\n")
            #expect(!odd.upgrade.contains("Extensions"))
        }
        try await withServer { _, address in
            let refused = try await self.ready(address, fields: Self.offer)
            #expect(!refused.upgrade.contains("Extensions"))
        }
    }

    @Test(arguments: [1, 3])
    func `subscribers with and without it get the same publishes, each compressed once`(loops: Int) async throws {
        try await withServer({
            $0.compression = CompressionSettings(level: 6, minimumBytes: 200)
            $0.eventLoops = loops
        }) { server, address in
            var compressed: [RawClient] = []
            for _ in 0..<4 { compressed.append(try await self.ready(address, fields: Self.offer).client) }
            let plain = try await RawClient.ready(address)
            for client in compressed + [plain] { try await client.subscribe("news") }
            try await plain.publish("news", Self.long)
            try await plain.publish("news", "1")
            let delivery = RawClient.delivery("news", Self.long)
            var seen: Set<[UInt8]> = []
            for client in compressed {
                let (kind, bytes) = try await self.nextCompressed(client)
                #expect(kind == .text)
                #expect(try Self.inflated(bytes) == Array(delivery.utf8))
                #expect(bytes.count < delivery.utf8.count / 10)
                seen.insert(bytes)
                #expect(try await client.nextText() == RawClient.delivery("news", "1"))
            }
            #expect(seen.count == 1)
            #expect(try await plain.nextText() == delivery)
            #expect(try await plain.nextText() == RawClient.delivery("news", "1"))
            #expect(server.counters.messagesCompressed == 1)
            #expect(server.counters.deliveries == 10)
        }
    }

    @Test func `compressed messages of clients are taken, in fragments and between plain ones too`() async throws {
        try await withServer({ $0.compression = CompressionSettings(minimumBytes: 1 << 20) }) { server, address in
            let (client, _) = try await self.ready(address, fields: Self.offer)
            try await client.subscribe("news")
            let first = try Self.deflated(RawClient.publish("news", Self.long))
            try await client.send(bytes: RawClient.frame(.text, first, isCompressed: true))
            #expect(try await client.nextText() == RawClient.delivery("news", Self.long))
            try await client.publish("news", "2")
            #expect(try await client.nextText() == RawClient.delivery("news", "2"))
            let third = try Self.deflated(RawClient.publish("news", #""three""#, callID: 3))
            let pieces = stride(from: 0, to: third.count, by: 20).map { Array(third[$0..<min($0 + 20, third.count)]) }
            for (index, piece) in pieces.enumerated() {
                try await client.send(
                    bytes: RawClient.frame(
                        index == 0 ? .text : .continuation, piece, isFinal: index == pieces.count - 1,
                        isCompressed: index == 0))
            }
            #expect(try await client.nextText { $0.contains("three") } == RawClient.delivery("news", #""three""#))
            #expect(server.counters.messagesInflated == 2)
        }
    }

    @Test func `what would inflate past the limit of a message closes with 1009, and others go on`() async throws {
        try await withServer({
            $0.compression = CompressionSettings()
            $0.limits.messageBytes = 10_000
        }) { _, address in
            let (witness, _) = try await self.ready(address, fields: Self.offer)
            try await witness.subscribe("news")
            let (client, _) = try await self.ready(address, fields: Self.offer)
            let bomb = try Self.deflated(
                RawClient.publish("news", "\"" + String(repeating: " ", count: 1 << 20) + "\""))
            #expect(bomb.count < 10_000)
            try await client.send(bytes: RawClient.frame(.text, bomb, isCompressed: true))
            #expect(try await client.closeCode() == 1009)
            let fits = try Self.deflated(RawClient.publish("news", "\"" + String(repeating: " ", count: 9000) + "\""))
            try await witness.send(bytes: RawClient.frame(.text, fits, isCompressed: true))
            let (_, bytes) = try await self.nextCompressed(witness)
            #expect(try Self.inflated(bytes).count > 9000)
        }
    }

    @Test func `what is no deflate closes with 1007, and a compressed frame without agreement with 1002`() async throws
    {
        try await withServer({ $0.compression = CompressionSettings() }) { _, address in
            let (client, _) = try await self.ready(address, fields: Self.offer)
            try await client.send(bytes: RawClient.frame(.text, [0xFF, 0xFF, 0xFF], isCompressed: true))
            #expect(try await client.closeCode() == 1007)
            let (control, _) = try await self.ready(address, fields: Self.offer)
            try await control.send(bytes: RawClient.frame(.ping, [1], isCompressed: true))
            #expect(try await control.closeCode() == 1002)
            let stranger = try await RawClient.ready(address)
            let message = try Self.deflated(RawClient.publish("news", "1"))
            try await stranger.send(bytes: RawClient.frame(.text, message, isCompressed: true))
            #expect(try await stranger.closeCode() == 1002)
        }
    }

    @Test func `compressed text that is no UTF-8 closes with 1007`() async throws {
        try await withServer({ $0.compression = CompressionSettings() }) { _, address in
            let (client, _) = try await self.ready(address, fields: Self.offer)
            // A stored block of two bytes that are no UTF-8.
            try await client.send(
                bytes: RawClient.frame(.text, [0x00, 0x02, 0x00, 0xFD, 0xFF, 0xC3, 0x28, 0x00], isCompressed: true))
            #expect(try await client.closeCode() == 1007)
        }
    }

    @Test func `clients with min-bin get their packets compressed, in binary frames`() async throws {
        try await withServer({ $0.compression = CompressionSettings() }) { _, address in
            let client = try await MinBinClient.open(address, fields: Self.offer)
            try await client.subscribe("news")
            let publisher = try await RawClient.ready(address)
            try await publisher.subscribe("news")
            try await publisher.publish("news", Self.long)
            let (kind, bytes) = try await self.nextCompressed(client.raw)
            #expect(kind == .binary)
            #expect(try MinBinClient.decoded(try Self.inflated(bytes)) == RawClient.delivery("news", Self.long))
            #expect(try await publisher.nextText() == RawClient.delivery("news", Self.long))
        }
    }

    @Test func `long answers are compressed, short ones are not`() async throws {
        let application = Application { $0.procedure("echo") { call in call.data } }
        try await withServer(application: application, { $0.compression = CompressionSettings() }) { _, address in
            let (client, _) = try await self.ready(address, fields: Self.offer)
            try await client.send(#"{"event":"echo","data":1,"cid":5}"#)
            #expect(try await client.nextText() == #"{"rid":5,"data":1}"#)
            try await client.send(#"{"event":"echo","data":\#(Self.long),"cid":6}"#)
            let (_, bytes) = try await self.nextCompressed(client)
            #expect(try Self.inflated(bytes) == Array(#"{"rid":6,"data":\#(Self.long)}"#.utf8))
        }
    }

    @Test func `listeners compress each in their own way`() async throws {
        try await withServer({
            $0.compression = CompressionSettings(level: 9, minimumBytes: 300)
            var second = ListenerSettings(port: 0)
            second.host = "127.0.0.1"
            second.compression = CompressionSettings(level: 1, minimumBytes: 1 << 20)
            $0.moreListeners = [second]
        }) { server, address in
            let addresses = try await server.addresses
            let (small, _) = try await self.ready(addresses[0], fields: Self.offer)
            let (plain, _) = try await self.ready(addresses[1], fields: Self.offer)
            for client in [small, plain] { try await client.send(##"{"event":"#subscribe","data":"news"}"##) }
            try await plain.publish("news", Self.long)
            let delivery = RawClient.delivery("news", Self.long)
            #expect(try Self.inflated(try await self.nextCompressed(small).1) == Array(delivery.utf8))
            #expect(try await plain.nextText() == delivery)
        }
    }
}
