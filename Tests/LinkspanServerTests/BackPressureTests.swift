import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import TestSupport
import Testing

/// A whole server whose one bridge says `block`, with the upstream in the test's hand.
@Suite struct BackPressureTests {
    private struct Setup: Sendable {
        let server: LinkspanServer
        let host: BridgeHost
        let upstream: ScriptedUpstream
        let address: SocketAddress
    }

    private func running(
        messages: Int, age: Duration? = nil, _ body: @Sendable (Setup) async throws -> Void
    ) async throws {
        let name = uniqueUpstream()
        var settings = LinkspanSettings.scripted(name) { rule in
            rule.include = ["busy/**"]
            rule.buffer.messages = messages
            rule.buffer.age = age
            rule.buffer.whenFull = .block
        }
        settings.server.host = "127.0.0.1"
        settings.server.port = 0
        settings.server.eventLoops = 2
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let host = try BridgeHost(settings: settings, bridges: [ScriptedBridge.self], logger: logger)
        let server = LinkspanServer(settings: settings.server, instance: .own, bridgePlane: host, logger: logger)
        host.attach(server.broker)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { try await host.run() }
            defer { group.cancelAll() }
            let address = try await server.address
            try await body(Setup(server: server, host: host, upstream: .named(name), address: address))
        }
        #expect(host.statuses[0].egress.isBalanced)
    }

    @Test func `publishers of a full bridge wait unread, everybody else goes on, and nothing is lost`() async throws {
        try await self.running(messages: 4) { setup in
            let run = try await setup.upstream.run(0)
            run.link.connected(UpstreamFacts())
            let publisher = try await RawClient.ready(setup.address)
            let other = try await RawClient.ready(setup.address)
            // One at a time until it is full: the owner of the channel may be on another loop.
            var sent = 0
            while setup.server.counters.upstreamPauses == 0 {
                sent += 1
                try await publisher.send(RawClient.publish("busy/1", "\(sent)", callID: sent))
                #expect(try await publisher.nextText() == #"{"rid":\#(sent)}"#)
                try await other.subscribe("fence \(sent)")
            }
            #expect(sent >= 4)
            let held = sent + 1
            try await publisher.send(RawClient.publish("busy/1", "\(held)", callID: held))
            // Another client publishes to other channels and subscribes, all the same.
            try await other.subscribe("free")
            try await other.publish("free", "1")
            #expect(try await other.nextText() == RawClient.delivery("free", "1"))
            #expect(!setup.server.broker.exchange("busy/2", nil), "a program is told instead of held back")
            #expect(setup.server.broker.exchange("free", nil))
            _ = try await eventually("the bridge has what was read, and no more") {
                setup.host.statuses[0].egress.accepted == UInt64(sent) ? true : nil
            }
            let work = run.link.takeWork(upTo: 100)
            #expect(work.messages.map { String(buffer: $0.payload) } == (1...sent).map { "\($0)" })
            run.link.confirm(0...(.max))
            #expect(try await publisher.nextText() == #"{"rid":\#(held)}"#)
            let last = try await eventually("the message that was held") {
                let texts = run.link.takeWork(upTo: 100).messages.map { String(buffer: $0.payload) }
                return texts.isEmpty ? nil : texts
            }
            #expect(last == ["\(held)"])
            #expect(setup.host.statuses[0].egress.dropped.total == 0)
        }
    }

    @Test func `a publisher that waits hears its other channels`() async throws {
        try await self.running(messages: 1) { setup in
            let publisher = try await RawClient.ready(setup.address)
            let other = try await RawClient.ready(setup.address)
            try await publisher.subscribe("news")
            var sent = 0
            while setup.server.counters.upstreamPauses == 0 {
                sent += 1
                try await publisher.send(RawClient.publish("busy/1", "\(sent)", callID: 100 + sent))
                #expect(try await publisher.nextText() == #"{"rid":\#(100 + sent)}"#)
                try await other.subscribe("fence \(sent)")
            }
            try await other.publish("news", "1")
            #expect(try await publisher.nextText() == RawClient.delivery("news", "1"))
        }
    }
}
