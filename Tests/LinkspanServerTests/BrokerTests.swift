import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import Synchronization
import TestSupport
import Testing

@Suite struct BrokerTests {
    /// Writes events down as text.
    final class Recorder: BrokerObserver {
        let log = EventLog<String>()

        func channelSubscribed(_ channel: ChannelName) { self.log.append("subscribe \(channel)") }
        func channelUnsubscribed(_ channel: ChannelName) { self.log.append("unsubscribe \(channel)") }
        func published(_ envelope: Envelope) {
            self.log.append("publish \(envelope.channel) \(String(buffer: envelope.data))")
        }
    }

    @Test func `the first subscriber over all loops and the last one gone are events, those between are not`()
        async throws
    {
        try await withServer({ $0.eventLoops = 4 }) { server, address in
            let recorder = Recorder()
            server.broker.add(recorder)
            var clients: [RawClient] = []
            for _ in 0..<8 {
                let client = try await RawClient.ready(address)
                try await client.subscribe("news")
                clients.append(client)
            }
            for client in clients.dropLast(2) {
                try await client.send(##"{"event":"#unsubscribe","data":"news","cid":5}"##)
                _ = try await client.nextText { $0 == #"{"rid":5}"# }
            }
            try await clients[6].disconnect()
            _ = try await eventually("the disconnect") { server.counters.subscriptions == 1 ? true : nil }
            #expect(recorder.log.events == ["subscribe news"])
            try await clients[7].disconnect()
            _ = try await recorder.log.first("last one gone") { $0 == "unsubscribe news" }
            #expect(recorder.log.events == ["subscribe news", "unsubscribe news"])
        }
    }

    @Test func `every publish is an event, also without subscribers, and what is injected is none`() async throws {
        try await withServer { server, address in
            let recorder = Recorder()
            server.broker.add(recorder)
            let client = try await RawClient.ready(address)
            try await client.publish("nobody", #"{"a": 1}"#)
            _ = try await recorder.log.first("event") { $0 == #"publish nobody {"a": 1}"# }
            try await client.subscribe("news")
            server.broker.publish("news", JSONText(string: "injected"))
            #expect(try await client.nextText() == RawClient.delivery("news", #""injected""#))
            server.broker.exchange("news", JSONText(string: "exchanged"))
            #expect(try await client.nextText() == RawClient.delivery("news", #""exchanged""#))
            server.broker.publish("news", nil as JSONText?)
            #expect(try await client.nextText() == ##"{"event":"#publish","data":{"channel":"news"}}"##)
            _ = try await recorder.log.first("event") { $0 == #"publish news "exchanged""# }
            #expect(!recorder.log.events.contains { $0.contains("injected") })
            server.broker.remove(recorder)
        }
    }

    @Test func `injected text is checked`() async throws {
        try await withServer { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            #expect(throws: JSONError.self) { try server.broker.publish("news", ByteBuffer(string: "{")) }
            try server.broker.publish("news", ByteBuffer(string: "[1]"))
            #expect(try await client.nextText() == RawClient.delivery("news", "[1]"))
        }
    }

    @Test func `an observer that comes late hears of the channels that have subscribers`() async throws {
        try await withServer { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.subscribe("b", callID: 3)
            let recorder = Recorder()
            server.broker.add(recorder)
            try await recorder.log.wait(count: 2, "channel")
            #expect(Set(recorder.log.events) == ["subscribe a", "subscribe b"])
        }
    }

    @Test func `a sequence of events holds so many and counts what it drops`() async throws {
        try await withServer({ $0.eventLoops = 1 }) { server, address in
            let events = server.broker.events(bufferLimit: 3)
            let client = try await RawClient.ready(address)
            for number in 1...10 { try await client.publish("a", "\(number)", callID: number) }
            _ = try await client.nextText { $0 == #"{"rid":10}"# }
            _ = try await eventually("drops") { events.droppedCount == 7 ? true : nil }
            var received: [String] = []
            for await event in events {
                if case .publish(let envelope) = event { received.append(String(buffer: envelope.data)) }
                if received.count == 3 { break }
            }
            #expect(received == ["1", "2", "3"])
        }
    }

    @Test func `sequences of events end with the server`() async throws {
        let events = Mutex<BrokerEvents?>(nil)
        try await withServer { server, _ in events.withLock { $0 = server.broker.events() } }
        let ended = try #require(events.withLock { $0 })
        for await _ in ended {}
    }

    @Test func `a program that publishes faster than the server can take it is told so`() {
        let server = LinkspanServer(instance: InstanceID("early")!, logger: .quiet)
        let data = JSONText(string: String(repeating: "x", count: 1 << 20))
        var taken = 0
        while server.broker.publish("news", data) { taken += 1 }
        #expect((100...130).contains(taken))
        #expect(!server.broker.exchange("news", data))
        #expect(server.counters.injectionsDropped == 2)
    }

    @Test func `what is published before the server runs is delivered to nobody and harms nothing`() async throws {
        let server = LinkspanServer(instance: InstanceID("early")!, logger: .quiet)
        server.broker.publish("news", JSONText.null)
        server.broker.add(Recorder())
        #expect(server.counters.deliveries == 0)
        #expect(server.counters.channels == 0)
    }
}
