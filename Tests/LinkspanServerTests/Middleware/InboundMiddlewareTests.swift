import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `Middleware of what clients ask for` {
    @Test func `blocks calls and events with an error, a value or silence`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            let log = EventLog<String>()
            try await withApplicationServer(choice) { app in
                app.procedure("work") { call in
                    log.append(call.data?.description ?? "none")
                    return call.data
                }
                app.middleware.inbound = { action in
                    switch action.kind {
                    case .invoke(_, let data), .transmit(_, let data):
                        switch data?.description {
                        case "1": return .block(TestMiddleware.denied)
                        case "2": return .block(ErrorValue("just text"))
                        case "3": return .block
                        case "4": throw TestMiddleware.Secret()
                        case "5": return .replace(data: JSONText(string: "five"))
                        case "6": return .replace(data: nil)
                        case "7":
                            return .block(
                                ProtocolError(name: "X", message: "y", fields: [.init("silent", .boolean(true))]))
                        default: return .allow
                        }
                    case .subscribe, .publishIn, .authenticate: return .allow
                    }
                }
            } _: { server, address in
                let client = try await RawClient.ready(address)
                try await client.send(#"{"event":"work","data":1}"#)
                try await client.send(all: (1...8).map { #"{"event":"work","data":\#($0),"cid":\#($0)}"# })
                let silent =
                    choice == .v1
                    ? #"{"message":"Action was silently blocked by emit middleware","name":"SilentMiddlewareBlockedError","type":"emit"}"#
                    : #"{"message":"The invoke AGAction was blocked by inbound middleware","name":"SilentMiddlewareBlockedError","type":"inbound"}"#
                let expected: Set = [
                    #"{"rid":1,"error":\#(TestMiddleware.deniedText)}"#, #"{"rid":2,"error":"just text"}"#,
                    #"{"rid":3,"error":\#(silent)}"#,
                    #"{"rid":4,"error":{"message":"The server failed to decide","name":"ApplicationError"}}"#,
                    #"{"rid":5,"data":"five"}"#, #"{"rid":6}"#, #"{"rid":7,"error":\#(silent)}"#,
                    #"{"rid":8,"data":8}"#,
                ]
                var seen: Set<String> = []
                for _ in expected { seen.insert(try await client.nextText()) }
                #expect(seen == expected)
                #expect(log.events == ["\"five\"", "none", "8"])
                #expect(server.counters.actionsBlocked == 6)
            }
        }
    }

    @Test func `decides about subscriptions and publishes, and answers what it replaces`() async throws {
        try await withApplicationServer { app in
            app.middleware.inbound = { action in
                switch action.kind {
                case .subscribe(let channel, let data):
                    return channel.string == "closed" && data?.description != "\"key\""
                        ? .block(TestMiddleware.denied) : .allow
                case .publishIn(_, let data) where data?.description == "0": return .block(TestMiddleware.denied)
                case .publishIn(_, let data) where data?.description == "1":
                    return .replace(data: JSONText(string: "one"))
                case .publishIn(_, let data) where data?.description == "2":
                    return .allow.answering(JSONText(string: "done"))
                case .publishIn, .transmit, .invoke, .authenticate: return .allow
                }
            }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"closed"},"cid":2}"##)
            #expect(try await client.nextText() == #"{"rid":2,"error":\#(TestMiddleware.deniedText)}"#)
            #expect(server.counters.subscriptions == 0)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"closed","data":"key"},"cid":3}"##)
            #expect(try await client.nextText() == #"{"rid":3}"#)
            try await client.publish("closed", "0")
            try await client.publish("closed", "0", callID: 4)
            #expect(try await client.nextText() == #"{"rid":4,"error":\#(TestMiddleware.deniedText)}"#)
            for number in 1...3 { try await client.publish("closed", "\(number)", callID: 4 + number) }
            let expected: Set = [
                RawClient.delivery("closed", #""one""#), #"{"rid":5}"#, RawClient.delivery("closed", "2"),
                #"{"rid":6,"data":"done"}"#, RawClient.delivery("closed", "3"), #"{"rid":7}"#,
            ]
            var seen: Set<String> = []
            for _ in expected { seen.insert(try await client.nextText()) }
            #expect(seen == expected)
            #expect(server.counters.publishesReceived == 3)
        }
    }

    @Test func `keeps the order of batches and messages while a decision waits, and lets other clients pass`()
        async throws
    {
        let gate = Gate()
        try await withApplicationServer { app in
            app.middleware.inbound = { action in
                if case .publishIn(_, let data) = action.kind, data?.description == "1" { await gate.passes() }
                return .allow
            }
            app.procedure("echo") { $0.data }
        } _: { server, address in
            let subscriber = try await RawClient.ready(address)
            try await subscriber.subscribe("a")
            let slow = try await RawClient.ready(address)
            let batch = (0..<4).map { RawClient.publish("a", "\($0)", callID: 10 + $0) }.joined(separator: ",")
            try await slow.send(all: ["[\(batch)]", RawClient.publish("a", "4", callID: 14)])
            try await slow.send(all: [RawClient.publish("a", "5", callID: 15), #"{"event":"echo","data":6,"cid":16}"#])
            #expect(try await subscriber.nextText() == RawClient.delivery("a", "0"))

            let other = try await RawClient.ready(address)
            try await other.publish("a", "7", callID: 2)
            #expect(try await other.nextText() == #"{"rid":2}"#)
            #expect(try await subscriber.nextText() == RawClient.delivery("a", "7"))
            #expect(try await slow.nextText() == #"{"rid":10}"#)

            gate.open()
            for number in 1...5 { #expect(try await subscriber.nextText() == RawClient.delivery("a", "\(number)")) }
            for number in 1...5 { #expect(try await slow.nextText() == #"{"rid":\#(10 + number)}"#) }
            #expect(try await slow.nextText() == #"{"rid":16,"data":6}"#)
        }
    }

    @Test func `blocks what nobody decides in time, counts it, and goes on`() async throws {
        let gate = Gate()
        try await withApplicationServer { app in
            app.middleware.timeLimit = .milliseconds(100)
            // Nobody is in a hurry to decide about anything else, however slow the machine is.
            app.middleware.actions = [.publishIn]
            app.middleware.inbound = { _ in
                await gate.passes()
                return .allow
            }
            app.procedure("echo") { $0.data }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.send(all: [RawClient.publish("a", "1", callID: 2), #"{"event":"echo","data":2,"cid":3}"#])
            #expect(
                try await client.nextText()
                    == #"{"rid":2,"error":{"message":"The inbound middleware took too long to decide about publishIn","name":"TimeoutError"}}"#
            )
            #expect(try await client.nextText() == #"{"rid":3,"data":2}"#)
            #expect(server.counters.decisionsTimedOut == 1)
            #expect(server.counters.actionsBlocked == 1)
            // The decision that comes at last is about nothing.
            gate.open()
            try await client.send(#"{"event":"echo","data":4,"cid":4}"#)
            #expect(try await client.nextText() == #"{"rid":4,"data":4}"#)
        }
    }

    @Test func `forgets what waits for a decision when the connection ends`() async throws {
        let log = EventLog<String>()
        let gate = Gate()
        try await withApplicationServer { app in
            app.middleware.inbound = { action in
                guard case .publishIn = action.kind else { return .allow }
                await withTaskCancellationHandler {
                    log.append("asked")
                    await gate.passes()
                } onCancel: {
                    log.append("cancelled")
                }
                return .allow
            }
        } _: { server, address in
            let subscriber = try await RawClient.ready(address)
            try await subscriber.subscribe("a")
            let client = try await RawClient.ready(address)
            try await client.publish("a", "1")
            _ = try await log.first(from: 0, "asked") { $0 == "asked" }
            try await client.disconnect()
            _ = try await log.first(from: 0, "cancelled") { $0 == "cancelled" }
            gate.open()
            server.broker.publish("a", JSONText(string: "last"))
            #expect(try await subscriber.nextText() == RawClient.delivery("a", #""last""#))
        }
    }

    @Test func `tells inbound middleware that the token has run out`() async throws {
        try await withApplicationServer { app in
            app.procedure("work") { _ in nil }
            app.middleware.inbound = { action in
                guard case .invoke = action.kind else { return .allow }
                return action.tokenExpired.map { .block($0) } ?? .allow
            }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            let socket = try #require(await server.sockets.first)
            try await socket.setAuthToken(TokenClaims(json: Array(#"{"sub":"ann","exp":1000}"#.utf8))!)
            _ = try await client.nextText("token") { $0.contains("#setAuthToken") }
            try await client.send(all: [#"{"event":"work","cid":2}"#, #"{"event":"work","cid":3}"#])
            #expect(try await client.nextText() == RawClient.removal)
            #expect(
                try await client.nextText()
                    == #"{"rid":2,"error":{"message":"The socket auth token has expired","name":"AuthTokenExpiredError","expiry":1000}}"#
            )
            #expect(try await client.nextText() == #"{"rid":3}"#)
        }
    }
}
