import LinkspanCore
import LinkspanWire
import Testing

@Suite struct `A compact token` {
    private func token(
        header: String = #"{"alg":"HS256","typ":"JWT"}"#, payload: String = "{}", signature: String = "AAAA"
    ) -> String {
        [Base64.urlSafe.encode(header.utf8), Base64.urlSafe.encode(payload.utf8), Array(signature.utf8)]
            .map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
    }

    @Test(arguments: ["", "a", "a.b", "a.b.c.d", "...."])
    func `has three parts`(text: String) {
        #expect(throws: TokenRefusal.problem(.malformed)) { try CompactToken(parsing: text) }
    }

    @Test(arguments: ["a.b.c", "..", "!!.e30.AAAA", "e30.e30.AAAA", "bnVsbA.e30.AAAA"])
    func `has a header that names its algorithm`(text: String) {
        #expect(throws: TokenRefusal.problem(.undecodable)) { try CompactToken(parsing: text) }
    }

    @Test func `without a signature is unsigned`() {
        #expect(throws: TokenRefusal.problem(.unsigned)) {
            try CompactToken(parsing: self.token(header: #"{"alg":"none"}"#, signature: ""))
        }
    }

    @Test func `tells algorithm, key and claims`() throws {
        let token = try CompactToken(
            parsing: self.token(
                header: #"{"kid":"k1","alg":"ES256"}"#, payload: #"{"sub":"bob","n":5,"roles":["a","b"]}"#))
        #expect(token.algorithm == "ES256")
        #expect(token.keyIdentifier == "k1")
        #expect(token.claims.string("sub") == "bob")
        #expect(token.claims.scalar("n") == "5")
        #expect(token.claims.scalars("roles") == ["a", "b"])
        #expect(token.claims.scalar("roles") == nil)
    }

    @Test func `may have a string as its payload`() throws {
        let token = try CompactToken(parsing: self.token(payload: #""just text""#))
        #expect(!token.claims.isObject)
        #expect(token.claims.expiry == nil)
    }
}

@Suite struct `The claims of a token` {
    private func check(_ json: String, now: Double = 1000, audience: String? = nil, issuer: String? = nil)
        -> TokenRefusal?
    {
        do throws(TokenRefusal) {
            try TokenClaims(json: Array(json.utf8))?.check(now: now, audience: audience, issuer: issuer)
            return nil
        } catch {
            return error
        }
    }

    @Test func `expire in the second that exp names`() {
        #expect(self.check(#"{"exp":1001}"#) == nil)
        #expect(self.check(#"{"exp":1000}"#) == .expired(at: 1000))
    }

    @Test func `may expire in a hundred million years`() {
        #expect(self.check(#"{"exp":3162240000000000}"#) == nil)
        #expect(self.check(#"{"exp":1e300}"#) == nil)
    }

    @Test func `are not active before nbf, which is looked at first`() {
        #expect(self.check(#"{"exp":1,"nbf":1001}"#) == .notActive(until: 1001))
        #expect(self.check(#"{"nbf":1000}"#) == nil)
    }

    @Test func `must have numbers for times`() {
        #expect(self.check(#"{"exp":"1"}"#) == .problem(.badExpiry))
        #expect(self.check(#"{"nbf":null}"#) == .problem(.badNotBefore))
    }

    @Test func `name the audience and the issuer that are asked for`() {
        #expect(self.check(#"{"aud":["x","y"]}"#, audience: "y") == nil)
        #expect(self.check(#"{"aud":"x"}"#, audience: "y") == .problem(.wrongAudience(expected: "y")))
        #expect(self.check(#"{"iss":"me"}"#, issuer: "me") == nil)
        #expect(self.check(#"{}"#, issuer: "me") == .problem(.wrongIssuer(expected: "me")))
    }
}

@Suite struct `A date` {
    @Test(arguments: [
        (0.0, "1970-01-01T00:00:00.000Z"), (1_795_216_176.123, "2026-11-20T23:09:36.123Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.000Z"),
        (253_402_300_800, "+010000-01-01T00:00:00.000Z"), (1e300, "+275760-09-13T00:00:00.000Z"),
    ])
    func `is written as JavaScript writes it`(seconds: Double, text: String) {
        #expect(CivilTime.text(secondsSince1970: seconds) == text)
    }
}
