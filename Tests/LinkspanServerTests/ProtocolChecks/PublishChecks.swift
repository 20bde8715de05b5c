import LinkspanCore
import LinkspanServer
import TestSupport
import Testing

@Suite struct PublishChecks {
    @Test(arguments: bothProtocols)
    func `20: a publish reaches every subscriber, its publisher included, and is answered when it has a call ID`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { publisher, _, address in
            let subscriber = try await RawClient.ready(address)
            let stranger = try await RawClient.ready(address)
            try await publisher.subscribe("foo")
            try await subscriber.subscribe("foo")
            try await stranger.subscribe("bar")
            try await publisher.publish("foo", #"{"a":1}"#, callID: 5)
            try await subscriber.expects(RawClient.delivery("foo", #"{"a":1}"#))
            // The answer and the copy of one's own come in no fixed order.
            let came = [try await publisher.nextText(), try await publisher.nextText()]
            #expect(Set(came) == [#"{"rid":5}"#, RawClient.delivery("foo", #"{"a":1}"#)])

            try await publisher.publish("foo", "2")
            try await publisher.expects(RawClient.delivery("foo", "2"))
            try await subscriber.expects(RawClient.delivery("foo", "2"))
            try await publisher.expectsNothing()
            try await stranger.expectsNothing()
        }
    }

    private static let data = [
        "null", "true", "0", "-0", "1.0", "1e3", "9007199254740993", "1E400", "\"\"", #""\u00e9 é \ud83d\ude00 😀""#,
        #""\ud800""#, "[]", "{}", #"[1,[2,[3,{"a":[]}]]]"#, #"{"base64":true,"data":"AAEC/w=="}"#,
        #"{"b":1,"a":2,"b":3,"1":0}"#, #"{ "spaced" : [ 1 , 2 ] }"#, ##""#1""##, ##"{"event":"#publish","cid":1}"##,
    ]

    @Test(arguments: bothProtocols)
    func `21: data is delivered as it came, byte for byte`(choice: ProtocolChoice) async throws {
        try await withConversation(choice) { client, _, _ in
            try await client.subscribe("foo")
            for data in Self.data {
                try await client.publish("foo", data)
                try await client.expects(RawClient.delivery("foo", data))
            }
            try await client.send(##"{"event":"#publish","data":{"channel":"foo"}}"##)
            try await client.expects(##"{"event":"#publish","data":{"channel":"foo"}}"##)
            // What else stands beside channel and data is not passed on.
            try await client.send(##"{"x":1,"event":"#publish","data":{"y":2,"channel":"foo","data":3,"z":4}}"##)
            try await client.expects(RawClient.delivery("foo", "3"))
        }
    }

    private static let malformed = [#","data":{"data":1}"#, #","data":{"channel":5,"data":1}"#, #","data":null"#, ""]

    @Test(arguments: bothProtocols)
    func `22: a malformed publish is an error with call ID and nothing without`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { client, socketID, _ in
            for (data, shown) in zip(Self.malformed, ["undefined", "5", "undefined", "undefined"]) {
                try await client.send(##"{"event":"#publish"\##(data),"cid":2}"##)
                try await client.expects(
                    choice == .v2
                        ? failure(2, "InvalidActionError", "Publish channel name was malformatted")
                        : failure(
                            2, "BrokerError", "Socket \(socketID) tried to publish to an invalid \(shown) channel"))
                try await client.send(##"{"event":"#publish"\##(data)}"##)
                try await client.expectsNothing()
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `22: where clients may not publish they are told, and nothing is delivered`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice, { $0.allowsClientPublish = false }) { client, _, _ in
            try await client.subscribe("foo")
            try await client.publish("foo", "1", callID: 2)
            try await client.expects(failure(2, "InvalidActionError", "Client publish feature is disabled"))
            try await client.publish("foo", "1")
            try await client.expectsNothing()
        }
    }

    @Test(arguments: bothProtocols)
    func `23: a thousand pipelined publishes on two channels arrive in order, and so do their answers`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice) { publisher, _, address in
            let subscribers = [try await RawClient.ready(address), try await RawClient.ready(address)]
            for subscriber in subscribers {
                for channel in ["a", "b"] { try await subscriber.subscribe(channel) }
            }
            try await publisher.send(
                all: (0..<1000).map { RawClient.publish($0.isMultiple(of: 2) ? "a" : "b", "\($0)", callID: 10 + $0) })
            for number in 0..<1000 { try await publisher.expects(#"{"rid":\#(10 + number)}"#) }
            for subscriber in subscribers {
                var came: [String] = []
                for _ in 0..<1000 { came.append(try await subscriber.nextText()) }
                for (channel, first) in [("a", 0), ("b", 1)] {
                    let wanted = stride(from: first, to: 1000, by: 2).map { RawClient.delivery(channel, "\($0)") }
                    #expect(came.filter { $0.contains(#""channel":"\#(channel)""#) } == wanted)
                }
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `24: two publishers are interleaved alike for every subscriber`(choice: ProtocolChoice) async throws {
        try await withConversation(choice) { first, _, address in
            let publishers = [first, try await RawClient.ready(address)]
            let subscribers = [try await RawClient.ready(address), try await RawClient.ready(address)]
            for subscriber in subscribers { try await subscriber.subscribe("a") }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, publisher) in publishers.enumerated() {
                    group.addTask {
                        for number in 0..<500 { try await publisher.publish("a", "\(index * 1000 + number)") }
                    }
                }
                try await group.waitForAll()
            }
            var came: [[String]] = [[], []]
            for (index, subscriber) in subscribers.enumerated() {
                for _ in 0..<1000 { came[index].append(try await subscriber.nextText()) }
            }
            #expect(came[0] == came[1])
            for publisher in 0...1 {
                let wanted = (0..<500).map { RawClient.delivery("a", "\(publisher * 1000 + $0)") }
                let wantedSet = Set(wanted)
                #expect(came[0].filter(wantedSet.contains) == wanted)
            }
        }
    }
}
