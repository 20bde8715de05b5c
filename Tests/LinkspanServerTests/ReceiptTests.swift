import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import Logging
import NIOCore
import TestSupport
import Testing

/// Answers to publishes that wait for bridges, as a client sees them. The upstream is in the test's hand.
@Suite struct ReceiptTests {
    private struct Setup: Sendable {
        let server: LinkspanServer
        let host: BridgeHost
        let run: ScriptedRun
        let client: RawClient

        /// The next messages for the upstream.
        func taken() async throws -> [EgressMessage] {
            try await within(
                .seconds(60), "a message to take",
                seen: { "\(self.host.statuses[0].egress), \(self.server.counters)" }
            ) {
                var messages: [EgressMessage] = []
                while messages.isEmpty, !Task.isCancelled {
                    messages = await self.run.link.nextWork(upTo: 100).messages
                }
                return messages
            }
        }
    }

    private func running(
        _ ack: AckLevel, timeout: Duration = .seconds(60), loops: Int = 1,
        _ body: @Sendable (Setup) async throws -> Void
    ) async throws {
        let name = uniqueUpstream()
        var settings = LinkspanSettings.scripted(name) { rule in
            rule.include = ["kept/**"]
            rule.guarantee = .atLeastOnce
            rule.ack = ack
        }
        settings.server.host = "127.0.0.1"
        settings.server.port = 0
        settings.server.eventLoops = loops
        settings.server.timing.receiptTimeout = timeout
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let host = try BridgeHost(settings: settings, bridges: [ScriptedBridge.self], logger: logger)
        let server = LinkspanServer(settings: settings.server, instance: .own, bridgePlane: host, logger: logger)
        host.attach(server.broker)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { try await host.run() }
            defer { group.cancelAll() }
            let client = try await RawClient.ready(try await server.address)
            let run = try await ScriptedUpstream.named(name).run(0)
            run.link.connected(UpstreamFacts())
            try await body(Setup(server: server, host: host, run: run, client: client))
        }
    }

    private func receipt(of message: EgressMessage, _ outcome: String) throws -> String {
        let origin = try #require(message.header?.origin)
        return ##"{"id":"own-1/\##(origin.epoch)/\##(origin.sequence)","bridges":{"b":"\##(outcome)"}}"##
    }

    @Test(arguments: [1, 3])
    func `the answer waits for the confirmation and brings the receipt, and nobody else waits`(
        loops: Int
    ) async throws {
        try await self.running(.confirmed, loops: loops) { setup in
            for number in 1...5 {
                let channel = "kept/\(number)"
                try await setup.client.subscribe(channel, callID: 100 + number)
                try await setup.client.send(RawClient.publish(channel, "1", callID: number))
                #expect(try await setup.client.nextText() == RawClient.delivery(channel, "1"))
                let messages = try await setup.taken()
                // Answers to what needs no bridge overtake it.
                try await setup.client.send(RawClient.publish("free", "2", callID: 50))
                #expect(try await setup.client.nextText() == #"{"rid":50}"#)
                let message = try #require(messages.first)
                setup.run.link.confirm(message.ticket...message.ticket)
                let receipt = try self.receipt(of: message, "confirmed")
                #expect(try await setup.client.nextText() == ##"{"rid":\##(number),"data":\##(receipt)}"##)
            }
            #expect(setup.server.counters.receiptsReached == 5)
        }
    }

    @Test func `a message that the upstream refuses is answered with an error and the receipt`() async throws {
        try await self.running(.confirmed) { setup in
            try await setup.client.send(RawClient.publish("kept/1", "1", callID: 7))
            let message = try #require(try await setup.taken().first)
            setup.run.link.refuse(message.ticket, .forbidden)
            let text = try await setup.client.nextText()
            let receipt = try self.receipt(of: message, "forbidden")
            #expect(
                text
                    == ##"{"rid":7,"error":{"message":"The message was published, but bridge \"b\" gave it up (forbidden)","##
                    + ##""name":"ReceiptError","receipt":\##(receipt)}}"##)
            #expect(setup.server.counters.receiptsFailed == 1)
        }
    }

    @Test func `a confirmation that does not come in time is an error that says so, and may still come`() async throws {
        try await self.running(.confirmed, timeout: .milliseconds(50)) { setup in
            try await setup.client.send(RawClient.publish("kept/1", "1", callID: 7))
            let text = try await setup.client.nextText()
            #expect(
                text.hasPrefix(
                    ##"{"rid":7,"error":{"message":"The message was published, but bridge \"b\" had not confirmed it in time""##
                ))
            #expect(
                text.contains(##""name":"ReceiptTimeoutError""##) && text.contains(##""bridges":{"b":"buffered"}"##))
            let message = try #require(try await setup.taken().first)
            setup.run.link.confirm(message.ticket...message.ticket)
            try await setup.client.send(RawClient.publish("free", "1", callID: 8))
            #expect(try await setup.client.nextText() == #"{"rid":8}"#, "nothing is answered twice")
            #expect(setup.server.counters.receiptsLate == 1 && setup.server.counters.receiptsReached == 0)
        }
    }

    @Test func `a buffer in memory has a message at once, and what needs no answer gets none`() async throws {
        try await self.running(.buffered) { setup in
            try await setup.client.send(all: [
                RawClient.publish("kept/1", "1"), RawClient.publish("kept/1", "2", callID: 2),
            ])
            let text = try await setup.client.nextText()
            #expect(
                text.hasPrefix(##"{"rid":2,"data":{"id":"own-1/"##)
                    && text.hasSuffix(##""bridges":{"b":"buffered"}}}"##))
            #expect(setup.server.counters.receiptsReached == 1)
        }
    }

    @Test func `a program that publishes gets the receipt, or the error that a client would get`() async throws {
        try await self.running(.confirmed) { setup in
            let broker = setup.server.broker
            async let pending = broker.exchange("kept/1", JSONText(string: "x"), receiptWithin: .seconds(60))
            let message = try #require(try await setup.taken().first)
            setup.run.link.confirm(message.ticket...message.ticket)
            let receipt = try #require(try await pending)
            #expect(receipt.json.description == (try self.receipt(of: message, "confirmed")))
            #expect(receipt.origin == message.header?.origin)

            let late = await #expect(throws: ProtocolError.self) {
                _ = try await broker.exchange("kept/1", nil, receiptWithin: .milliseconds(1))
            }
            #expect(late?.name == "ReceiptTimeoutError")
            async let refused = broker.exchange("kept/1", nil, receiptWithin: .seconds(60))
            // The late one and this one.
            var messages: [EgressMessage] = []
            while messages.count < 2 { messages += try await setup.taken() }
            setup.run.link.refuse(messages[1].ticket, .rejected)
            do {
                _ = try await refused
                Issue.record("it was refused")
            } catch {
                #expect((error as? ProtocolError)?.name == "ReceiptError")
            }
            let free = try await broker.exchange("free", nil, receiptWithin: .seconds(60))
            #expect(free == nil)
        }
    }

    @Test func `rules without ack answer as ever`() async throws {
        try await self.running(.local) { setup in
            try await setup.client.send(RawClient.publish("kept/1", "1", callID: 1))
            #expect(try await setup.client.nextText() == #"{"rid":1}"#)
        }
    }

    @Test func `a connection with many open receipts is read no further, and all are answered`() async throws {
        try await self.running(.confirmed) { setup in
            try await setup.client.send(
                all: (1...1500).map { (number: Int) in RawClient.publish("kept/1", "\(number)", callID: number) })
            var seen = 0
            while seen < 1500 {
                let messages = try await setup.taken()
                #expect(messages.count <= 1000)
                seen += messages.count
                if let first = messages.first, let last = messages.last {
                    setup.run.link.confirm(first.ticket...last.ticket)
                }
            }
            for _ in 1...1500 { #expect(try await setup.client.nextText().contains(#""b":"confirmed""#)) }
        }
    }
}
