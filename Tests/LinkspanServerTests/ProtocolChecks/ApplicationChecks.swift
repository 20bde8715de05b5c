import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct ApplicationChecks {
    @Test(arguments: bothProtocols)
    func `26: who is kicked out is told so, hears no more of the channel, and is not subscribed on its return`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) { client, socket, server in
            for channel in ["a", "b"] { try await client.subscribe(channel) }
            socket.kickOut("a", message: "enough")
            try await client.expects(
                choice == .v1
                    ? ##"{"event":"#kickOut","data":{"message":"enough","channel":"a"}}"##
                    : ##"{"event":"#kickOut","data":{"channel":"a","message":"enough"}}"##)
            try await client.publish("a", "1", callID: 2)
            try await client.expects(#"{"rid":2}"#)
            try await client.publish("b", "2")
            try await client.expects(RawClient.delivery("b", "2"))
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":3}"##)
            let answer = try await client.nextText()
            #expect(answer.hasPrefix(#"{"rid":3,"error":{"message":"Failed to unsubscribe socket from the a channel"#))

            socket.kickOut("a")
            socket.kickOut("b")
            try await client.expects(##"{"event":"#kickOut","data":{"channel":"b"}}"##)
            try await client.disconnect()
            let returned = try await RawClient.ready(try await server.address)
            for channel in ["a", "b"] { try await returned.publish(channel, "3") }
            try await returned.expectsNothing()
        }
    }

    @Test(arguments: bothProtocols)
    func `30: a log-in sends the token right before its answer, good for a day unless the claims say otherwise`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) {
            $0.procedure("login") { call in
                let claims = call.data.flatMap { TokenClaims(json: $0.utf8) }
                try await call.socket.setAuthToken(try #require(claims))
                return try json(#""welcome""#)
            }
        } _: { client, socket, server in
            let keys = try await TokenKeys(settings: TestTokens.settings)
            for (callID, data) in [(2, #"{"username":"bob"}"#), (3, #"{"username":"bob","exp":4000000000}"#)] {
                let before = WallClock.milliseconds() / 1000
                try await client.send(#"{"event":"login","data":\#(data),"cid":\#(callID)}"#)
                let event = try await client.nextText("token")
                try await client.expects(#"{"rid":\#(callID),"data":"welcome"}"#)
                let after = WallClock.milliseconds() / 1000
                let head = ##"{"event":"#setAuthToken","data":{"token":""##
                #expect(event.hasPrefix(head) && event.hasSuffix(#""}}"#), "\(event)")
                let token = String(event.dropFirst(head.count).dropLast(3))
                let claims = try keys.verify(token, now: Double(after))
                #expect(claims.string("username") == "bob")
                let issued = try #require(claims.value(named: "iat").flatMap { UInt64($0.description) })
                #expect(before...after ~= issued)
                let expiry = callID == 2 ? issued + 86_400 : 4_000_000_000
                #expect(claims.value(named: "exp")?.description == "\(expiry)")
                #expect(socket.claims?.string("username") == "bob")

                let (_, answer) = try await RawClient.shaking(try await server.address, token: token)
                #expect(answer.hasSuffix(#""isAuthenticated":true}}"#), "\(answer)")
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `30: a server whose key cannot sign closes with 4002`(choice: ProtocolChoice) async throws {
        try await withApplication(choice) {
            $0.procedure("login") { call in
                try await call.socket.setAuthToken(TokenClaims(["username": "bob"]))
                return nil
            }
        } change: {
            $0.auth.signingKey = TokenKey(.pem(Secret(ForeignTokens.publicKey)))
            $0.auth.algorithms = ["ES256"]
        } _: { client, socket, _ in
            try await client.send(#"{"event":"login","cid":2}"#)
            #expect(try await client.closeCode() == 4002)
            #expect(!socket.isAuthenticated)
            #expect(!client.texts.contains { $0.contains("#setAuthToken") })
        }
    }

    @Test(arguments: bothProtocols)
    func `32: a client that the server makes anonymous is told so, and keeps its subscriptions`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) { client, socket, _ in
            let token = try await TestTokens.make(#""username":"bob""# + TestTokens.forever)
            #expect(
                try await client.authenticate(token) == #"{"rid":9,"data":{"isAuthenticated":true,"authError":null}}"#)
            try await client.subscribe("a")
            socket.deauthenticate()
            try await client.expects(
                choice == .v1 ? ##"{"event":"#removeAuthToken","data":null}"## : RawClient.removal)
            #expect(!socket.isAuthenticated)
            try await client.publish("a", "1")
            try await client.expects(RawClient.delivery("a", "1"))
        }
    }

    @Test(arguments: bothProtocols)
    func `34: the server closes with code and reason, announced by #disconnect in protocol 1`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) { client, socket, _ in
            socket.disconnect(code: CloseCode(rawValue: 4999), reason: "that was all")
            if choice == .v1 {
                try await client.expects(##"{"event":"#disconnect","data":{"code":4999,"data":"that was all"}}"##)
            }
            try await client.expectsClose(4999, reason: choice == .v1 ? "" : "that was all")
        }
        try await withApplication(choice) { client, socket, _ in
            socket.disconnect()
            if choice == .v1 { try await client.expects(##"{"event":"#disconnect","data":{"code":1000}}"##) }
            try await client.expectsClose(1000)
        }
    }

    @Test(arguments: bothProtocols)
    func `34: the server learns the code and reason that a client closes with`(choice: ProtocolChoice) async throws {
        try await withApplication(choice) { client, _, server in
            let events = server.connectionEvents()
            let frame = [UInt8(4444 >> 8), UInt8(4444 & 0xFF)] + Array("gone fishing".utf8)
            try await client.send(bytes: RawClient.frame(.close, frame))
            try await client.expectsClose(4444)
            for await case .disconnected(_, let code, let reason) in events {
                #expect(code == CloseCode(rawValue: 4444))
                #expect(reason == "gone fishing")
                break
            }
        }
    }
}
