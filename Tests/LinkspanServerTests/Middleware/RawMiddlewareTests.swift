import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `Middleware of raw messages, and of nothing it was not told of` {
    @Test func `drops and replaces messages before they are looked at, pongs included`() async throws {
        let log = EventLog<String>()
        try await withApplicationServer { app in
            app.middleware.inboundRaw = { action in
                guard case .text(let text) = action.message else { return .allow }
                log.append(text)
                if text == "drop" || text.isEmpty { return .block }
                if text == "echo" {
                    return .replace(.text(#"[{"event":"echo","data":1,"cid":5},{"event":"echo","data":2,"cid":6}]"#))
                }
                return .allow
            }
            app.middleware.inbound = { _ in .allow }
            app.procedure("echo") { $0.data }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            try await client.send(all: ["drop", "", "echo", #"{"event":"echo","data":3,"cid":7}"#])
            #expect(try await client.nextText() == #"{"rid":5,"data":1}"#)
            #expect(try await client.nextText() == #"{"rid":6,"data":2}"#)
            #expect(try await client.nextText() == #"{"rid":7,"data":3}"#)
            #expect(log.events.dropFirst() == ["drop", "", "echo", #"{"event":"echo","data":3,"cid":7}"#])
            #expect(server.counters.messagesBlocked == 2)
        }
    }

    @Test func `asks about nothing that it was not told to ask about`() async throws {
        let log = EventLog<MiddlewareActionType>()
        try await withApplicationServer { app in
            app.middleware.actions = [.handshakeSC, .subscribe]
            app.middleware.handshake = { action in
                log.append(action.type)
                return .allow
            }
            app.middleware.inboundRaw = { _ in
                log.append(.message)
                return .allow
            }
            app.middleware.inbound = { action in
                log.append(action.type)
                return .allow
            }
            app.procedure("work") { _ in nil }
        } _: { _, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.publish("a", "1", callID: 3)
            _ = try await client.nextText("answer") { $0 == #"{"rid":3}"# }
            try await client.send(#"{"event":"work","cid":4}"#)
            _ = try await client.nextText("answer") { $0 == #"{"rid":4}"# }
            #expect(log.events == [.handshakeSC, .subscribe])
        }
    }
}
