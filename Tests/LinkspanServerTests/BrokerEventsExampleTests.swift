import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import NIOCore
import Synchronization
import TestSupport
import Testing

// The example of the documentation: an adapter as SocketCluster's users wrote it in `broker.js`, line by line.
//
//     broker.on('subscribe', channel => outside.subscribe(channel));
//     broker.on('unsubscribe', channel => outside.unsubscribe(channel));
//     broker.on('publish', (channel, data) => outside.publish(channel, [instanceId, data]));
//     outside.on('message', (channel, [sender, data]) => { if (sender !== instanceId) broker.publish(channel, data); });

/// Mirrors one server to an outside broker by hand.
struct Adapter {
    let server: LinkspanServer
    let outside: OutsideBroker
    let name: String

    func run() async {
        let events = self.server.broker.events()
        for await event in events {
            switch event {
            case .subscribe(let channel):
                self.outside.subscribe(self.name, to: channel) { sender, data in
                    // What we sent ourselves comes back from most outside brokers.
                    guard sender != self.name else { return }
                    // Raises no event, so nothing echoes. It was valid JSON when it left.
                    _ = try? self.server.broker.publish(channel, data)
                }
            case .unsubscribe(let channel):
                self.outside.unsubscribe(self.name, from: channel)
            case .publish(let envelope):
                self.outside.publish(envelope.channel, envelope.data, from: self.name)
            }
        }
    }
}

/// Stands for Redis, MQTT or whatever else carries messages by name.
final class OutsideBroker: Sendable {
    typealias Listener = @Sendable (_ sender: String, _ data: ByteBuffer) -> Void
    private let listeners = Mutex<[ChannelName: [String: Listener]]>([:])
    let changes = EventLog<String>()

    func subscribe(_ name: String, to channel: ChannelName, _ listener: @escaping Listener) {
        self.listeners.withLock { $0[channel, default: [:]][name] = listener }
        self.changes.append("\(name) +\(channel)")
    }

    func unsubscribe(_ name: String, from channel: ChannelName) {
        self.listeners.withLock { $0[channel]?[name] = nil }
        self.changes.append("\(name) -\(channel)")
    }

    func publish(_ channel: ChannelName, _ data: ByteBuffer, from sender: String) {
        let listeners = self.listeners.withLock { $0[channel] ?? [:] }
        for listener in listeners.values { listener(sender, data) }
    }
}

@Suite struct BrokerEventsExampleTests {
    @Test func `two servers share their channels by an adapter of forty lines`() async throws {
        let outside = OutsideBroker()
        try await withServer(instance: InstanceID("a")!) { first, firstAddress in
            try await withServer(instance: InstanceID("b")!) { second, secondAddress in
                let adapters = [(first, "a"), (second, "b")].map { server, name in
                    Task { await Adapter(server: server, outside: outside, name: name).run() }
                }
                let here = try await RawClient.ready(firstAddress)
                let there = try await RawClient.ready(secondAddress)
                try await here.subscribe("news")
                try await there.subscribe("news")
                try await outside.changes.wait(count: 2, "subscription outside")

                try await here.publish("news", #"{"from":"a"}"#)
                #expect(try await there.nextText() == RawClient.delivery("news", #"{"from":"a"}"#))
                try await there.publish("news", #"{"from":"b"}"#)
                #expect(try await there.nextText() == RawClient.delivery("news", #"{"from":"b"}"#))
                for sender in ["a", "b"] {
                    #expect(try await here.nextText() == RawClient.delivery("news", #"{"from":"\#(sender)"}"#))
                }

                try await here.disconnect()
                _ = try await outside.changes.first("subscription outside ended") { $0 == "a -news" }
                #expect(here.texts.count == 4, "each message once")
                for adapter in adapters { adapter.cancel() }
            }
        }
    }
}
