import LinkspanCore
import LinkspanServer
import NIOCore
import TestSupport
import Testing

@Suite struct OpeningChecks {
    private func answer(_ address: SocketAddress, path: String = "/socketcluster/", fields: String = "") async throws
        -> String
    {
        let client = try await RawClient.connect(address)
        try await client.send(bytes: Array(RawClient.request(path: path, fields: fields).utf8))
        guard case .response(let response) = try await client.next("answer to the upgrade") else { return "" }
        return response
    }

    @Test(arguments: bothProtocols)
    func `1: the path upgrades, with a query too; other paths are a bad request; a subprotocol only when offered`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({ $0.protocolChoice = choice }) { _, address in
            for path in ["/socketcluster/", "/socketcluster/?token=a&b=%20", "/socketcluster"] {
                let response = try await self.answer(address, path: path)
                #expect(response.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"), "\(path)")
                #expect(!response.contains("Sec-WebSocket-Protocol"))
                #expect(!response.contains("Sec-WebSocket-Extensions"))
            }
            for path in ["/", "/socketcluster/more", "/other/", "/SOCKETCLUSTER/"] {
                let response = try await self.answer(address, path: path)
                #expect(response.hasPrefix("HTTP/1.1 400 Bad Request\r\n"), "\(path)")
                #expect(response.contains("\r\nContent-Type: text/html\r\n"))
                #expect(response.hasSuffix("\r\n\r\nBad Request"))
            }
            let offered = try await self.answer(address, fields: "Sec-WebSocket-Protocol: aaa,bbb\r\n")
            #expect(offered.contains("\r\nSec-WebSocket-Protocol: aaa\r\n"))
        }
    }

    @Test(arguments: bothProtocols)
    func `2: a listed origin passes; others, none and those that contain a listed one are refused with 403`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.origins = ["https://app.example.com", "http://other.com:8080"]
        }) { _, address in
            let allowed = try await self.answer(address, fields: "Origin: https://app.example.com\r\n")
            #expect(allowed.hasPrefix("HTTP/1.1 101 "))
            let refused = [
                ("Origin: http://evil.org\r\n", "http://evil.org"), ("", "*"), ("Origin: null\r\n", "null"),
                ("Origin: http://other.com\r\n", "http://other.com"),
                ("Origin: https://app.example.com.evil.org\r\n", "https://app.example.com.evil.org"),
            ]
            for (field, shown) in refused {
                let response = try await self.answer(address, fields: field)
                #expect(response.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
                #expect(response.contains("\r\nContent-Type: text/html"))
                #expect(
                    response.hasSuffix("\r\n\r\nFailed to authorize socket handshake - Invalid origin: \(shown)"))
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `3: the handshake is answered under its call ID, without data too, with an identifier of its own`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({ $0.protocolChoice = choice }) { _, address in
            let first = try await RawClient.open(address)
            let second = try await RawClient.open(address)
            let third = try await RawClient.open(address)
            let firstID = try await first.shakesHands(callID: 1)
            let secondID = try await second.shakesHands(callID: 77)
            try await third.send(##"{"event":"#handshake","cid":3}"##)
            let thirdID = try await third.expectsHandshake(callID: 3)
            #expect(Set([firstID, secondID, thirdID]).count == 3)
            // What is as good as no token in JavaScript is none.
            for token in ["\"\"", "false", "0"] {
                let client = try await RawClient.open(address)
                try await client.send(##"{"event":"#handshake","data":{"authToken":\##(token)},"cid":4}"##)
                try await client.expectsHandshake(callID: 4)
                try await client.expectsNothing()
            }
        }
    }

    @Test(arguments: [##"{"event":"#handshake","data":{}}"##, ##"{"event":"#handshake","data":{},"cid":"a"}"##])
    func `4: protocol 2 closes a handshake without a numeric call ID with 4008`(handshake: String) async throws {
        try await withServer({ $0.protocolChoice = .v2 }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(handshake)
            try await client.expectsClose(4008)
        }
    }

    @Test func `4: protocol 1 takes a handshake without call ID silently, and echoes a string`() async throws {
        try await withServer({ $0.protocolChoice = .v1 }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(##"{"event":"#handshake","data":{}}"##)
            try await client.expectsNothing()
            try await client.publish("a", "1", callID: 2)
            try await client.expects(#"{"rid":2}"#)

            let other = try await RawClient.open(address)
            try await other.send(##"{"event":"#handshake","data":{},"cid":"a"}"##)
            #expect(try await other.nextText().hasPrefix(#"{"rid":"a","data":{"id":""#))
        }
    }

    @Test(arguments: bothProtocols)
    func `5: a client that does not shake hands in time is closed with 4005`(choice: ProtocolChoice) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.timing.handshakeTimeout = .seconds(5)
        }) { _, address in
            let client = try await RawClient.open(address)
            if choice == .v1 { try await client.expects(##"{"event":"#disconnect","data":{"code":4005}}"##) }
            try await client.expectsClose(4005)
        }
    }

    private static let early = [
        #"{"event":"chat","data":1}"#, #"{"event":"chat","data":1,"cid":1}"#, "junk", #"{"event":"#, #"{"rid":1}"#,
        "123",
    ]

    @Test(arguments: bothProtocols, early)
    func `6: whatever comes before the handshake closes with 4009`(
        choice: ProtocolChoice, message: String
    ) async throws {
        try await withServer({ $0.protocolChoice = choice }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(message)
            try await client.expectsClose(4009)
        }
    }

    @Test(arguments: [(ProtocolChoice.v1, "#2"), (.v2, "")]) func `6: so does a pong`(
        choice: ProtocolChoice, pong: String
    ) async throws {
        try await withServer({ $0.protocolChoice = choice }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(pong)
            try await client.expectsClose(4009)
        }
    }

    @Test(arguments: bothProtocols)
    func `6: without strict handshake a client may publish before it, and not subscribe`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.requiresHandshakeFirst = false
        }) { _, address in
            let subscriber = try await RawClient.ready(address)
            try await subscriber.subscribe("news")
            let client = try await RawClient.open(address)
            for message in Self.early + ["", "#2"] { try await client.send(message) }
            try await client.send(##"{"event":"#subscribe","data":{"channel":"news"},"cid":2}"##)
            try await client.expects(
                failure(
                    2, "InvalidActionError",
                    "Cannot subscribe socket to a channel before it has completed the handshake"))
            try await client.publish("news", #""early""#, callID: 3)
            try await client.expects(#"{"rid":3}"#)
            try await subscriber.expects(RawClient.delivery("news", #""early""#))
            try await client.shakesHands(callID: 4)
        }
    }

    @Test(arguments: bothProtocols)
    func `36: what a client had queued follows its handshake and subscriptions, and is handled after them`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({ $0.protocolChoice = choice }) { _, address in
            let client = try await RawClient.open(address)
            let channels = ["a", "b"]
            try await client.send(
                all: [##"{"event":"#handshake","data":{"authToken":null},"cid":57}"##]
                    + channels.enumerated().map { index, name in
                        ##"{"event":"#subscribe","data":{"channel":"\##(name)"},"cid":\##(58 + index)}"##
                    } + channels.map { RawClient.publish($0, #""queued""#) })
            try await client.expectsHandshake(callID: 57)
            for callID in [58, 59] { try await client.expects(#"{"rid":\#(callID)}"#) }
            let came = [try await client.nextText(), try await client.nextText()]
            #expect(Set(came) == Set(channels.map { RawClient.delivery($0, #""queued""#) }))
        }
    }

    private static let handshakeAndSubscription =
        ##"[{"event":"#handshake","cid":1},{"event":"#subscribe","data":{"channel":"a"},"cid":2}]"##

    @Test func `7: a handshake and a subscription in one array are answered in order`() async throws {
        try await withServer({ $0.protocolChoice = .v2 }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(Self.handshakeAndSubscription)
            try await client.expectsHandshake(callID: 1)
            try await client.expects(#"{"rid":2}"#)
            try await client.publish("a", "1")
            try await client.expects(RawClient.delivery("a", "1"))
        }
    }

    @Test func `7: protocol 1 knows no handshake in an array`() async throws {
        try await withServer({ $0.protocolChoice = .v1 }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(Self.handshakeAndSubscription)
            try await client.expectsClose(4009)
        }
    }
}
