import LinkspanBridgeKit
import LinkspanCore
import LinkspanWire
import NIOCore
import Synchronization
import Testing

@testable import LinkspanServer

@Suite struct `A server whose clients a service decides about` {
    /// Answers by what is asked, as a service would.
    private func withDecisions(
        _ decides: Set<HookDecision>, channels: [String] = ["**"],
        _ answer: @escaping @Sendable (String) -> HookServer.Answer,
        application: Application? = nil, change: (inout HookSettings) -> Void = { _ in },
        _ body: (HookServer, LinkspanServer, SocketAddress) async throws -> Void
    ) async throws {
        try await HookServer.with({ _, request in answer(request) }) { hook in
            var settings = HookSettings(name: "rooms", url: hook.url)
            settings.decides = decides
            settings.channels = channels
            settings.timeout = .seconds(60)
            change(&settings)
            try await withServer(
                application: application,
                { server in
                    server.auth = TestTokens.settings
                    server.protocolChoice = .v2
                    server.hooks = [settings]
                }
            ) { server, address in try await body(hook, server, address) }
        }
    }

    private static let no = HookServer.Answer.status(200, #"{"error":{"name":"Denied","message":"Not you"}}"#)

    @Test func `admits who the service admits, and shows it the request`() async throws {
        try await self.withDecisions([.handshake]) {
            $0.contains(#""sub":"ann""#) ? .status(204) : Self.no
        } _: { hook, server, address in
            let token = try await TestTokens.make(#""sub":"ann""# + TestTokens.forever)
            let (_, welcome) = try await RawClient.shaking(address, token: token)
            #expect(welcome.contains(#""isAuthenticated":true"#), "\(welcome)")
            let request = try #require(hook.received.first?.body)
            #expect(
                request.contains(#""type":"handshake","request":{"path":"/socketcluster/","query":null,"headers":{"#))
            #expect(request.contains(#""upgrade":"websocket""#))
            #expect(!request.contains(#""channel""#))

            let stranger = try await RawClient.open(address)
            try await stranger.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
            #expect(try await stranger.nextText().contains(#""error":{"message":"Not you","name":"Denied""#))
            #expect(try await stranger.closeCode() == 4008)
            #expect(server.counters.handshakesBlocked == 1)
        }
    }

    @Test func `closes a handshake with the code that the service names`() async throws {
        try await self.withDecisions([.handshake]) { _ in
            .status(200, #"{"error":{"name":"Denied","message":"Pay first","statusCode":4402}}"#)
        } _: { _, _, address in
            let client = try await RawClient.open(address)
            try await client.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
            #expect(try await client.nextText().contains(#""statusCode":4402"#))
            #expect(try await client.closeCode() == 4402)
        }
    }

    @Test func `asks about subscriptions of its channels only`() async throws {
        try await self.withDecisions([.subscribe], channels: ["room/*"]) {
            $0.contains(#""channel":"room/1""#) ? .status(204) : Self.no
        } _: { hook, server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            try await client.subscribe("room/1")
            try await client.send(##"{"event":"#subscribe","data":{"channel":"room/2","data":{"why":1}},"cid":7}"##)
            #expect(try await client.nextText() == #"{"rid":7,"error":{"message":"Not you","name":"Denied"}}"#)
            #expect(hook.received.count == 2)
            #expect(
                hook.received.last?.body.contains(#""type":"subscribe","channel":"room/2","data":{"why":1},"#) == true)
            #expect(server.counters.actionsBlocked == 1)
            // Publishes are nothing that it decides.
            try await client.publish("room/1", "1")
            #expect(try await client.nextText() == RawClient.delivery("room/1", "1"))
            #expect(hook.received.count == 2)
        }
    }

    @Test func `lets the service change what is published`() async throws {
        try await self.withDecisions([.publish]) {
            $0.contains(#""data":1,"#) ? .status(204) : .status(200, #"{"data":{"clean":true}}"#)
        } _: { hook, _, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            try await client.send(all: [RawClient.publish("news", "1"), RawClient.publish("news", "2")])
            #expect(try await client.nextText() == RawClient.delivery("news", "1"))
            #expect(try await client.nextText() == RawClient.delivery("news", #"{"clean":true}"#))
            #expect(hook.received.first?.body.contains(#""type":"publish","channel":"news","data":1,"#) == true)
        }
    }

    @Test(arguments: [HookFallback.deny, .allow])
    func `does as it is told while the service is not there, and counts it`(_ fallback: HookFallback) async throws {
        try await self.withDecisions([.subscribe], { _ in .status(500) }, change: { $0.unavailable = fallback }) {
            _, server, address in
            let client = try await RawClient.ready(address)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"news"},"cid":7}"##)
            let denial =
                #"{"rid":7,"error":{"message":"The service behind this is not available","name":"UnavailableError"}}"#
            #expect(try await client.nextText() == (fallback == .allow ? #"{"rid":7}"# : denial))
            #expect(server.hooks.first?.presumed == [fallback: 1])
            #expect(server.hooks.first?.failures == [.serverError: 1])
        }
    }

    @Test(arguments: [
        HookServer.Answer.status(404), .status(200, "yes"), .status(200, #"{"allow":false}"#),
        .status(200, #"{"data":1}"#), .status(200, #"{"setAuthToken":{"sub":"ann"}}"#),
    ])
    func `takes an answer that is not understood for a no, whatever is allowed without one`(
        _ answer: HookServer.Answer
    ) async throws {
        try await self.withDecisions([.subscribe], { _ in answer }, change: { $0.unavailable = .allow }) {
            _, server, address in
            let client = try await RawClient.ready(address)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"news"},"cid":7}"##)
            #expect(try await client.nextText().contains(#""name":"UnavailableError""#))
            #expect(server.hooks.first?.presumed == [:])
        }
    }

    @Test func `asks the program first, and keeps what that decided`() async throws {
        let application = Application { app in
            app.middleware.inbound = { action in
                guard case .publishIn(let channel, _) = action.kind else { return .block }
                if channel == "closed" { return .block(ProtocolError(name: "Closed", message: "By the program")) }
                return .replace(data: JSONText(string: "program")).answering(JSONText(string: "done"))
            }
            app.middleware.actions = [.publishIn]
        }
        try await self.withDecisions(
            [.publish, .subscribe], channels: ["news"], { _ in .status(204) }, application: application
        ) {
            hook, _, address in
            let client = try await RawClient.ready(address)
            // The program is not asked about subscriptions.
            try await client.subscribe("news")
            try await client.publish("closed", "1", callID: 7)
            #expect(try await client.nextText() == #"{"rid":7,"error":{"message":"By the program","name":"Closed"}}"#)
            try await client.publish("news", "1", callID: 8)
            let answers = [try await client.nextText(), try await client.nextText()]
            #expect(answers.contains(RawClient.delivery("news", #""program""#)), "\(answers)")
            #expect(answers.contains(#"{"rid":8,"data":"done"}"#), "\(answers)")
            #expect(hook.received.last?.body.contains(#""data":"program","#) == true)
            #expect(hook.received.count == 2)
        }
    }

    @Test func `makes only that client wait for a decision`() async throws {
        try await self.withDecisions([.publish], channels: ["slow"], { _ in .silence }) { hook, _, address in
            let waiting = try await RawClient.ready(address)
            try await waiting.publish("slow", "1")
            try await hook.asked(1)
            let other = try await RawClient.ready(address)
            try await other.subscribe("news")
            try await other.publish("news", "1")
            #expect(try await other.nextText() == RawClient.delivery("news", "1"))
        }
    }
}

@Suite struct `A gate of a hook` {
    @Test func `lets so many in and so many wait, and nobody for ever`() async {
        let gate = HookGate(concurrency: 1, queue: 1)
        #expect(await gate.enter(within: .seconds(60)))
        #expect(await !gate.enter(within: .milliseconds(20)))
        #expect(gate.counts == (1, 0))
        let waiting = Task { await gate.enter(within: .seconds(60)) }
        while gate.counts.waiting == 0 { await Task.yield() }
        #expect(await !gate.enter(within: .seconds(60)))
        gate.leave()
        #expect(await waiting.value)
        #expect(gate.counts == (1, 0))
        gate.leave()
        #expect(gate.counts == (0, 0))
    }
}
