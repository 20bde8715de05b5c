import LinkspanWire
import NIOCore
import TestSupport
import Testing

/// A client that writes MessagePack by hand; what it shows was captured from sc-codec-min-bin 3.0.
struct MinBinClient {
    let raw: RawClient

    static func open(_ address: SocketAddress, fields: String = "") async throws -> MinBinClient {
        let client = MinBinClient(raw: try await RawClient.open(address, fields: fields))
        // {e:["#handshake",{authToken:null},1]}
        try await client.sends("81 a165 93 aa2368616e647368616b65 81a961757468546f6b656ec0 01")
        let answer = try await client.nextPacket()
        #expect(answer.hasPrefix(#"{"rid":1,"error":null,"data":{"id":""#), "\(answer)")
        #expect(answer.hasSuffix(#"","pingTimeout":20000,"isAuthenticated":false}}"#), "\(answer)")
        return client
    }

    func sends(_ hex: String) async throws {
        try await self.raw.send(bytes: RawClient.frame(.binary, Self.bytes(hex)))
    }

    /// The packet that is this JSON text.
    func sends(packet: String) async throws {
        try await self.raw.send(bytes: RawClient.frame(.binary, try Self.encoded(packet)))
    }

    /// Pings that were due before the first message told the codec are text, in both protocols' forms.
    func nextBinary() async throws -> [UInt8] {
        let event = try await self.raw.next("binary frame") { $0 != .text("") && $0 != .text("#1") }
        guard case .binary(let bytes) = event else {
            throw TimedOut(what: "binary frame", limit: nil, seen: "\(event)")
        }
        return bytes
    }

    func nextPacket() async throws -> String {
        let bytes = try await self.nextBinary()
        return try Self.decoded(bytes)
    }

    func expects(_ hex: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let bytes = try await self.nextBinary()
        #expect(bytes == Self.bytes(hex), sourceLocation: sourceLocation)
    }

    func subscribe(_ channel: String) async throws {
        try await self.sends(packet: ##"{"event":"#subscribe","data":{"channel":"\##(channel)"},"cid":5}"##)
        // {r:[5,null,null]}
        try await self.expects("81 a172 93 05 c0 c0")
    }

    static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.filter { $0 != UInt8(ascii: " ") }
        return stride(from: 0, to: digits.count, by: 2).map { index in
            UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) ?? 0
        }
    }

    static func encoded(_ packet: String) throws -> [UInt8] {
        try Array(packet.utf8).withUnsafeBytes { text in
            var bytes: [UInt8] = []
            try MinBinCodec().encode(text.bytes, into: &bytes)
            return bytes
        }
    }

    static func decoded(_ message: [UInt8]) throws -> String {
        try message.withUnsafeBytes { bytes in
            var text: [UInt8] = []
            try MinBinCodec().decode(bytes.bytes, into: &text)
            return String(decoding: text, as: UTF8.self)
        }
    }
}
