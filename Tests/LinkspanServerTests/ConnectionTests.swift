import LinkspanCore
import LinkspanServer
import LinkspanWire
import TestSupport
import Testing

@Suite struct ConnectionTests {
    @Test func `a handshake that does not come in time closes with 4005`() async throws {
        try await withServer({ $0.timing.handshakeTimeout = .seconds(5) }) { server, address in
            let client = try await RawClient.open(address)
            #expect(try await client.closeCode() == 4005)
            try await client.disconnected()
            #expect(server.counters.protocolFaults == 1)
        }
    }

    @Test func `a message before the handshake closes with 4009`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.open(address)
            try await client.send("hello")
            #expect(try await client.closeCode() == 4009)
        }
    }

    @Test(arguments: [("#2", "#1"), ("", "")]) func `the first pong tells the dialect and keeps the client`(
        pong: String, ping: String
    ) async throws {
        try await withServer({
            $0.timing.pingTimeoutDisabled = false
            $0.timing.pingInterval = .seconds(1)
            $0.timing.pingTimeout = .seconds(8)
        }) { _, address in
            let client = try await RawClient.ready(address)
            #expect(try await client.next("first ping") == .text(""))
            #expect(try await client.next("second ping") == .text("#1"))
            try await client.send(pong)
            // Nine intervals are longer than the timeout. Pings in both forms may have been on their way before.
            var countInRow = 0
            for _ in 0..<60 where countInRow < 9 {
                let event = try await client.next("ping")
                #expect(event == .text("") || event == .text("#1"))
                guard event == .text(ping) else {
                    countInRow = 0
                    continue
                }
                countInRow += 1
                try await client.send(pong)
            }
            #expect(countInRow == 9)
        }
    }

    @Test func `a client that does not answer pings is closed with 4001, whatever else it sends`() async throws {
        try await withServer({
            $0.timing.pingTimeoutDisabled = false
            $0.timing.pingInterval = .milliseconds(500)
            $0.timing.pingTimeout = .seconds(4)
            $0.protocolChoice = .v2
        }) { _, address in
            let client = try await RawClient.ready(address)
            let chatting = Task { while true { try await client.publish("a", "1") } }
            #expect(try await client.closeCode() == 4001)
            chatting.cancel()
        }
    }

    @Test func `a client that does not answer our close is cut`() async throws {
        try await withServer({ $0.timing.handshakeTimeout = .seconds(5) }) { _, address in
            let client = try await RawClient.open(address, answersClose: false)
            #expect(try await client.closeCode() == 4005)
            try await client.disconnected()
        }
    }

    @Test func `a close is answered in kind and ends the connection`() async throws {
        try await withServer { server, address in
            for code in [1000, 4444] as [UInt16] {
                let client = try await RawClient.ready(address, answersClose: false)
                try await client.close(code)
                #expect(try await client.closeCode() == code)
                try await client.disconnected()
            }
            let client = try await RawClient.ready(address, answersClose: false)
            try await client.send(bytes: RawClient.frame(.close, []))
            #expect(try await client.closeCode() == nil)
            _ = try await eventually("no connection left") { server.counters.connectionsOpen == 0 ? true : nil }
            #expect(server.counters.clientsOpen == 0)
            #expect(server.counters.protocolFaults == 0)
        }
    }

    static let faults: [(String, [UInt8], UInt16)] = [
        ("an unmasked frame", [0x81, 0x01, 0x61], 1002),
        ("a reserved bit", [0xC1, 0x80, 0, 0, 0, 0], 1002),
        ("an unknown opcode", [0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a long ping", RawClient.frame(.ping, [UInt8](repeating: 0, count: 126)), 1002),
        ("a continuation of nothing", RawClient.frame(.continuation, [1]), 1002),
        ("a close with a forbidden code", RawClient.frame(.close, [3, 237]), 1002),
        ("text that is not UTF-8", RawClient.frame(.text, [0x61, 0xFF]), 1007),
        (
            "JSON that is not UTF-8", RawClient.frame(.text, Array(#"{"event":""#.utf8) + [0xC0] + Array(#""}"#.utf8)),
            1007
        ),
        ("too large a message", [0x81, 0xFF, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0], 1009),
    ]

    @Test(arguments: faults) func `a fault of framing closes with its code and harms nobody else`(
        what: String, bytes: [UInt8], code: UInt16
    ) async throws {
        try await withServer { _, address in
            let other = try await RawClient.ready(address)
            let client = try await RawClient.ready(address)
            try await client.send(bytes: bytes)
            #expect(try await client.closeCode() == code, "\(what)")
            try await client.disconnected()
            try await other.publish("a", "1", callID: 5)
            #expect(try await other.nextText() == #"{"rid":5}"#)
        }
    }

    @Test func `frames arrive whole however they are cut`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            let bytes = (1...3).flatMap { RawClient.frame(.text, Array(RawClient.publish("news", "\($0)").utf8)) }
            for byte in bytes { try await client.send(bytes: [byte]) }
            for number in 1...3 { #expect(try await client.nextText() == RawClient.delivery("news", "\(number)")) }
        }
    }

    @Test func `fragments, binary frames and pings between them are understood`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            let text = Array(RawClient.publish("news", #""é☃""#).utf8)
            try await client.send(bytes: RawClient.frame(.text, Array(text[..<50]), isFinal: false))
            try await client.send(bytes: RawClient.frame(.ping, [1, 2, 3]))
            #expect(try await client.next("pong") == .pong([1, 2, 3]))
            try await client.send(bytes: RawClient.frame(.continuation, Array(text[50...])))
            #expect(try await client.nextText() == RawClient.delivery("news", #""é☃""#))
            try await client.send(bytes: RawClient.frame(.binary, Array(RawClient.publish("news", "2").utf8)))
            #expect(try await client.nextText() == RawClient.delivery("news", "2"))
            try await client.send(bytes: RawClient.frame(.binary, [0xFF, 0xFE]))
            try await client.publish("news", "3")
            #expect(try await client.nextText() == RawClient.delivery("news", "3"))
        }
    }

    static let junk = [
        "plain text", "{", "123", "null", "{}", "[]", "[[]]", "\u{FEFF}{}", #"{"event":5}"#, #"{"rid":"x"}"#,
        #"{"event":"unknown","cid":3}"#, String(repeating: "[", count: 20_000), #"{"rid":99,"data":1}"#,
        ##"{"event":"#publish"}"##, ##"{"event":"#unsubscribe","data":1}"##, #"{"event":"chat","data":1}"#,
    ]

    @Test(arguments: [ProtocolChoice.v1, .v2, .auto]) func `junk after the handshake is passed over`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({ $0.protocolChoice = choice }) { _, address in
            let client = try await RawClient.ready(address)
            for message in Self.junk { try await client.send(message) }
            try await client.publish("a", "1", callID: 5)
            #expect(try await client.nextText() == #"{"rid":5}"#)
        }
    }

    @Test func `errors are answered with the words of SocketCluster`() async throws {
        try await withServer({ $0.protocolChoice = .v2 }) { _, address in
            let client = try await RawClient.ready(address)
            try await client.send(##"{"event":"#subscribe","cid":2}"##)
            #expect(
                try await client.nextText()
                    == #"{"rid":2,"error":{"message":"Subscribe channel name was malformatted","name":"InvalidActionError"}}"#
            )
            try await client.send(##"{"event":"#unsubscribe","data":"foo","cid":3}"##)
            #expect(
                try await client.nextText().contains(
                    "tried to unsubscribe from a channel which it is not subscribed to"))
            try await client.send(##"{"event":"#authenticate","data":"a.b.c","cid":4}"##)
            #expect(
                try await client.nextText()
                    == #"{"rid":4,"error":{"message":"invalid token","name":"AuthTokenInvalidError","isBadToken":true}}"#
            )
            #expect(try await client.nextText() == ##"{"event":"#removeAuthToken"}"##)
        }
    }

    @Test func `an array is handled in order, the handshake in it too`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.open(address)
            try await client.send(
                ##"[{"event":"#handshake","cid":1},{"event":"#subscribe","data":{"channel":"a"},"cid":2},[1],{"event":"#publish","data":{"channel":"a","data":1},"cid":3}]"##
            )
            #expect(try await client.nextText().hasPrefix(#"{"rid":1,"#))
            #expect(try await client.nextText() == #"{"rid":2}"#)
            #expect(try await client.nextText() == #"{"rid":3}"#)
            #expect(try await client.nextText() == RawClient.delivery("a", "1"))
        }
    }

    @Test func `protocol 1 hears of its end before the close frame`() async throws {
        try await withServer({
            $0.protocolChoice = .v1
            $0.timing.pingTimeoutDisabled = false
            $0.timing.pingInterval = .milliseconds(500)
            $0.timing.pingTimeout = .seconds(4)
        }) { _, address in
            let client = try await RawClient.ready(address)
            #expect(try await client.nextText() == ##"{"event":"#disconnect","data":{"code":4001}}"##)
            #expect(try await client.closeCode() == 4001)
        }
    }

    @Test func `every connection has an identifier of its own`() async throws {
        try await withServer { _, address in
            var identifiers: Set<String> = []
            for _ in 0..<10 {
                let client = try await RawClient.ready(address)
                let answer = try #require(client.texts.first)
                let range = try #require(answer.firstRange(of: #""id":""#))
                identifiers.insert(String(answer[range.upperBound...].prefix(20)))
            }
            #expect(identifiers.count == 10)
        }
    }
}
