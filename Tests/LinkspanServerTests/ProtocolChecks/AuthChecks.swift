import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct AuthChecks {
    /// A token as it stands in a message, and what the server makes of it.
    struct Case: Sendable, CustomTestStringConvertible {
        var what: String
        /// JSON.
        var token: @Sendable () async throws -> String
        /// Name, message and further members of the error; nil when the token is good.
        var error: (name: String, message: String, fields: String)?
        var isBad = true

        var testDescription: String { self.what }

        /// As each protocol writes it: protocol 1 does not say whether the token is bad.
        func error(_ choice: ProtocolChoice) -> String? {
            guard let error = self.error else { return nil }
            let isBad = choice == .v2 ? #","isBadToken":\#(self.isBad)"# : ""
            return #"{"message":"\#(error.message)","name":"\#(error.name)"\#(error.fields)\#(isBad)}"#
        }
    }

    private static func signed(_ payload: String, secret: String = "secret", algorithm: String = "HS256") async throws
        -> String
    {
        var settings = TestTokens.settings(secret: secret)
        settings.algorithms = [algorithm]
        let claims = try #require(TokenClaims(json: Array(payload.utf8)))
        return #""\#(try await TokenKeys(settings: settings).sign(claims, now: 1_700_000_000))""#
    }

    private static let bob = #"{"username":"bob","exp":4000000000}"#
    private static let invalid = "AuthTokenInvalidError"

    static let cases = [
        Case(what: "good", token: { try await Self.signed(Self.bob) }),
        Case(what: "good for a hundred million years", token: { try await Self.signed(#"{"exp":3160000000000000}"#) }),
        Case(what: "good, HS512", token: { try await Self.signed(Self.bob, algorithm: "HS512") }),
        Case(what: "good, a string for its payload", token: { try await Self.signed(#""hello""#) }),
        Case(
            what: "expired", token: { try await Self.signed(#"{"exp":1700000001}"#) },
            error: ("AuthTokenExpiredError", "jwt expired", #","expiry":"2023-11-14T22:13:21.000Z""#)),
        Case(
            what: "wrong signature", token: { try await Self.signed(Self.bob, secret: "another") },
            error: (Self.invalid, "invalid signature", "")),
        // {"alg":"HS256","crit":["b64"],"b64":false}: an extension that must not be passed over.
        Case(
            what: "a critical extension",
            token: { #""eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiYjY0Il0sImI2NCI6ZmFsc2V9.e30.AAAA""# },
            error: (Self.invalid, "invalid token", "")),
        Case(what: "one part", token: { #""nonsense""# }, error: (Self.invalid, "jwt malformed", "")),
        Case(what: "three parts of nothing", token: { #""a.b.c""# }, error: (Self.invalid, "invalid token", "")),
        Case(
            what: "unsigned", token: { #""eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJ1c2VybmFtZSI6ImJvYiJ9.""# },
            error: (Self.invalid, "jwt signature is required", "")),
        Case(
            what: "a number", token: { "5" },
            error: ("AuthTokenError", "Invalid token format - Token must be a string", "")),
        Case(
            what: "not yet valid", token: { try await Self.signed(#"{"nbf":4000000000,"exp":4000000001}"#) },
            error: ("AuthTokenNotBeforeError", "jwt not active", #","date":"2096-10-02T07:06:40.000Z""#), isBad: false),
    ]

    private static func removal(_ choice: ProtocolChoice) -> String {
        choice == .v2 ? ##"{"event":"#removeAuthToken"}"## : ##"{"event":"#removeAuthToken","data":null}"##
    }

    @Test(arguments: bothProtocols, cases)
    func `28: a token in the handshake is judged by the table, and a bad one is taken back`(
        choice: ProtocolChoice, token: Case
    ) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.auth = TestTokens.settings
        }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(
                ##"{"event":"#handshake","data":{"authToken":\##(try await token.token())},"cid":1}"##)
            let isRemoved = token.error != nil && token.isBad
            if isRemoved, choice == .v1 { try await client.expects(Self.removal(choice)) }
            let answer = try await client.nextText()
            let authError = token.error(choice).map { #""authError":\#($0),"# } ?? ""
            #expect(
                answer.hasSuffix(
                    #"","pingTimeout":20000,\#(authError)"isAuthenticated":\#(token.error == nil)}}"#), "\(answer)")
            if isRemoved, choice == .v2 { try await client.expects(Self.removal(choice)) }
            try await client.expectsNothing()
        }
    }

    private static let missing = ["null", "\"\""].map { token in
        Case(what: token, token: { token }, error: (Self.invalid, "jwt must be provided", ""))
    }

    @Test(arguments: bothProtocols, cases + missing)
    func `28: a token in #authenticate is judged by the table, and a bad one is taken back`(
        choice: ProtocolChoice, token: Case
    ) async throws {
        try await withConversation(choice, { $0.auth = TestTokens.settings }) { client, _, _ in
            try await client.send(##"{"event":"#authenticate","data":\##(try await token.token()),"cid":2}"##)
            switch (token.error(choice), token.isBad, choice) {
            case (nil, _, _):
                try await client.expects(#"{"rid":2,"data":{"isAuthenticated":true,"authError":null}}"#)
            case (let error?, false, _):
                try await client.expects(#"{"rid":2,"data":{"isAuthenticated":false,"authError":\#(error)}}"#)
            case (let error?, true, .v1):
                try await client.expects(Self.removal(choice))
                try await client.expects(
                    #"{"rid":2,"error":\#(error),"data":{"isAuthenticated":false,"authError":\#(error)}}"#)
            case (let error?, true, _):
                try await client.expects(#"{"rid":2,"error":\#(error)}"#)
                try await client.expects(Self.removal(choice))
            }
            try await client.expectsNothing()
        }
    }

    @Test(arguments: bothProtocols)
    func `28: a token is believed by whichever algorithm a key of the set is for`(choice: ProtocolChoice) async throws {
        try await withConversation(
            choice,
            {
                $0.auth.verifyKeys = [TokenKey(.keySet(Secret(ForeignTokens.keySet)))]
                $0.permissions = [PermissionRule(channels: "{sub}", subscribe: .everyone, publish: .authenticated)]
            }
        ) { client, _, address in
            for (_, token) in ForeignTokens.tokens.sorted(by: { $0.key < $1.key }) {
                let (_, answer) = try await RawClient.shaking(address, token: token)
                #expect(answer.hasSuffix(#""isAuthenticated":true}}"#), "\(answer)")
                #expect(
                    try await client.authenticate(token)
                        == #"{"rid":9,"data":{"isAuthenticated":true,"authError":null}}"#)
                try await client.publish("ann", "1", callID: 5)
                try await client.expects(#"{"rid":5}"#)
                try await client.send(##"{"event":"#removeAuthToken"}"##)
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `28: an authenticated client that shows a bad token is so no longer, and a good one makes it so again`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(
            choice,
            {
                $0.auth = TestTokens.settings
                $0.permissions = [PermissionRule(channels: "foo", subscribe: .everyone, publish: .authenticated)]
            }
        ) { client, _, _ in
            let isAuthenticated = #"{"rid":9,"data":{"isAuthenticated":true,"authError":null}}"#
            let good = try await TestTokens.make(#""username":"bob""# + TestTokens.forever)
            #expect(try await client.authenticate(good) == isAuthenticated)
            try await client.publish("foo", "1", callID: 5)
            try await client.expects(#"{"rid":5}"#)
            _ = try await client.authenticate("nonsense")
            _ = try await client.nextText("the other half of the answer")
            try await client.publish("foo", "1", callID: 6)
            try await client.expects(failure(6, "InvalidActionError", "No permission to publish on channel: foo"))
            #expect(try await client.authenticate(good) == isAuthenticated)
            try await client.publish("foo", "1", callID: 7)
            try await client.expects(#"{"rid":7}"#)
        }
    }

    @Test func `29: protocol 2 closes #authenticate without call ID with 4008`() async throws {
        try await withConversation(.v2, { $0.auth = TestTokens.settings }) { client, _, _ in
            try await client.send(##"{"event":"#authenticate","data":\##(try await Self.signed(Self.bob))}"##)
            try await client.expectsClose(4008)
        }
    }

    @Test func `29: protocol 1 takes it in silence`() async throws {
        try await withConversation(.v1, { $0.auth = TestTokens.settings }) { client, _, _ in
            try await client.send(##"{"event":"#authenticate","data":\##(try await Self.signed(Self.bob))}"##)
            try await client.expectsNothing()
            try await client.send(##"{"event":"#authenticate","data":"nonsense"}"##)
            try await client.expects(Self.removal(.v1))
        }
    }

    @Test(arguments: bothProtocols)
    func `31: a token that runs out is taken back at the next event, which is handled, and subscriptions stay`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(choice, { $0.auth = TestTokens.settings }) { client, _, _ in
            let ends = WallClock.milliseconds() / 1000 + 4
            try await client.send(
                ##"{"event":"#authenticate","data":\##(try await Self.signed(#"{"exp":\#(ends)}"#)),"cid":2}"##)
            try await client.expects(#"{"rid":2,"data":{"isAuthenticated":true,"authError":null}}"#)
            try await client.subscribe("foo")
            try await WallClock.reaches(milliseconds: ends * 1000 + 1)
            try await client.publish("foo", "1")
            try await client.expects(Self.removal(choice))
            try await client.expects(RawClient.delivery("foo", "1"))
            try await client.expectsNothing()
        }
    }

    @Test(arguments: [(ProtocolChoice.v1, "#1", "#2"), (.v2, "", "")])
    func `31: or at the next pong`(choice: ProtocolChoice, ping: String, pong: String) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.auth = TestTokens.settings
            $0.timing.pingInterval = .milliseconds(500)
            $0.timing.pingTimeoutDisabled = false
        }) { _, address in
            let client = try await RawClient.ready(address)
            let ends = WallClock.milliseconds() / 1000 + 8
            try await client.send(
                ##"{"event":"#authenticate","data":\##(try await Self.signed(#"{"exp":\#(ends)}"#)),"cid":2}"##)
            try await client.expects(#"{"rid":2,"data":{"isAuthenticated":true,"authError":null}}"#)
            try await WallClock.reaches(milliseconds: ends * 1000 + 1)
            _ = try await client.next("ping") { $0 == .text(ping) }
            try await client.send(pong)
            try await client.expects(Self.removal(choice))
        }
    }

    @Test(arguments: bothProtocols, ["", #","cid":3"#])
    func `32: a client that forgets its token is anonymous from then on, and hears nothing of it`(
        choice: ProtocolChoice, callID: String
    ) async throws {
        try await withConversation(
            choice,
            {
                $0.auth = TestTokens.settings
                $0.permissions = [PermissionRule(channels: "foo", subscribe: .everyone, publish: .authenticated)]
            }
        ) { client, _, _ in
            try await client.send(
                ##"{"event":"#authenticate","data":\##(try await Self.signed(Self.bob)),"cid":2}"##)
            try await client.expects(#"{"rid":2,"data":{"isAuthenticated":true,"authError":null}}"#)
            try await client.publish("foo", "1", callID: 5)
            try await client.expects(#"{"rid":5}"#)
            try await client.send(##"{"event":"#removeAuthToken"\##(callID)}"##)
            try await client.expectsNothing()
            try await client.publish("foo", "1", callID: 6)
            try await client.expects(
                failure(6, "InvalidActionError", "No permission to publish on channel: foo"))
        }
    }
}
