import LinkspanWire
import Testing

struct ProtocolErrorTests {
    private static func text(_ error: ProtocolError) -> String {
        var bytes: [UInt8] = []
        error.encode(into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `an error is a message, a name and what it carries, in this order`() throws {
        let error = ProtocolError(
            name: "N", message: "m \"quoted\"",
            fields: [
                .init("text", .string("a\n")), .init("number", .integer(-5)), .init("flag", .boolean(true)),
                .init("json", .json(try JSONText(validating: "[1,2]"))),
            ])
        let expected = #"{"message":"m \"quoted\"","name":"N","text":"a\n","number":-5,"flag":true,"json":[1,2]}"#
        #expect(Self.text(error) == expected)
    }

    @Test func `token errors say in protocol 2 whether the token is bad, in protocol 1 not`() {
        let expired = { ProtocolError.tokenExpired(expiry: "2026-01-01T00:00:00.000Z", dialect: $0) }
        #expect(
            Self.text(expired(.v2))
                == #"{"message":"jwt expired","name":"AuthTokenExpiredError","expiry":"2026-01-01T00:00:00.000Z","#
                + #""isBadToken":true}"#)
        #expect(
            Self.text(expired(.v1))
                == #"{"message":"jwt expired","name":"AuthTokenExpiredError","expiry":"2026-01-01T00:00:00.000Z"}"#)
        #expect(
            Self.text(.tokenNotString(dialect: .v2))
                == #"{"message":"Invalid token format - Token must be a string","name":"AuthTokenError","isBadToken":true}"#
        )
        #expect(
            Self.text(.tokenNotActive(date: "d", dialect: .v2))
                == #"{"message":"jwt not active","name":"AuthTokenNotBeforeError","date":"d","isBadToken":false}"#)
        #expect(
            Self.text(.tokenExpiredInSession(expiry: 3_155_760_000_000_000))
                == #"{"message":"The socket auth token has expired","name":"AuthTokenExpiredError","#
                + #""expiry":3155760000000000}"#)
    }

    @Test(arguments: [
        (ProtocolError.TokenProblem.missing, "jwt must be provided"), (.malformed, "jwt malformed"),
        (.undecodable, "invalid token"), (.unsigned, "jwt signature is required"),
        (.wrongSignature, "invalid signature"),
        (.wrongAlgorithm, "invalid algorithm"), (.badExpiry, "invalid exp value"), (.badNotBefore, "invalid nbf value"),
        (.wrongAudience(expected: "a"), "jwt audience invalid. expected: a"),
        (.wrongIssuer(expected: "i"), "jwt issuer invalid. expected: i"),
    ])
    func `what is wrong with a token is said as jsonwebtoken says it`(problem: ProtocolError.TokenProblem, text: String)
    {
        let error = ProtocolError.tokenInvalid(problem, dialect: .v2)
        #expect(error.name == "AuthTokenInvalidError")
        #expect(error.message == text)
        #expect(error.fields == [.init("isBadToken", .boolean(true))])
    }

    @Test func `texts that the two protocols word differently`() {
        #expect(
            Self.text(.silentlyBlocked(action: "publishIn", line: "inbound", dialect: .v2))
                == #"{"message":"The publishIn AGAction was blocked by inbound middleware","#
                + #""name":"SilentMiddlewareBlockedError","type":"inbound"}"#)
        #expect(
            Self.text(.silentlyBlocked(action: "publishIn", line: "publishIn", dialect: .v1))
                == #"{"message":"Action was silently blocked by publishIn middleware","#
                + #""name":"SilentMiddlewareBlockedError","type":"publishIn"}"#)
        #expect(ProtocolError.timedOut(event: "e", dialect: .v2).message == "Event response for e event timed out")
        #expect(ProtocolError.timedOut(event: "e", dialect: .v1).message == "Event response for 'e' timed out")
    }

    @Test(arguments: [
        ("5", "5"), ("1.50", "1.50"), ("true", "true"), ("null", "null"), ("{\"a\":1}", "[object Object]"), ("[]", ""),
        ("[1,null,\"a\",[2],{}]", "1,,a,[],[object Object]"), (#""\ud83d""#, "\u{FFFD}"),
    ])
    func `what stands in place of a name is printed as JavaScript prints it`(value: String, text: String) {
        let packet = Array("{\"event\":\"#publish\",\"data\":{\"channel\":\(value)}}".utf8)
        guard case .packet(.publish(let channel, _, _)) = ClientDecoder().decode(packet.span.bytes) else {
            Issue.record("\(value) is no publish")
            return
        }
        let described = JavaScriptText.describe(channel, in: packet.span.bytes)
        #expect(described == text)
        #expect(JavaScriptText.describe(.missing, in: packet.span.bytes) == "undefined")
    }
}
