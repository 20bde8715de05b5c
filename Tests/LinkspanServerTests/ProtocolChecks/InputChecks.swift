import LinkspanCore
import LinkspanServer
import LinkspanWire
import TestSupport
import Testing

@Suite struct InputChecks {
    @Test(arguments: bothProtocols)
    func `14: a call that no application answers is left unanswered`(choice: ProtocolChoice) async throws {
        try await withConversation(choice) { client, _, _ in
            for event in ["echo", "#unknown"] {
                try await client.send(#"{"event":"\#(event)","data":1,"cid":2}"#)
                try await client.expectsNothing()
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `27: an array is handled in order, each answer stands alone, and an array in it is passed over`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { client, _, _ in
            try await client.send(
                "["
                    + ##"{"event":"#subscribe","data":{"channel":"a"},"cid":2},"##
                    + ##"[{"event":"#subscribe","data":{"channel":"b"},"cid":3}],5,"##
                    + ##"{"event":"#unsubscribe","data":"a","cid":4},{"event":"#subscribe","data":{"channel":"c"},"cid":5}]"##
            )
            try await client.expects(#"{"rid":2}"#)
            try await client.expects(#"{"rid":4}"#)
            try await client.expects(#"{"rid":5}"#)
            try await client.send("[\(RawClient.publish("c", "1")),\(RawClient.publish("c", "2"))]")
            try await client.expects(RawClient.delivery("c", "1"))
            try await client.expects(RawClient.delivery("c", "2"))
            try await client.send("[]")
            try await client.expectsNothing()
        }
    }

    @Test func `27: protocol 1 gets the answers to subscriptions in one array where it asks, and errors alone`()
        async throws
    {
        for choice in [ProtocolChoice.v1, .auto] {
            try await withConversation(choice, { $0.limits.channelsPerConnection = 2 }) { client, socketID, _ in
                let requests = ["a", "b", "c"].enumerated().map { index, name in
                    ##"{"event":"#subscribe","data":{"channel":"\##(name)","batch":true},"cid":\##(2 + index)}"##
                }
                try await client.send("[\(requests.joined(separator: ","))]")
                let cause = choice == .v1 ? "" : "InvalidActionError: "
                try await client.expects(
                    failure(
                        4, "BrokerError",
                        "Failed to subscribe socket to the c channel - \(cause)Socket \(socketID) tried to exceed the channel subscription limit of 2"
                    ))
                try await client.expects(#"[{"rid":2},{"rid":3}]"#)
                try await client.send(##"{"event":"#unsubscribe","data":"b","cid":5}"##)
                try await client.expects(#"{"rid":5}"#)
                try await client.send(requests[1])
                try await client.expects(#"[{"rid":3}]"#)
                try await client.publish("b", "1")
                try await client.expects(RawClient.delivery("b", "1"))
            }
        }
    }

    @Test func `27: or within a window, and protocol 2 gets each answer alone`() async throws {
        let requests = [(2, "a"), (3, "b")].map { callID, name in
            ##"{"event":"#subscribe","data":{"channel":"\##(name)","batch":true},"cid":\##(callID)}"##
        }
        try await withConversation(.v1, { $0.batching.subscribeWindow = .seconds(600) }) { client, _, _ in
            for request in requests {
                try await client.send(request)
                // The answer to something else does not wait, and shows that the request was seen.
                try await client.expectsNothing()
            }
            try await client.publish("b", "1")
            try await client.expects(RawClient.delivery("b", "1"))
        }
        try await withConversation(.v1, { $0.batching.subscribeWindow = .milliseconds(20) }) { client, _, _ in
            try await client.send("[\(requests[0]),\(requests[1])]")
            try await client.expects(#"[{"rid":2},{"rid":3}]"#)
        }
        try await withConversation(.v2) { client, _, _ in
            try await client.send(all: requests)
            try await client.expects(#"{"rid":2}"#)
            try await client.expects(#"{"rid":3}"#)
        }
    }

    @Test(arguments: bothProtocols)
    func `34: too large a message closes with 1009, a client's close is answered in kind`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.limits.messageBytes = 1000
        }) { server, address in
            let large = try await RawClient.ready(address)
            try await large.publish("a", #""\#(String(repeating: "x", count: 1000))""#)
            if choice == .v1 { try await large.expects(##"{"event":"#disconnect","data":{"code":1009}}"##) }
            try await large.expectsClose(1009)
            for code in [1000, 4444] as [UInt16] {
                let client = try await RawClient.ready(address, answersClose: false)
                try await client.close(code)
                try await client.expectsClose(code)
                try await client.disconnected()
            }
            _ = try await eventually("no client left") { server.counters.clientsOpen == 0 ? true : nil }
        }
    }

    @Test func `34: protocol 1 may announce its end, and is closed with the code it gave`() async throws {
        try await withConversation(.v1) { client, _, _ in
            try await client.send(##"{"event":"#disconnect","data":{"code":4321,"data":"bye"}}"##)
            try await client.expects(##"{"event":"#disconnect","data":{"code":4321}}"##)
            try await client.expectsClose(4321)
        }
    }

    @Test func `34: to protocol 2 that announcement means nothing`() async throws {
        try await withConversation(.v2) { client, _, _ in
            try await client.send(##"{"event":"#disconnect","data":{"code":4321}}"##)
            try await client.expectsNothing()
        }
    }

    private static let junk = [
        "plain text", #"{"event":"#, "123", "null", "true", #""text""#, "{}", "[]", "[[]]", "[1,null]",
        "\u{FEFF}{\"event\":\"#subscribe\",\"data\":{\"channel\":\"a\"},\"cid\":2}", #"{"event":5}"#,
        #"{"event":null}"#,
        #"{"rid":99,"data":1}"#, #"{"rid":"x"}"#, #"{"data":1}"#, String(repeating: "[", count: 20_000),
        #"{"event":"a","data":"# + String(repeating: "[", count: 20_000) + String(repeating: "]", count: 20_000) + "}",
    ]

    @Test(arguments: bothProtocols)
    func `35: junk is passed over, one piece after the other, and the next call is answered`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { client, _, _ in
            for message in Self.junk {
                try await client.send(message)
                try await client.expectsNothing()
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `35: JSON in a binary frame is read, a call ID may come twice, and oddities in numbers are echoed`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { client, _, _ in
            let subscription = ##"{"event":"#subscribe","data":{"channel":"a"},"cid":2}"##
            try await client.send(bytes: RawClient.frame(.binary, Array(subscription.utf8)))
            try await client.expects(#"{"rid":2}"#)
            try await client.send(subscription)
            try await client.expects(#"{"rid":2}"#)
            for callID in ["-3", "1.5", "9007199254740993"] {
                try await client.send(##"{"event":"#publish","data":{"channel":"b"},"cid":\##(callID)}"##)
                try await client.expects(#"{"rid":\#(callID)}"#)
            }
            try await client.send(##"{"event":"#publish","data":{"channel":"b"},"cid":0}"##)
            if choice == .v2 { try await client.expects(#"{"rid":0}"#) }
            try await client.expectsNothing()
        }
    }
}
