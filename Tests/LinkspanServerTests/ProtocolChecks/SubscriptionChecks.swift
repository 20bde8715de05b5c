import LinkspanCore
import LinkspanServer
import TestSupport
import Testing

@Suite struct SubscriptionChecks {
    @Test(arguments: bothProtocols)
    func `17: a subscription is answered, a second one too, and any string is a name`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { client, _, _ in
            try await client.send(##"{"event":"#subscribe","data":{"channel":"foo"},"cid":2}"##)
            try await client.expects(#"{"rid":2}"#)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"foo","waitForAuth":true},"cid":3}"##)
            try await client.expects(#"{"rid":3}"#)
            try await client.publish("foo", "1")
            try await client.expects(RawClient.delivery("foo", "1"))
            try await client.expectsNothing()
            for (index, name) in ["", "hasOwnProperty", "__proto__", "ü☃/\u{1F600} *", "a.b:c/#+*"].enumerated() {
                try await client.send(
                    ##"{"event":"#subscribe","data":{"channel":"\##(name)"},"cid":\##(10 + index)}"##)
                try await client.expects(#"{"rid":\#(10 + index)}"#)
                try await client.publish(name, "\(index)")
                try await client.expects(RawClient.delivery(name, "\(index)"))
            }
        }
    }

    @Test func `17: protocol 1 takes the name alone as well`() async throws {
        try await withConversation(.v1) { client, _, _ in
            try await client.send(##"{"event":"#subscribe","data":"foo","cid":2}"##)
            try await client.expects(#"{"rid":2}"#)
            try await client.publish("foo", "1")
            try await client.expects(RawClient.delivery("foo", "1"))
        }
    }

    @Test func `17: protocol 2 refuses what is no name`() async throws {
        try await withConversation(.v2) { client, _, _ in
            let refusal = failure(2, "InvalidActionError", "Subscribe channel name was malformatted")
            for data in [#","data":{}"#, #","data":{"channel":5}"#, #","data":null"#, #","data":"foo""#, ""] {
                try await client.send(##"{"event":"#subscribe"\##(data),"cid":2}"##)
                try await client.expects(refusal)
            }
        }
    }

    @Test func `17: protocol 1 refuses what is no name`() async throws {
        try await withConversation(.v1) { client, socketID, _ in
            for (data, shown) in [
                (#","data":{}"#, "undefined"), (#","data":{"channel":5}"#, "5"),
                (#","data":{"channel":{}}"#, "[object Object]"), ("", "undefined"),
            ] {
                try await client.send(##"{"event":"#subscribe"\##(data),"cid":2}"##)
                try await client.expects(
                    failure(
                        2, "BrokerError",
                        "Failed to subscribe socket to the \(shown) channel - Socket \(socketID) provided an invalid channel name"
                    ))
            }
        }
    }

    @Test func `18: without call ID protocol 2 does not subscribe`() async throws {
        try await withConversation(.v2) { client, _, _ in
            try await client.send(##"{"event":"#subscribe","data":{"channel":"foo"}}"##)
            try await client.publish("foo", "1", callID: 2)
            try await client.expects(#"{"rid":2}"#)
            try await client.expectsNothing()
        }
    }

    @Test func `18: without call ID protocol 1 subscribes in silence`() async throws {
        try await withConversation(.v1) { client, _, _ in
            try await client.send(##"{"event":"#subscribe","data":{"channel":"foo"}}"##)
            try await client.publish("foo", "1")
            try await client.expects(RawClient.delivery("foo", "1"))
        }
    }

    @Test(arguments: [(ProtocolChoice.v1, ""), (.v2, "InvalidActionError: ")])
    func `19: past the limit of channels a subscription is refused and nothing else changes`(
        choice: ProtocolChoice, cause: String
    ) async throws {
        try await withConversation(choice, { $0.limits.channelsPerConnection = 2 }) { client, socketID, _ in
            try await client.subscribe("a")
            try await client.subscribe("b")
            for name in ["c", "a"] {
                try await client.send(##"{"event":"#subscribe","data":{"channel":"\##(name)"},"cid":3}"##)
                try await client.expects(
                    failure(
                        3, "BrokerError",
                        "Failed to subscribe socket to the \(name) channel - \(cause)Socket \(socketID) tried to exceed the channel subscription limit of 2"
                    ))
            }
            try await client.publish("c", "0")
            for name in ["a", "b"] {
                try await client.publish(name, "1")
                try await client.expects(RawClient.delivery(name, "1"))
            }
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":4}"##)
            try await client.expects(#"{"rid":4}"#)
            try await client.subscribe("c")
        }
    }

    @Test(arguments: [(ProtocolChoice.v1, ""), (.v2, "InvalidActionError: ")])
    func `25: nothing comes after the end of a subscription, and an end without a beginning is an error`(
        choice: ProtocolChoice, cause: String
    ) async throws {
        try await withConversation(choice) { client, socketID, _ in
            try await client.subscribe("a")
            try await client.subscribe("b")
            try await client.publish("a", "1")
            try await client.expects(RawClient.delivery("a", "1"))
            try await client.send(all: [
                ##"{"event":"#unsubscribe","data":"a","cid":2}"##, RawClient.publish("a", "2"),
            ])
            try await client.expects(#"{"rid":2}"#)
            try await client.send(##"{"event":"#unsubscribe","data":"b"}"##)
            try await client.publish("b", "1")
            try await client.expectsNothing()
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":3}"##)
            try await client.expects(
                failure(
                    3, "BrokerError",
                    "Failed to unsubscribe socket from the a channel - \(cause)Socket \(socketID) tried to unsubscribe from a channel which it is not subscribed to"
                ))
            try await client.send(##"{"event":"#unsubscribe","data":"a"}"##)
            try await client.expectsNothing()
        }
    }

    @Test(arguments: [ProtocolChoice.v1, .v2], [true, false])
    func `25: a client gets what it published before it left a channel, whichever loop owns that, and nothing after`(
        choice: ProtocolChoice, isBatch: Bool
    ) async throws {
        try await withServer({ settings in
            settings.protocolChoice = choice
            settings.eventLoops = 4
        }) { _, address in
            let (client, other) = (try await RawClient.ready(address), try await RawClient.ready(address))
            for number in 0..<16 {
                let channel = "c\(number)"
                try await other.subscribe(channel)
                try await client.subscribe(channel)
                let packets = [
                    RawClient.publish(channel, "1"), ##"{"event":"#unsubscribe","data":"\##(channel)","cid":5}"##,
                    RawClient.publish(channel, "2"),
                ]
                try await client.send(all: isBatch ? ["[" + packets.joined(separator: ",") + "]"] : packets)
                try await client.expects(RawClient.delivery(channel, "1"))
                try await client.expects(#"{"rid":5}"#)
                for data in ["1", "2"] { try await other.expects(RawClient.delivery(channel, data)) }
            }
            try await client.expectsNothing()
        }
    }

    @Test func `25: protocol 2 refuses to end what is no name`() async throws {
        try await withConversation(.v2) { client, _, _ in
            try await client.send(##"{"event":"#unsubscribe","data":{},"cid":2}"##)
            try await client.expects(failure(2, "InvalidActionError", "Unsubscribe channel name was malformatted"))
        }
    }

    @Test func `25: protocol 1 refuses to end what is no name`() async throws {
        try await withConversation(.v1) { client, socketID, _ in
            try await client.send(##"{"event":"#unsubscribe","data":{},"cid":2}"##)
            try await client.expects(
                failure(
                    2, "BrokerError",
                    "Failed to unsubscribe socket from the [object Object] channel - Socket \(socketID) tried to unsubscribe from an invalid channel name"
                ))
        }
    }
}
