import Glibc
import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import Testing

/// Tokens of a server whose key is "secret", and of strangers.
struct TestTokens {
    static let settings = Self.settings(secret: "secret")

    static func settings(secret: String) -> AuthSettings {
        var settings = AuthSettings()
        settings.signingKey = TokenKey(.secret(Secret(secret)))
        return settings
    }

    /// - Parameter claims: members of a JSON object.
    static func make(_ claims: String, secret: String = "secret") async throws -> String {
        let keys = try await TokenKeys(settings: self.settings(secret: secret))
        let claims = try #require(TokenClaims(json: Array("{\(claims)}".utf8)))
        return try keys.sign(claims, now: 1_700_000_000)
    }

    static let forever = #","exp":3162240000000000"#
}

extension RawClient {
    /// The answer to a handshake with `token`.
    static func shaking(_ address: SocketAddress, token: String, callID: Int = 1) async throws -> (RawClient, String) {
        let client = try await RawClient.open(address)
        try await client.send(
            ##"{"event":"#handshake","data":{"authToken":"\##(token)"},"cid":\##(callID)}"##)
        return (client, try await client.nextText("handshake's answer"))
    }

    /// Sends `#authenticate` and returns its answer.
    func authenticate(_ token: String, callID: Int = 9) async throws -> String {
        try await self.send(##"{"event":"#authenticate","data":"\##(token)","cid":\##(callID)}"##)
        return try await self.nextText("answer to #authenticate")
    }

    static let removal = ##"{"event":"#removeAuthToken"}"##
}

@Suite struct `A server with a key` {
    private func withAuth(
        _ change: @escaping (inout ServerSettings) -> Void = { _ in },
        _ body: (LinkspanServer, SocketAddress) async throws -> Void
    ) async throws {
        try await withServer(
            { settings in
                settings.auth = TestTokens.settings
                settings.protocolChoice = .v2
                change(&settings)
            }, body)
    }

    @Test func `believes its own tokens in handshakes and in #authenticate`() async throws {
        try await self.withAuth { server, address in
            let token = try await TestTokens.make(#""username":"bob""# + TestTokens.forever)
            let (client, answer) = try await RawClient.shaking(address, token: token)
            #expect(answer.hasSuffix(#""isAuthenticated":true}}"#) && !answer.contains("authError"))
            let second = try await RawClient.ready(address)
            #expect(
                try await second.authenticate(token) == #"{"rid":9,"data":{"isAuthenticated":true,"authError":null}}"#)
            try await client.publish("a", "1", callID: 2)
            #expect(try await client.nextText() == #"{"rid":2}"#)
            #expect(server.counters.tokensAccepted == 2)
        }
    }

    @Test func `tells an expired token from a wrong one and from one that is early`() async throws {
        try await self.withAuth { server, address in
            let expired = try await TestTokens.make(#""exp":1700000001"#)
            let (client, answer) = try await RawClient.shaking(address, token: expired)
            #expect(
                answer.contains(
                    #""authError":{"message":"jwt expired","name":"AuthTokenExpiredError","expiry":"2023-11-14T22:13:21.000Z","isBadToken":true},"isAuthenticated":false"#
                ))
            #expect(try await client.nextText() == RawClient.removal)
            let foreign = try await TestTokens.make(#""username":"bob""#, secret: "another")
            #expect(
                try await client.authenticate(foreign)
                    == #"{"rid":9,"error":{"message":"invalid signature","name":"AuthTokenInvalidError","isBadToken":true}}"#
            )
            #expect(try await client.nextText() == RawClient.removal)
            let early = try await TestTokens.make(#""nbf":4000000000"# + TestTokens.forever)
            #expect(
                try await client.authenticate(early)
                    == #"{"rid":9,"data":{"isAuthenticated":false,"authError":{"message":"jwt not active","name":"AuthTokenNotBeforeError","date":"2096-10-02T07:06:40.000Z","isBadToken":false}}}"#
            )
            #expect(server.counters.tokensExpired == 1)
            #expect(server.counters.tokensInvalid == 1)
            #expect(server.counters.tokensNotActive == 1)
        }
    }

    @Test func `takes a token back when its time ends, handles the event all the same, and keeps subscriptions`()
        async throws
    {
        try await self.withAuth { server, address in
            let soon = Int64(WallClock.milliseconds() / 1000) + 6
            let token = try await TestTokens.make(#""exp":\#(soon)"#)
            let (client, answer) = try await RawClient.shaking(address, token: token)
            #expect(answer.contains(#""isAuthenticated":true"#))
            try await client.send(##"{"event":"#subscribe","data":{"channel":"news"},"cid":4}"##)
            try await WallClock.reaches(milliseconds: UInt64(soon) * 1000 + 1)
            try await client.publish("news", "1", callID: 5)
            let texts = try await [client.nextText(), client.nextText(), client.nextText(), client.nextText()]
            #expect(Set(texts) == [#"{"rid":4}"#, #"{"rid":5}"#, RawClient.removal, RawClient.delivery("news", "1")])
            // On a busy machine the subscription is the first to find it out.
            let removal = try #require(texts.firstIndex(of: RawClient.removal))
            #expect(texts[removal...].contains(#"{"rid":5}"#))
            #expect(server.counters.tokensExpiredInSession == 1)
        }
    }

    @Test func `admits nobody without a token where anonymous clients are denied`() async throws {
        try await self.withAuth({ $0.auth.anonymous = .deny }) { server, address in
            let client = try await RawClient.open(address)
            try await client.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
            #expect(
                try await client.nextText()
                    == #"{"rid":1,"error":{"message":"jwt must be provided","name":"AuthTokenInvalidError","isBadToken":true,"statusCode":4008}}"#
            )
            #expect(try await client.closeCode() == 4008)
            let foreign = try await TestTokens.make("", secret: "another")
            let (second, answer) = try await RawClient.shaking(address, token: foreign)
            #expect(answer.contains(#""error":{"message":"invalid signature""#))
            #expect(try await second.closeCode() == 4008)
            let good = try await TestTokens.make("" + #""sub":"a""# + TestTokens.forever)
            #expect(try await RawClient.shaking(address, token: good).1.contains(#""isAuthenticated":true"#))
            #expect(server.counters.anonymousRefused == 2)
        }
    }

    @Test func `verifies by new keys from the moment they are loaded`() async throws {
        try await self.withAuth { server, address in
            let token = try await TestTokens.make("" + #""sub":"a""# + TestTokens.forever, secret: "next")
            let client = try await RawClient.ready(address)
            #expect(try await client.authenticate(token).contains("invalid signature"))
            #expect(try await client.nextText() == RawClient.removal)
            try await server.reloadKeys(TestTokens.settings(secret: "next"))
            #expect(try await client.authenticate(token).contains(#""isAuthenticated":true"#))
            var unusable = AuthSettings()
            unusable.verifyKeys = [TokenKey(.pem(Secret("no key")))]
            await #expect(throws: TokenKeyError.self) { try await server.reloadKeys(unusable) }
            #expect(try await client.authenticate(token).contains(#""isAuthenticated":true"#))
        }
    }

    @Test func `ends the connections of a revoked user and refuses the token from then on`() async throws {
        try await self.withAuth { server, address in
            let token = try await TestTokens.make(#""sub":"eve""# + TestTokens.forever)
            let (eve, _) = try await RawClient.shaking(address, token: token)
            let other = try await TestTokens.make(#""sub":"bob""# + TestTokens.forever)
            let (bob, _) = try await RawClient.shaking(address, token: other)
            #expect(await server.revoke(.user("eve")) == 1)
            #expect(try await eve.nextText() == RawClient.removal)
            #expect(try await eve.closeCode() == 4104)
            let (again, answer) = try await RawClient.shaking(address, token: token)
            #expect(answer.contains(#""authError":{"message":"jwt revoked","name":"AuthTokenInvalidError""#))
            #expect(try await again.nextText() == RawClient.removal)
            try await bob.publish("a", "1", callID: 5)
            #expect(try await bob.nextText() == #"{"rid":5}"#)
            #expect(server.counters.tokensRevoked == 1)
            #expect(server.counters.connectionsRevoked == 1)
        }
    }

    @Test func `protocol 1 hears of a bad token before the answer`() async throws {
        try await self.withAuth({ $0.protocolChoice = .v1 }) { _, address in
            let foreign = try await TestTokens.make("", secret: "another")
            let (client, first) = try await RawClient.shaking(address, token: foreign)
            #expect(first == ##"{"event":"#removeAuthToken","data":null}"##)
            #expect(
                try await client.nextText().contains(
                    #""authError":{"message":"invalid signature","name":"AuthTokenInvalidError"}"#))
        }
    }
}

@Suite struct `Permissions over a socket` {
    @Test func `deny with an error, count it, and follow the token`() async throws {
        try await withServer({ settings in
            settings.auth = TestTokens.settings
            settings.permissions = [
                PermissionRule(channels: "user/{sub}/**", subscribe: .authenticated, publish: .nobody),
                PermissionRule(channels: "news", subscribe: .everyone, publish: .claims(["role": ["editor"]])),
            ]
        }) { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news", callID: 2)
            try await client.publish("news", "1", callID: 3)
            let denial =
                #"{"rid":3,"error":{"message":"No permission to publish on channel: news","name":"InvalidActionError"}}"#
            #expect(try await client.nextText() == denial)
            try await client.publish("news", "2")
            try await client.send(##"{"event":"#subscribe","data":{"channel":"user/ann/inbox"},"cid":4}"##)
            #expect(
                try await client.nextText()
                    == #"{"rid":4,"error":{"message":"No permission to subscribe on channel: user/ann/inbox","name":"InvalidActionError"}}"#
            )
            let ann = try await TestTokens.make(#""sub":"ann","role":"editor""# + TestTokens.forever)
            #expect(try await client.authenticate(ann).contains(#""isAuthenticated":true"#))
            try await client.subscribe("user/ann/inbox", callID: 5)
            try await client.publish("news", "3")
            #expect(try await client.nextText() == RawClient.delivery("news", "3"))
            try await client.send(##"{"event":"#removeAuthToken"}"##)
            try await client.publish("news", "4", callID: 3)
            #expect(try await client.nextText() == denial)
            #expect(server.counters.publishesDenied == 3)
            #expect(server.counters.subscribesDenied == 1)
        }
    }
}

/// The time of tokens, which is the wall's: nothing but waiting moves it.
enum WallClock {
    static func milliseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }

    static func reaches(milliseconds: UInt64) async throws {
        let now = self.milliseconds()
        if now < milliseconds { try await Task.sleep(for: .milliseconds(milliseconds - now)) }
    }
}
