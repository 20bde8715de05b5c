import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `The exchange of a server` {
    @Test func `hears its own publishes, those of clients and those of bridges, in order`() async throws {
        try await withServer { server, address in
            let subscription = server.exchange.subscribe("a")
            #expect(await server.exchange.channels.map(\.string) == ["a"])
            #expect(server.exchange.subscriptions.map(\.string) == ["a"])
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.publish("a", "1", callID: 2)
            _ = try await client.nextText("answer") { $0 == #"{"rid":2}"# }
            // What is published by the loops that serve clients and by this task has no order but its own.
            var messages = subscription.makeAsyncIterator()
            #expect(await messages.next()?.data?.description == "1")
            server.exchange.publish("a", JSONText(string: "two"))
            server.exchange.publish("a", nil)
            server.broker.publish("a", JSONText(string: "from outside"))
            server.exchange.publish("b", JSONText(string: "elsewhere"))
            let second = await messages.next()
            #expect(second?.channel == "a" && second?.data == JSONText(string: "two"))
            let third = await messages.next()
            #expect(third?.channel == "a" && third?.data == nil)
            #expect(await messages.next()?.data == JSONText(string: "from outside"))
            #expect(try await client.nextText("publish") { $0 == RawClient.delivery("a", #""two""#) } != "")
        }
    }

    @Test func `hears what is published before the server runs, and ends with it`() async throws {
        var settings = ServerSettings()
        settings.host = "127.0.0.1"
        settings.port = 0
        let server = LinkspanServer(settings: settings, instance: InstanceID("test-1")!, logger: .quiet)
        let subscription = server.exchange.subscribe("a")
        server.exchange.publish("a", JSONText(string: "early"))
        #expect(await server.exchange.channels.isEmpty)
        var heard: [String] = []
        let running = Task { try await server.run() }
        for await message in subscription {
            heard.append(message.data?.description ?? "")
            running.cancel()
        }
        #expect(heard == [#""early""#])
        _ = await running.result
        #expect(server.exchange.subscriptions.isEmpty)
        var late = server.exchange.subscribe("a").makeAsyncIterator()
        #expect(await late.next() == nil)
    }

    @Test func `counts as a subscriber of its channels, until the last one leaves`() async throws {
        try await withServer { server, address in
            let events = server.broker.events()
            var iterator = events.makeAsyncIterator()
            let first = server.exchange.subscribe("a")
            let second = server.exchange.subscribe("a")
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":2}"##)
            _ = try await client.nextText()
            let ended = Task { for await _ in first {} }
            ended.cancel()
            await ended.value
            #expect(await server.exchange.channels.map(\.string) == ["a"])
            #expect(server.exchange.isSubscribed("a"))
            server.exchange.unsubscribe("a")
            #expect(!server.exchange.isSubscribed("a"))
            for await _ in second {}
            #expect(await server.exchange.channels.isEmpty)
            guard case .subscribe("a") = await iterator.next(), case .unsubscribe("a") = await iterator.next() else {
                Issue.record("the channel came and went more than once")
                return
            }
        }
    }

    @Test func `drops and counts what a slow consumer has no room for`() async throws {
        try await withServer { server, _ in
            let subscription = server.exchange.subscribe("a", bufferLimit: 2)
            for number in 0..<5 { server.exchange.publish("a", JSONText(string: "\(number)")) }
            #expect(await server.exchange.channels.count == 1)
            #expect(subscription.droppedCount == 3)
            #expect(server.counters.exchangeMessagesDropped == 3)
            server.exchange.unsubscribe("a")
            var heard: [String] = []
            for await message in subscription { heard.append(message.data?.description ?? "") }
            #expect(heard == [#""0""#, #""1""#])
        }
    }
}
