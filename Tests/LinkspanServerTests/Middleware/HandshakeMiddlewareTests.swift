import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `Middleware of handshakes` {
    @Test func `refuses a WebSocket with HTTP 401 and the words of its middleware`() async throws {
        try await withApplicationServer { app in
            app.middleware.handshake = { action in
                guard case .handshakeWS(let request, _) = action else { return .allow }
                switch request.field("x-test") {
                case "error": return .block(TestMiddleware.denied)
                case "text": return .block(ErrorValue("go away"))
                case "throws": throw TestMiddleware.Secret()
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
            try await withApplicationServer(choice) { app in
                app.middleware.handshake = { action in
                    guard case .handshakeSC(let socket, let token) = action else { return .allow }
                    #expect(!socket.isOpen)
                    switch token.claims?.string("sub") {
                    case "ann": return .allow
                    case "bob":
                        return .block(
                            ProtocolError(name: "Full", message: "no", fields: [.init("statusCode", .integer(4501))]))
                    case nil: return token.signed == nil ? .block : .block(token.error ?? TestMiddleware.denied)
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
            try await withApplicationServer(choice) { app in
                app.middleware.inbound = { action in
                    guard case .authenticate(_, let claims) = action.kind else { return .allow }
                    guard claims.string("sub") == "bad" else { return .block(TestMiddleware.denied) }
                    return .block(
                        ProtocolError(name: "Denied", message: "not you", fields: [.init("isBadToken", .boolean(true))])
                    )
                }
            } _: { _, address in
                let kept = try await TestTokens.make(#""sub":"kept""# + TestTokens.forever)
                let bad = try await TestTokens.make(#""sub":"bad""# + TestTokens.forever)
                let (client, answer) = try await RawClient.shaking(address, token: kept)
                #expect(
                    answer.contains(#""authError":\#(TestMiddleware.deniedText),"isAuthenticated":false"#)
                        || answer.contains(#""isAuthenticated":false,"authError":\#(TestMiddleware.deniedText)"#))
                let refusal = try await client.authenticate(kept)
                #expect(
                    refusal == #"{"rid":9,"data":{"isAuthenticated":false,"authError":\#(TestMiddleware.deniedText)}}"#)
                try await client.send(##"{"event":"#authenticate","data":"\##(bad)","cid":10}"##)
                let texts: Set = [try await client.nextText(), try await client.nextText()]
                #expect(texts.contains { $0.contains(#""isBadToken":true"#) && $0.contains(#""error":"#) })
                #expect(texts.contains { $0.hasPrefix(##"{"event":"#removeAuthToken""##) })
            }
        }
    }
}
