import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `A server with an application` {
    private struct Secret: Error {}

    private static func json(_ text: String) throws -> JSONText { try JSONText(validating: text) }

    // MARK: Procedures and receivers

    @Test func `answers calls with what the procedure returns, and leaves unknown ones without an answer`() async throws
    {
        try await withApplicationServer(.v2) { app in
            app.procedure("echo") { $0.data }
            app.procedure("nothing") { _ in nil }
        } _: { _, address in
            let client = try await RawClient.ready(address)
            try await client.send(all: [
                #"{"event":"unknown","data":1,"cid":2}"#, #"{"event":"echo","data":{"a":[1.0]},"cid":3}"#,
            ])
            #expect(try await client.nextText() == #"{"rid":3,"data":{"a":[1.0]}}"#)
            try await client.send(#"{"event":"nothing","cid":4}"#)
            #expect(try await client.nextText() == #"{"rid":4}"#)
            try await client.send(#"{"event":"echo","data":null,"cid":5}"#)
            #expect(try await client.nextText() == #"{"rid":5,"data":null}"#)
        }
    }

    @Test func `sends errors as objects with their fields, as plain values, and without the text of strangers`()
        async throws
    {
        try await withApplicationServer(.v2) { app in
            app.procedure("object") { _ in
                throw ProtocolError(name: "QuotaError", message: "No more", fields: [.init("left", .integer(0))])
            }
            app.procedure("value") { _ in throw ErrorValue("just text") }
            app.procedure("other") { _ in throw Secret() }
        } _: { _, address in
            let client = try await RawClient.ready(address)
            try await client.send(#"{"event":"object","cid":2}"#)
            #expect(
                try await client.nextText()
                    == #"{"rid":2,"error":{"message":"No more","name":"QuotaError","left":0}}"#)
            try await client.send(#"{"event":"value","cid":3}"#)
            #expect(try await client.nextText() == #"{"rid":3,"error":"just text"}"#)
            try await client.send(#"{"event":"other","cid":4}"#)
            #expect(
                try await client.nextText()
                    == #"{"rid":4,"error":{"message":"The server failed to carry out the call","name":"ApplicationError"}}"#
            )
        }
    }

    @Test func `keeps procedures and receivers apart in protocol 2 and not in protocol 1`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            let log = EventLog<String>()
            try await withApplicationServer(choice) { app in
                app.procedure("work") { call in
                    log.append("work \(call.wantsAnswer)")
                    return nil
                }
                app.receiver("note") { log.append("note \($0.data?.description ?? "")") }
            } _: { _, address in
                let client = try await RawClient.ready(address)
                try await client.send(all: [
                    #"{"event":"work"}"#, #"{"event":"note","data":1,"cid":2}"#, #"{"event":"note","data":2}"#,
                    #"{"event":"work","cid":3}"#,
                ])
                #expect(try await client.nextText() == #"{"rid":3}"#)
                _ = try await log.first(from: 0, "note") { $0 == "note 2" }
                let expected: Set =
                    choice == .v1
                    ? ["work false", "note 1", "note 2", "work true"] : ["note 2", "work true"]
                #expect(Set(log.events) == expected)
                #expect(log.events.count == expected.count)
            }
        }
    }

    @Test func `handles events of one name in order, and reads no further while it has much to do`() async throws {
        let log = EventLog<Int>()
        let gate = Gate()
        try await withApplicationServer(.v2) { app in
            app.workLimit = 4
            app.receiver("count") { event in
                await gate.passes()
                log.append(Int(event.data?.description ?? "") ?? -1)
            }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            try await client.send(all: (0..<50).map { #"{"event":"count","data":\#($0)}"# })
            while server.counters.applicationPauses == 0 { await Task.yield() }
            #expect(log.count == 0)
            gate.open()
            _ = try await log.first(from: 0, "the last") { $0 == 49 }
            #expect(log.events == Array(0..<50))
        }
    }

    // MARK: Tokens

    @Test func `writes a token right before the answer of the call that set it`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            try await withApplicationServer(choice) { app in
                app.procedure("login") { call in
                    try await call.socket.setAuthToken(TokenClaims(["username": "bob"]))
                    return try Self.json(#"{"ok":true}"#)
                }
                app.procedure("whoami") { call in call.socket.claims?.value(named: "username") }
            } _: { _, address in
                let client = try await RawClient.ready(address)
                try await client.send(#"{"event":"login","cid":2}"#)
                let token = try await client.nextText()
                #expect(token.hasPrefix(##"{"event":"#setAuthToken","data":{"token":"ey"##))
                #expect(try await client.nextText() == #"{"rid":2,"data":{"ok":true}}"#)
                try await client.send(#"{"event":"whoami","cid":3}"#)
                #expect(try await client.nextText() == #"{"rid":3,"data":"bob"}"#)
                let text = token.dropFirst(##"{"event":"#setAuthToken","data":{"token":""##.count).dropLast(3)
                let (_, answer) = try await RawClient.shaking(address, token: String(text))
                #expect(answer.contains(#""isAuthenticated":true"#))
            }
        }
    }

    @Test func `removes a token, and waits for a delivery when it is asked to`() async throws {
        try await withApplicationServer(.v2) { app in
            app.procedure("logout") { call in
                call.socket.deauthenticate()
                return nil
            }
            app.procedure("forget") { call in
                try await call.socket.deauthenticateConfirmed()
                return JSONText(string: call.socket.isAuthenticated ? "still known" : "anonymous")
            }
            app.procedure("deliver") { call in
                try await call.socket.deliverAuthToken(TokenClaims(["username": "bob"]))
                return nil
            }
        } _: { _, address in
            let client = try await RawClient.ready(address)
            try await client.send(#"{"event":"deliver","cid":2}"#)
            #expect(try await client.nextText().hasPrefix(##"{"event":"#setAuthToken","cid":1,"data":{"token":"##))
            try await client.send(#"{"rid":1}"#)
            #expect(try await client.nextText() == #"{"rid":2}"#)
            try await client.send(#"{"event":"deliver","cid":3}"#)
            #expect(try await client.nextText().hasPrefix(##"{"event":"#setAuthToken","cid":2,"##))
            try await client.send(#"{"rid":2,"error":{"message":"full","name":"StorageError"}}"#)
            #expect(
                try await client.nextText()
                    == #"{"rid":3,"error":{"message":"Failed to deliver auth token to client - StorageError: full","name":"AuthError"}}"#
            )
            try await client.send(#"{"event":"logout","cid":4}"#)
            #expect(try await client.nextText() == RawClient.removal)
            #expect(try await client.nextText() == #"{"rid":4}"#)

            try await client.send(#"{"event":"deliver","cid":5}"#)
            _ = try await client.nextText()
            try await client.send(#"{"rid":3}"#)
            #expect(try await client.nextText() == #"{"rid":5}"#)
            try await client.send(#"{"event":"forget","cid":6}"#)
            #expect(try await client.nextText() == ##"{"event":"#removeAuthToken","cid":4}"##)
            try await client.send(#"{"rid":4}"#)
            #expect(try await client.nextText() == #"{"rid":6,"data":"anonymous"}"#)
        }
    }

    // MARK: The server speaks first

    @Test func `calls clients, and tells answers, errors, silence and broken connections apart`() async throws {
        try await withApplicationServer(.v2) { _ in
        } _: { server, address in
            let client = try await RawClient.ready(address)
            let socket = try #require(await server.sockets.first)
            socket.transmit("hello", try Self.json("[1]"))
            #expect(try await client.nextText() == #"{"event":"hello","data":[1]}"#)

            async let first = socket.invoke("add", try Self.json("[1,2]"))
            #expect(try await client.nextText() == #"{"event":"add","cid":1,"data":[1,2]}"#)
            try await client.send(#"{"rid":1,"data":3}"#)
            #expect(try await first == Self.json("3"))

            let second = Task { try await socket.invoke("fail") }
            #expect(try await client.nextText() == #"{"event":"fail","cid":2}"#)
            try await client.send(#"{"rid":2,"error":{"message":"no","name":"Odd","code":7}}"#)
            await #expect(
                throws: ProtocolError(name: "Odd", message: "no", fields: [.init("code", .json(try Self.json("7")))])
            ) { try await second.value }

            await #expect(throws: ProtocolError.timedOut(event: "silence", dialect: .v2)) {
                try await socket.invoke("silence", timeout: .milliseconds(50))
            }
            #expect(server.counters.callsTimedOut == 1)
            #expect(try await client.nextText() == #"{"event":"silence","cid":3}"#)

            let last = Task { try await socket.invoke("late") }
            #expect(try await client.nextText() == #"{"event":"late","cid":4}"#)
            try await client.disconnect()
            await #expect(throws: ProtocolError.badConnection(event: "late", isAbort: false)) { try await last.value }
            await #expect(throws: ProtocolError.badConnection(event: "gone", isAbort: false)) {
                try await socket.invoke("gone")
            }
        }
    }

    @Test func `kicks clients out of channels and off the server, in the words of their protocol`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            try await withApplicationServer(choice) { _ in
            } _: { server, address in
                let client = try await RawClient.ready(address)
                for channel in ["a", "b", "c"] { try await client.subscribe(channel) }
                let socket = try #require(await server.sockets.first)
                socket.kickOut("a", message: "bye")
                let data = choice == .v1 ? #"{"message":"bye","channel":"a"}"# : #"{"channel":"a","message":"bye"}"#
                #expect(try await client.nextText() == ##"{"event":"#kickOut","data":\##(data)}"##)
                #expect(Set(await socket.channels.map(\.string)) == ["b", "c"])
                socket.kickOut()
                let rest: Set = [try await client.nextText(), try await client.nextText()]
                #expect(
                    rest == [
                        ##"{"event":"#kickOut","data":{"channel":"b"}}"##,
                        ##"{"event":"#kickOut","data":{"channel":"c"}}"##,
                    ])
                #expect(await socket.channels.isEmpty)
                socket.disconnect(code: CloseCode(rawValue: 4500), reason: "enough")
                if choice == .v1 {
                    #expect(
                        try await client.nextText()
                            == ##"{"event":"#disconnect","data":{"code":4500,"data":"enough"}}"##)
                }
                #expect(try await client.closeCode() == 4500)
                #expect(!socket.isOpen)
            }
        }
    }

    // MARK: Events

    @Test func `tells what happens to connections, in order`() async throws {
        try await withApplicationServer(.v2) { _ in
        } _: { server, address in
            let events = server.connectionEvents()
            let token = try await TestTokens.make(#""sub":"ann""# + TestTokens.forever)
            let client = try await RawClient.open(address, fields: "X-Test: yes\r\n")
            try await client.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await client.nextText()
            _ = try await client.authenticate(token)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"a","data":{"why":1}},"cid":2}"##)
            _ = try await client.nextText()
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":3}"##)
            _ = try await client.nextText()
            try await client.send(##"{"event":"#removeAuthToken"}"##)
            try await client.close(4321)
            var seen: [String] = []
            for await event in events {
                switch event {
                case .opened(let socket): seen.append("opened \(socket.request.field("x-test") ?? "")")
                case .handshake(let socket): seen.append("handshake \(socket.isAuthenticated)")
                case .authenticationChanged(_, let claims): seen.append("claims \(claims?.string("sub") ?? "none")")
                case .subscribed(_, let channel, let data):
                    seen.append("subscribed \(channel.string) \(data?.description ?? "")")
                case .unsubscribed(_, let channel): seen.append("unsubscribed \(channel.string)")
                case .disconnected(_, let code, _): seen.append("disconnected \(code.rawValue)")
                }
                if case .disconnected = event { break }
            }
            #expect(
                seen == [
                    "opened yes", "handshake false", "claims ann", #"subscribed a {"why":1}"#, "unsubscribed a",
                    "claims none", "disconnected 4321",
                ])
            #expect(events.droppedCount == 0)
        }
    }
}
