import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `A server with middleware` {
    private struct Secret: Error {}

    private static let denied = ProtocolError(name: "Denied", message: "not you")
    private static let deniedText = #"{"message":"not you","name":"Denied"}"#

    private func withMiddleware(
        _ protocolChoice: ProtocolChoice = .v2, _ configure: (inout Application) -> Void,
        change: (inout ServerSettings) -> Void = { _ in },
        _ body: (LinkspanServer, SocketAddress) async throws -> Void
    ) async throws {
        try await withServer(
            application: Application(configure),
            { settings in
                settings.auth = TestTokens.settings
                settings.protocolChoice = protocolChoice
                change(&settings)
            }, body)
    }

    // MARK: Handshake

    @Test func `refuses a WebSocket with HTTP 401 and the words of its middleware`() async throws {
        try await self.withMiddleware { app in
            app.middleware.handshake = { action in
                guard case .handshakeWS(let request, _) = action else { return .allow }
                switch request.field("x-test") {
                case "error": return .block(Self.denied)
                case "text": return .block(ErrorValue("go away"))
                case "throws": throw Secret()
                case "silent": return .block
                default: return .allow
                }
            }
        } _: { server, address in
            let bodies = [
                "error": "not you", "text": "go away", "throws": "The server failed to decide",
                "silent": "The handshakeWS AGAction was blocked by handshake middleware",
            ]
            for (kind, body) in bodies {
                let client = try await RawClient.connect(address)
                try await client.send(bytes: Array(RawClient.request(fields: "X-Test: \(kind)\r\n").utf8))
                guard case .response(let response) = try await client.next("answer") else {
                    Issue.record("no HTTP answer to \(kind)")
                    continue
                }
                #expect(response.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
                #expect(response.hasSuffix("\r\n\r\n" + body))
            }
            #expect(server.counters.handshakesBlocked == 4)
            _ = try await RawClient.ready(address)
        }
    }

    @Test func `refuses a handshake with the error and the close code of its middleware`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            try await self.withMiddleware(choice) { app in
                app.middleware.handshake = { action in
                    guard case .handshakeSC(let socket, let token) = action else { return .allow }
                    #expect(!socket.isOpen)
                    switch token.claims?.string("sub") {
                    case "ann": return .allow
                    case "bob":
                        return .block(
                            ProtocolError(name: "Full", message: "no", fields: [.init("statusCode", .integer(4501))]))
                    case nil: return token.signed == nil ? .block : .block(token.error ?? Self.denied)
                    default: return .block(ErrorValue("go"))
                    }
                }
            } _: { server, address in
                func refused(_ token: String?, _ error: String, _ code: UInt16) async throws {
                    let client = try await RawClient.open(address)
                    let token = token.map { "\"\($0)\"" } ?? "null"
                    try await client.send(##"{"event":"#handshake","data":{"authToken":\##(token)},"cid":1}"##)
                    let extra = choice == .v1 ? #","data":{"code":\#(code)}"# : ""
                    #expect(try await client.nextText() == #"{"rid":1,"error":\#(error)\#(extra)}"#)
                    if choice == .v1 {
                        #expect(
                            try await client.nextText() == ##"{"event":"#disconnect","data":{"code":\##(code)}}"##)
                    }
                    #expect(try await client.closeCode() == code)
                }
                let name = "SilentMiddlewareBlockedError"
                let silent =
                    choice == .v1
                    ? #"{"message":"Action was silently blocked by handshakeSC middleware","name":"\#(name)","type":"handshakeSC","statusCode":4008}"#
                    : #"{"message":"The handshakeSC AGAction was blocked by handshake middleware","name":"\#(name)","type":"handshake","statusCode":4008}"#
                try await refused(nil, silent, 4008)
                let bob = try await TestTokens.make(#""sub":"bob""# + TestTokens.forever)
                try await refused(bob, #"{"message":"no","name":"Full","statusCode":4501}"#, 4501)
                let eve = try await TestTokens.make(#""sub":"eve""# + TestTokens.forever)
                try await refused(eve, #"{"message":"go","name":"Error","statusCode":4008}"#, 4008)
                let ann = try await TestTokens.make(#""sub":"ann""# + TestTokens.forever)
                let (_, answer) = try await RawClient.shaking(address, token: ann)
                #expect(answer.contains(#""isAuthenticated":true"#))
                #expect(server.counters.handshakesBlocked == 3)
                #expect(server.counters.anonymousRefused == 0)
            }
        }
    }

    @Test func `leaves a client anonymous whose valid token its middleware does not want`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            try await self.withMiddleware(choice) { app in
                app.middleware.inbound = { action in
                    guard case .authenticate(_, let claims) = action.kind else { return .allow }
                    guard claims.string("sub") == "bad" else { return .block(Self.denied) }
                    return .block(
                        ProtocolError(name: "Denied", message: "not you", fields: [.init("isBadToken", .boolean(true))])
                    )
                }
            } _: { _, address in
                let kept = try await TestTokens.make(#""sub":"kept""# + TestTokens.forever)
                let bad = try await TestTokens.make(#""sub":"bad""# + TestTokens.forever)
                let (client, answer) = try await RawClient.shaking(address, token: kept)
                #expect(
                    answer.contains(#""authError":\#(Self.deniedText),"isAuthenticated":false"#)
                        || answer.contains(#""isAuthenticated":false,"authError":\#(Self.deniedText)"#))
                let refusal = try await client.authenticate(kept)
                #expect(refusal == #"{"rid":9,"data":{"isAuthenticated":false,"authError":\#(Self.deniedText)}}"#)
                try await client.send(##"{"event":"#authenticate","data":"\##(bad)","cid":10}"##)
                let texts: Set = [try await client.nextText(), try await client.nextText()]
                #expect(texts.contains { $0.contains(#""isBadToken":true"#) && $0.contains(#""error":"#) })
                #expect(texts.contains { $0.hasPrefix(##"{"event":"#removeAuthToken""##) })
            }
        }
    }

    // MARK: Inbound

    @Test func `blocks calls and events with an error, a value or silence`() async throws {
        for choice in [ProtocolChoice.v1, .v2] {
            let log = EventLog<String>()
            try await self.withMiddleware(choice) { app in
                app.procedure("work") { call in
                    log.append(call.data?.description ?? "none")
                    return call.data
                }
                app.middleware.inbound = { action in
                    switch action.kind {
                    case .invoke(_, let data), .transmit(_, let data):
                        switch data?.description {
                        case "1": return .block(Self.denied)
                        case "2": return .block(ErrorValue("just text"))
                        case "3": return .block
                        case "4": throw Secret()
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
                    #"{"rid":1,"error":\#(Self.deniedText)}"#, #"{"rid":2,"error":"just text"}"#,
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
        try await self.withMiddleware { app in
            app.middleware.inbound = { action in
                switch action.kind {
                case .subscribe(let channel, let data):
                    return channel.string == "closed" && data?.description != "\"key\"" ? .block(Self.denied) : .allow
                case .publishIn(_, let data) where data?.description == "0": return .block(Self.denied)
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
            #expect(try await client.nextText() == #"{"rid":2,"error":\#(Self.deniedText)}"#)
            #expect(server.counters.subscriptions == 0)
            try await client.send(##"{"event":"#subscribe","data":{"channel":"closed","data":"key"},"cid":3}"##)
            #expect(try await client.nextText() == #"{"rid":3}"#)
            try await client.publish("closed", "0")
            try await client.publish("closed", "0", callID: 4)
            #expect(try await client.nextText() == #"{"rid":4,"error":\#(Self.deniedText)}"#)
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
        try await self.withMiddleware { app in
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
        try await self.withMiddleware { app in
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
        try await self.withMiddleware { app in
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
        try await self.withMiddleware { app in
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

    // MARK: Raw

    @Test func `drops and replaces messages before they are looked at, pongs included`() async throws {
        let log = EventLog<String>()
        try await self.withMiddleware { app in
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
        try await self.withMiddleware { app in
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

    // MARK: Outbound

    @Test func `decides for each subscriber what it gets, whoever published it and whatever it reads`() async throws {
        try await self.withMiddleware(.auto) { app in
            app.middleware.outbound = { action in
                let isOpen = action.socket.request.field("x-role") == "guest"
                switch action.data?.description {
                case "1" where isOpen: return .block
                case "2" where isOpen: return .replace(data: JSONText(string: "less"))
                case "3" where isOpen: throw Secret()
                default: return .allow
                }
            }
        } _: { server, address in
            let member = try await RawClient.ready(address)
            let guest = try await RawClient.open(address, fields: "X-Role: guest\r\n")
            try await guest.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await guest.nextText("handshake's answer")
            let compact = try await RawClient.open(address, fields: "X-Role: guest\r\n")
            try await compact.send(packed: ##"{"event":"#handshake","data":{},"cid":1}"##)
            _ = try await compact.nextPacked("handshake's answer")
            try await compact.send(packed: ##"{"event":"#subscribe","data":{"channel":"a"},"cid":2}"##)
            _ = try await compact.nextPacked("answer to a subscription")
            for client in [member, guest] { try await client.subscribe("a") }

            let publisher = try await RawClient.ready(address)
            for number in 1...4 { try await publisher.publish("a", "\(number)", callID: number + 1) }
            for number in 1...4 { #expect(try await publisher.nextText() == #"{"rid":\#(number + 1)}"#) }
            server.broker.exchange("a", JSONText(string: "from us"))
            server.broker.publish("a", nil)

            let ends = [RawClient.delivery("a", #""from us""#), ##"{"event":"#publish","data":{"channel":"a"}}"##]
            for expected in (1...4).map({ RawClient.delivery("a", "\($0)") }) + ends {
                #expect(try await member.nextText() == expected)
            }
            for expected in [RawClient.delivery("a", #""less""#), RawClient.delivery("a", "4")] + ends {
                #expect(try await guest.nextText() == expected)
                // MessagePack has no publish without data.
                let packed = expected == ends[1] ? RawClient.delivery("a", "null") : expected
                #expect(try await compact.nextPacked("publish") == packed)
            }
            #expect(server.counters.deliveriesBlocked == 4)
            #expect(server.counters.deliveries == 14)
        }
    }

    @Test func `keeps a slow decision about one subscriber to that one, in order and in time`() async throws {
        let gate = Gate()
        try await self.withMiddleware { app in
            app.middleware.outbound = { action in
                if action.socket.request.field("x-slow") != nil { await gate.passes() }
                return .allow
            }
        } _: { server, address in
            let slow = try await RawClient.open(address, fields: "X-Slow: yes\r\n")
            try await slow.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await slow.nextText("handshake's answer")
            let fast = try await RawClient.ready(address)
            for client in [slow, fast] { for channel in ["a", "b"] { try await client.subscribe(channel) } }
            for number in 0..<20 { try await fast.publish(number % 2 == 0 ? "a" : "b", "\(number)") }
            for _ in 0..<20 { _ = try await fast.nextText() }
            // What it has left, it gets nothing from any more.
            try await slow.send(##"{"event":"#unsubscribe","data":"b","cid":3}"##)
            #expect(try await slow.nextText() == #"{"rid":3}"#)
            gate.open()
            for number in 0..<10 { #expect(try await slow.nextText() == RawClient.delivery("a", "\(number * 2)")) }
        }
    }

    @Test func `blocks a publish that nobody decides about in time`() async throws {
        let gate = Gate()
        try await self.withMiddleware { app in
            app.middleware.timeLimit = .milliseconds(50)
            app.middleware.actions = [.publishOut]
            app.middleware.outbound = { _ in
                await gate.passes()
                return .allow
            }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.publish("a", "1", callID: 2)
            try await client.publish("a", "2", callID: 3)
            _ = try await eventually("two publishes blocked") { server.counters.deliveriesBlocked == 2 ? true : nil }
            #expect(server.counters.decisionsTimedOut == 2)
            gate.open()
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":4}"##)
            _ = try await client.nextText("answer") { $0 == #"{"rid":4}"# }
            #expect(!client.texts.contains { $0.contains("#publish") })
        }
    }

    @Test func `asks about the channels that it was told to ask about, and keeps the order with others`() async throws {
        let channels = try [Glob("asked/*")]
        try await self.withMiddleware { app in
            app.middleware.channels = channels
            app.middleware.actions = [.publishIn, .publishOut]
            app.middleware.inbound = { action in
                guard case .publishIn(_, let data) = action.kind else { return .allow }
                return .replace(data: JSONText(string: "in \(data?.description ?? "")"))
            }
            app.middleware.outbound = { action in
                await Task.yield()
                return action.data?.description == #""in 2""# ? .block : .allow
            }
        } _: { _, address in
            let subscriber = try await RawClient.ready(address)
            for channel in ["asked/a", "free"] { try await subscriber.subscribe(channel) }
            let publisher = try await RawClient.ready(address)
            for number in 1...6 {
                try await publisher.publish(number % 2 == 0 ? "asked/a" : "free", "\(number)", callID: number + 1)
                // One channel after the other: owners of two have no order between them.
                if number != 2 { _ = try await subscriber.nextText("publish \(number)") { $0.contains("\(number)") } }
            }
            #expect(
                subscriber.texts.filter { $0.contains("#publish") }
                    == [1, 3, 4, 5, 6].map { number in
                        number % 2 == 0
                            ? RawClient.delivery("asked/a", "\"in \(number)\"")
                            : RawClient.delivery("free", "\(number)")
                    })
        }
    }

    @Test func `closes a subscriber for which more waits than may, and nobody else`() async throws {
        let gate = Gate()
        try await self.withMiddleware { app in
            app.middleware.outbound = { action in
                if action.socket.request.field("x-slow") != nil { await gate.passes() }
                return .allow
            }
        } change: { settings in
            settings.limits.outboundBytes = 10_000
        } _: { server, address in
            let slow = try await RawClient.open(address, fields: "X-Slow: yes\r\n")
            try await slow.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await slow.nextText("handshake's answer")
            try await slow.subscribe("a")
            let fast = try await RawClient.ready(address)
            try await fast.subscribe("a")
            let data = JSONText(string: String(repeating: "x", count: 1000))
            for number in 0..<12 {
                try await fast.publish("a", data.description, callID: 10 + number)
                for _ in 0..<2 { _ = try await fast.nextText() }
            }
            #expect(try await slow.closeCode() == 4100)
            #expect(server.counters.slowSubscribersClosed == 1)
            try await fast.publish("a", "2", callID: 3)
            _ = try await fast.nextText("publish") { $0 == RawClient.delivery("a", "2") }
            gate.open()
        }
    }
}

extension RawClient {
    /// Sends the packet that is this JSON text in sc-codec-min-bin.
    fileprivate func send(packed packet: String) async throws {
        var bytes: [UInt8] = []
        try MinBinCodec().encode(Array(packet.utf8).span.bytes, into: &bytes)
        try await self.send(bytes: RawClient.frame(.binary, bytes))
    }

    /// The next packet in sc-codec-min-bin, as JSON text.
    fileprivate func nextPacked(_ what: String) async throws -> String {
        let event = try await self.next(what) { event in
            if case .binary = event { return true }
            return event == .disconnected
        }
        guard case .binary(let bytes) = event else { throw TimedOut(what: what, limit: nil, seen: "\(event)") }
        var text: [UInt8] = []
        try MinBinCodec().decode(bytes.span.bytes, into: &text)
        return String(decoding: text, as: UTF8.self)
    }
}
