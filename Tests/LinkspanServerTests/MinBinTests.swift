import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct MinBinTests {
    static let choices: [CodecChoice] = [.auto, .minBin]

    @Test(arguments: bothProtocols, choices)
    func `a client shakes hands, subscribes and publishes in binary frames`(
        choice: ProtocolChoice, codec: CodecChoice
    ) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.codec = codec
        }) { _, address in
            let client = try await MinBinClient.open(address)
            try await client.subscribe("foo")
            // {p:["foo",{a:1},3]}
            try await client.sends("81 a170 93 a3666f6f 81a16101 03")
            let came = [try await client.nextBinary(), try await client.nextBinary()]
            #expect(
                Set(came) == [
                    MinBinClient.bytes("81 a172 93 03 c0 c0"), MinBinClient.bytes("81 a170 92 a3666f6f 81a16101"),
                ])
            // [{e:["#unsubscribe","foo",6]},{e:["#unsubscribe","foo",7]}]
            let ending = "81 a165 93 ac23756e737562736372696265 a3666f6f"
            try await client.sends("92 \(ending) 06 \(ending) 07")
            try await client.expects("81 a172 93 06 c0 c0")
            let error = try await client.nextPacket()
            #expect(
                error.hasPrefix(#"{"rid":7,"error":{"message":"Failed to unsubscribe socket from the foo"#), "\(error)")
        }
    }

    @Test func `20: clients of both codecs and both protocols share a channel on one port`() async throws {
        try await withServer({
            $0.timing.pingInterval = .milliseconds(200)
            $0.timing.pingTimeoutDisabled = false
        }) { server, address in
            let binaries = [try await MinBinClient.open(address), try await MinBinClient.open(address)]
            let texts = [try await RawClient.ready(address), try await RawClient.ready(address)]
            // The first pong shows the protocol: `#2` is a string in MessagePack for one of them.
            _ = try await binaries[0].raw.next("ping of protocol 1") { $0 == .binary(MinBinClient.bytes("a2 23 31")) }
            try await binaries[0].sends("a2 23 32")
            try await binaries[1].raw.send("")
            _ = try await texts[0].next("ping of protocol 1") { $0 == .text("#1") }
            try await texts[0].send("#2")
            try await texts[1].send("")
            for text in texts { try await text.subscribe("foo") }
            for binary in binaries {
                try await binary.sends(packet: ##"{"event":"#subscribe","data":{"channel":"foo"},"cid":5}"##)
                _ = try await binary.raw.next("answer") { $0 == .binary(MinBinClient.bytes("81 a172 93 05 c0 c0")) }
            }
            let before = server.counters.deliveries
            try await texts[0].publish("foo", #"{"a":1}"#)
            try await binaries[0].sends("81 a170 92 a3666f6f 93 01 c3 a178")
            for text in texts {
                var came = [try await text.nextText(), try await text.nextText()]
                came.sort()
                #expect(came == [RawClient.delivery("foo", #"[1,true,"x"]"#), RawClient.delivery("foo", #"{"a":1}"#)])
            }
            for binary in binaries {
                for hex in ["81 a170 92 a3666f6f 81a16101", "81 a170 92 a3666f6f 93 01 c3 a178"] {
                    let delivery = RawClient.Event.binary(MinBinClient.bytes(hex))
                    _ = try await binary.raw.log.first("delivery") { $0 == delivery }
                }
            }
            #expect(server.counters.deliveries - before == 8)
        }
    }

    @Test func `one who leaves takes nothing from those who read the other codec`() async throws {
        try await withServer { server, address in
            let text = try await RawClient.ready(address)
            let binary = try await MinBinClient.open(address)
            try await text.subscribe("foo")
            try await binary.subscribe("foo")
            #expect(server.counters.subscriptions == 2)
            try await text.send(##"{"event":"#unsubscribe","data":"foo","cid":2}"##)
            try await text.expects(#"{"rid":2}"#)
            try await text.publish("foo", #"{"a":1}"#)
            try await binary.expects("81 a170 92 a3666f6f 81a16101")
            try await text.subscribe("foo")
            try await binary.raw.disconnect()
            _ = try await eventually("its subscription ended") { server.counters.subscriptions == 1 ? true : nil }
            try await text.publish("foo", "2")
            try await text.expects(RawClient.delivery("foo", "2"))
        }
    }

    @Test(arguments: ["c1", "81 a165 93", "ff", "81 a165 91 05", "00", "c0", "81 a170 90"])
    func `what is no packet is passed over`(hex: String) async throws {
        try await withServer({ $0.codec = .minBin }) { _, address in
            let client = try await MinBinClient.open(address)
            try await client.sends(hex)
            try await client.raw.send("text means nothing here")
            try await client.raw.publish("foo", "1", callID: 9)
            try await client.sends("81 a170 93 a3666f6f 01 05")
            try await client.expects("81 a172 93 05 c0 c0")
        }
    }

    @Test(arguments: ["c1", "81 a165 92 a3666f6f c0"]) func `anything before the handshake closes with 4009`(
        hex: String
    ) async throws {
        try await withServer { _, address in
            let client = MinBinClient(raw: try await RawClient.open(address))
            try await client.sends(hex)
            #expect(try await client.raw.closeCode() == 4009)
        }
    }

    @Test func `a listener for JSON does not take MessagePack`() async throws {
        try await withServer({ $0.codec = .json }) { _, address in
            let client = MinBinClient(raw: try await RawClient.open(address))
            try await client.sends("81 a165 93 aa2368616e647368616b65 81a961757468546f6b656ec0 01")
            #expect(try await client.raw.closeCode() == 4009)
        }
    }
}
