import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import TestSupport
import Testing

@Suite struct BatchingChecks {
    /// Joins what follows a handshake until an array is full, which no clock has a say in.
    private static func fills(at bytes: Int) -> (inout ServerSettings) -> Void {
        { settings in
            settings.batching.onHandshake = true
            settings.batching.handshakeDuration = .seconds(600)
            settings.batching.interval = .seconds(600)
            settings.batching.bytes = bytes
        }
    }

    @Test(arguments: bothProtocols)
    func `27: the handshake's answer stands alone, and what follows leaves as an array when that is full`(
        choice: ProtocolChoice
    ) async throws {
        // Three answers of nine bytes, and two commas.
        try await withConversation(choice, Self.fills(at: 29)) { client, _, _ in
            for callID in 2...4 {
                try await client.send(
                    ##"{"event":"#subscribe","data":{"channel":"\##(callID)"},"cid":\##(callID)}"##)
            }
            #expect(try await client.nextText() == #"[{"rid":2},{"rid":3},{"rid":4}]"#)
            try await client.publish("2", "[1]")
            #expect(try await client.nextText() == "[\(RawClient.delivery("2", "[1]"))]")
        }
    }

    @Test(arguments: bothProtocols)
    func `27: an array leaves when its first packet has waited for the interval`(choice: ProtocolChoice) async throws {
        try await withConversation(
            choice,
            { settings in
                Self.fills(at: 1 << 20)(&settings)
                settings.batching.interval = .milliseconds(20)
            }
        ) { client, _, _ in
            for callID in 2...4 {
                try await client.publish("a", "1", callID: callID)
                #expect(try await client.nextText() == #"[{"rid":\#(callID)}]"#)
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `27: packets go alone again when the time after the handshake is over, and none is lost over it`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(
            choice,
            { settings in
                Self.fills(at: 1 << 20)(&settings)
                settings.batching.handshakeDuration = .milliseconds(50)
            }
        ) { client, _, _ in
            var callID = 1
            var isAlone = false
            while !isAlone {
                callID += 1
                try await client.publish("a", "1", callID: callID)
                let text = try await client.nextText()
                isAlone = text == #"{"rid":\#(callID)}"#
                #expect(isAlone || text == #"[{"rid":\#(callID)}]"#)
            }
            try await client.expectsNothing()
        }
    }

    @Test(arguments: bothProtocols)
    func `27: nothing leaves as an array unless that is configured`(choice: ProtocolChoice) async throws {
        try await withServer({ $0.protocolChoice = choice }) { server, address in
            let client = try await RawClient.ready(address)
            try await client.send(all: (2...9).map { RawClient.publish("a", "1", callID: $0) })
            for callID in 2...9 { try await client.expects(#"{"rid":\#(callID)}"#) }
            #expect(server.counters.batchesSent == 0)
        }
    }

    @Test(arguments: [(ProtocolChoice.v1, "#1", "#2"), (.v2, "", "")])
    func `27: pings do not wait for an array, and a close takes it along`(
        choice: ProtocolChoice, ping: String, pong: String
    ) async throws {
        try await withConversation(
            choice,
            { settings in
                Self.fills(at: 1 << 20)(&settings)
                settings.timing.pingTimeoutDisabled = false
                settings.timing.pingInterval = .milliseconds(100)
            }
        ) { client, _, _ in
            try await client.publish("a", "1", callID: 2)
            for _ in 1...3 {
                _ = try await client.next("ping") { $0 == .text(ping) }
                try await client.send(pong)
            }
            #expect(client.texts.count == 1)
            try await client.close(1000)
            #expect(try await client.nextText() == #"[{"rid":2}]"#)
            #expect(try await client.closeCode() == 1000)
            try await client.disconnected()
        }
    }

    @Test(arguments: bothProtocols)
    func `27: the application has packets of one client joined, and others get them one by one`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) { client, socket, server in
            let other = try await RawClient.ready(try await server.address)
            try await other.subscribe("a")
            try await client.subscribe("a")
            socket.startBatching(interval: .seconds(600))
            // The answer shows that what came before it is done.
            #expect(await socket.channels == [ChannelName("a")])
            socket.transmit("one")
            try await other.publish("a", "2")
            try await other.expects(RawClient.delivery("a", "2"))
            try await other.publish("a", "3", callID: 7)
            let came = [try await other.nextText(), try await other.nextText()]
            #expect(Set(came) == [RawClient.delivery("a", "3"), #"{"rid":7}"#])
            let waiting = [#"{"event":"one"}"#, RawClient.delivery("a", "2"), RawClient.delivery("a", "3")]
            let waitingBytes = waiting.joined(separator: ",").utf8.count
            _ = try await eventually("all three wait") {
                await socket.outbound.queuedBytes == waitingBytes ? true : nil
            }
            socket.stopBatching()
            #expect(try await client.nextText() == "[\(waiting.joined(separator: ","))]")
            socket.transmit("two")
            try await client.expects(#"{"event":"two"}"#)
        }
    }

    @Test func `27: a min-bin client gets an array in MessagePack`() async throws {
        try await withServer({ settings in
            settings.protocolChoice = .v2
            Self.fills(at: 14)(&settings)
        }) { _, address in
            let client = try await MinBinClient.open(address)
            // {e:["#unsubscribe","foo",6]} is answered by an error; publishes by {r:[cid,null,null]}, seven bytes each.
            try await client.sends("81 a170 93 a3666f6f 01 05")
            try await client.sends("81 a170 93 a3666f6f 01 06")
            try await client.expects("92 81 a172 93 05 c0 c0 81 a172 93 06 c0 c0")
        }
    }
}
