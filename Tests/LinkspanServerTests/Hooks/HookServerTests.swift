import LinkspanBridgeKit
import LinkspanCore
import LinkspanWire
import NIOCore
import Testing

@testable import LinkspanServer

@Suite struct `A server with hooks` {
    private func withHooks(
        _ answers: @escaping @Sendable (_ index: Int) -> HookServer.Answer,
        procedures: [String] = ["**"], application: Application? = nil, protocolChoice: ProtocolChoice = .v2,
        change: (inout HookSettings) -> Void = { _ in },
        _ body: (HookServer, LinkspanServer, SocketAddress) async throws -> Void
    ) async throws {
        try await HookServer.with(answers) { hook in
            var settings = HookSettings(name: "accounts", url: hook.url)
            settings.procedures = procedures
            settings.timeout = .seconds(60)
            change(&settings)
            try await withServer(
                application: application,
                { server in
                    server.auth = TestTokens.settings
                    server.protocolChoice = protocolChoice
                    server.hooks = [settings]
                }
            ) { server, address in try await body(hook, server, address) }
        }
    }

    @Test func `lets the service answer, and writes the token that it gives right before the answer`() async throws {
        try await self.withHooks({ _ in
            .status(200, #"{"data":{"welcome":"ann"},"setAuthToken":{"sub":"ann"}}"#)
        }) { hook, server, address in
            let client = try await RawClient.ready(address)
            try await client.send(#"{"event":"login","data":{"name":"ann"},"cid":2}"#)
            let token = try await client.nextText("token")
            #expect(token.hasPrefix(##"{"event":"#setAuthToken","data":{"token":""##), "\(token)")
            #expect(try await client.nextText("answer") == #"{"rid":2,"data":{"welcome":"ann"}}"#)
            // The next call carries who it is now.
            try await client.send(#"{"event":"whoami","cid":3}"#)
            _ = try await client.nextText("token")
            _ = try await client.nextText("answer")
            let bodies = hook.received.map(\.body)
            #expect(bodies.count == 2)
            #expect(bodies.first?.contains(#""name":"login","data":{"name":"ann"},"#) == true)
            #expect(bodies.first?.hasSuffix(#""address":"127.0.0.1","claims":null}}"#) == true)
            #expect(bodies.last?.contains(#""name":"whoami","socket":"#) == true)
            #expect(bodies.last?.contains(#""claims":{"sub":"ann","iat":"#) == true)
            #expect(server.hooks.map(\.answered) == [2])
        }
    }

    @Test func `tells the client the error of the service, or that there was no answer`() async throws {
        try await self.withHooks({
            $0 == 0 ? .status(200, #"{"error":{"name":"AuthError","message":"Who?"}}"#) : .status(500, "secret trace")
        }) { _, server, address in
            let client = try await RawClient.ready(address)
            try await client.send(#"{"event":"login","cid":2}"#)
            #expect(try await client.nextText() == #"{"rid":2,"error":{"message":"Who?","name":"AuthError"}}"#)
            try await client.send(#"{"event":"login","cid":3}"#)
            #expect(
                try await client.nextText()
                    == #"{"rid":3,"error":{"message":"The service behind this is not available","name":"UnavailableError"}}"#
            )
            #expect(server.hooks.first?.failures == [.serverError: 1])
        }
    }

    @Test func `asks about procedures that match and that the program does not serve itself`() async throws {
        let application = Application { $0.procedure("account/own") { _ in JSONText(string: "own") } }
        try await self.withHooks(
            { _ in .status(200, #"{"data":"hook"}"#) }, procedures: ["account/*", "login"], application: application
        ) { hook, _, address in
            let client = try await RawClient.ready(address)
            // Nobody serves the first; a client of protocol 2 does not call procedures without an ID.
            try await client.send(all: [#"{"event":"other","cid":2}"#, #"{"event":"login"}"#])
            try await client.send(#"{"event":"account/own","cid":3}"#)
            #expect(try await client.nextText() == #"{"rid":3,"data":"own"}"#)
            try await client.send(#"{"event":"account/new","cid":4}"#)
            #expect(try await client.nextText() == #"{"rid":4,"data":"hook"}"#)
            #expect(hook.received.count == 1)
        }
    }

    @Test func `serves calls of protocol 1 with an ID and without`() async throws {
        try await self.withHooks({ _ in .status(204) }, protocolChoice: .v1) { hook, _, address in
            let client = try await RawClient.ready(address)
            try await client.send(all: [#"{"event":"note","data":1}"#, #"{"event":"note","data":2,"cid":2}"#])
            #expect(try await client.nextText() == #"{"rid":2}"#)
            #expect(hook.received.count == 2)
        }
    }

    @Test func `makes nobody else wait while a service is silent`() async throws {
        try await self.withHooks({ _ in .silence }, procedures: ["slow"]) { hook, server, address in
            let waiting = try await RawClient.ready(address)
            try await waiting.send(#"{"event":"slow","cid":2}"#)
            try await hook.asked(1)
            // The same client goes on, and so do the others.
            let other = try await RawClient.ready(address)
            try await waiting.subscribe("news")
            try await other.subscribe("news")
            try await other.publish("news", "1")
            #expect(try await waiting.nextText() == RawClient.delivery("news", "1"))
            #expect(try await other.nextText() == RawClient.delivery("news", "1"))
            #expect(server.hooks.map(\.underWay) == [1])
        }
    }

    @Test func `tells the client of a timeout`() async throws {
        try await self.withHooks({ _ in .silence }, change: { $0.timeout = .milliseconds(200) }) { _, server, address in
            let client = try await RawClient.ready(address)
            try await client.send(#"{"event":"slow","cid":2}"#)
            #expect(
                try await client.nextText()
                    == #"{"rid":2,"error":{"message":"The service behind this did not answer in time","name":"TimeoutError"}}"#
            )
            #expect(server.hooks.first?.failures == [.timedOut: 1])
        }
    }
}
