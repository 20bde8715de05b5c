import JWTKit
import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import TestSupport
import Testing

@Suite struct `The keys of a server` {
    private let now = 1_800_000_000.0

    private func claims(_ json: String) throws -> TokenClaims {
        try #require(TokenClaims(json: Array(json.utf8)))
    }

    private func keys(_ change: (inout AuthSettings) -> Void = { _ in }) async throws -> TokenKeys {
        var settings = AuthSettings()
        settings.signingKey = TokenKey(.secret(Secret("secret-one")))
        change(&settings)
        return try await TokenKeys(settings: settings)
    }

    private func refusal(_ keys: TokenKeys, _ token: String, now: Double? = nil) -> TokenRefusal? {
        do throws(TokenRefusal) {
            _ = try keys.verify(token, now: now ?? self.now)
            return nil
        } catch {
            return error
        }
    }

    @Test func `sign what they verify, with iat and the default expiry`() async throws {
        let keys = try await self.keys()
        let token = try keys.sign(self.claims(#"{"username":"bob"}"#), now: Int64(self.now))
        let claims = try keys.verify(token, now: self.now)
        #expect(claims.json.description == #"{"username":"bob","iat":1800000000,"exp":1800086400}"#)
        #expect(
            token.hasPrefix(
                String(decoding: Base64.urlSafe.encode(#"{"alg":"HS256","typ":"JWT"}"#.utf8), as: UTF8.self)))
    }

    @Test func `leave an explicit expiry alone`() async throws {
        let keys = try await self.keys()
        let token = try keys.sign(self.claims(#"{"exp":3162240000000000}"#), now: 5)
        #expect(try keys.verify(token, now: self.now).json.description == #"{"exp":3162240000000000,"iat":5}"#)
        #expect(
            try keys.verify(keys.sign(self.claims("{}"), now: 5), now: 6).json.description == #"{"iat":5,"exp":86405}"#)
    }

    @Test func `agree with the library on the tokens of others`() async throws {
        struct Payload: JWTPayload {
            var sub: String
            func verify(using algorithm: some JWTAlgorithm) async throws {}
        }
        for (name, digest) in [("HS256", DigestAlgorithm.sha256), ("HS384", .sha384), ("HS512", .sha512)] {
            let secret = "a secret that is as long as the longest digest, 64 bytes or more, for sure"
            let other = await JWTKeyCollection().add(hmac: HMACKey(from: secret), digestAlgorithm: digest)
            let token = try await other.sign(Payload(sub: "ann"))
            let keys = try await self.keys { $0.signingKey = TokenKey(.secret(Secret(secret))) }
            #expect(try keys.verify(token, now: self.now).string("sub") == "ann", "\(name)")
        }
    }

    @Test func `verify what jsonwebtoken signed with a short secret`() async throws {
        let token =
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ"
            + ".SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
        let keys = try await self.keys { $0.signingKey = TokenKey(.secret(Secret("your-256-bit-secret"))) }
        #expect(try keys.verify(token, now: self.now).string("name") == "John Doe")
    }

    @Test func `refuse a wrong signature, an algorithm that is not allowed and an unsigned token`() async throws {
        let keys = try await self.keys { $0.algorithms = ["HS256"] }
        let stranger = try await self.keys { $0.signingKey = TokenKey(.secret(Secret("secret-two"))) }
        let other = try await self.keys { $0.algorithms = ["HS512"] }
        #expect(self.refusal(keys, try stranger.sign(self.claims("{}"), now: 1)) == .problem(.wrongSignature))
        #expect(self.refusal(keys, try other.sign(self.claims("{}"), now: 1)) == .problem(.wrongAlgorithm))
        #expect(self.refusal(keys, "eyJhbGciOiJub25lIn0.e30.") == .problem(.unsigned))
        #expect(self.refusal(keys, "eyJhbGciOiJub25lIn0.e30.AAAA") == .problem(.wrongAlgorithm))
        #expect(self.refusal(keys, "abc") == .problem(.malformed))
    }

    @Test func `refuse an expired token with its date`() async throws {
        let keys = try await self.keys()
        let token = try keys.sign(self.claims(#"{"exp":1700000000}"#), now: 1)
        let refusal = try #require(self.refusal(keys, token))
        #expect(refusal == .expired(at: 1_700_000_000))
        #expect(
            refusal.error(.v2)
                == .tokenExpired(expiry: "2023-11-14T22:13:20.000Z", dialect: .v2))
        #expect(refusal.isBadToken)
    }

    @Test func `rotate: old and new verify, kid selects`() async throws {
        let old = try await self.keys { $0.signingKey = TokenKey(.secret(Secret("old")), identifier: "1") }
        let new = try await self.keys {
            $0.signingKey = TokenKey(.secret(Secret("new")), identifier: "2")
            $0.verifyKeys = [TokenKey(.secret(Secret("old")), identifier: "1")]
        }
        #expect(self.refusal(new, try old.sign(self.claims("{}"), now: Int64(self.now))) == nil)
        #expect(self.refusal(new, try new.sign(self.claims("{}"), now: Int64(self.now))) == nil)
        let forged = try await self.keys { $0.signingKey = TokenKey(.secret(Secret("old")), identifier: "2") }
        #expect(
            self.refusal(new, try forged.sign(self.claims("{}"), now: Int64(self.now))) == .problem(.wrongSignature))
    }

    @Test(arguments: ["ES256", "ES384", "ES512"])
    func `may be elliptic curves in PEM, private here and public there`(name: String) async throws {
        let (privatePEM, publicPEM) =
            switch name {
            case "ES256": try Self.pems(ES256PrivateKey())
            case "ES384": try Self.pems(ES384PrivateKey())
            default: try Self.pems(ES512PrivateKey())
            }
        let signing = try await self.keys {
            $0.signingKey = TokenKey(.pem(Secret(privatePEM)))
            $0.algorithms = [name]
        }
        let verifying = try await self.keys {
            $0.verifyKeys = [TokenKey(.pem(Secret(publicPEM)))]
        }
        let token = try signing.sign(self.claims(#"{"sub":"eve"}"#), now: Int64(self.now))
        #expect(try verifying.verify(token, now: self.now).string("sub") == "eve")
    }

    @Test func `may be an Edwards curve in PEM, ours and that of another implementation`() async throws {
        let own = try EdDSA.PrivateKey()
        let signing = try await self.keys {
            $0.signingKey = TokenKey(.pem(Secret(own.pemRepresentation)))
            $0.algorithms = ["EdDSA"]
        }
        let verifying = try await self.keys {
            $0.verifyKeys = [
                TokenKey(.pem(Secret(own.publicKey.pemRepresentation))),
                TokenKey(.pem(Secret(ForeignTokens.publicEdwardsKey)), identifier: "ed25519"),
            ]
            $0.algorithms = ["HS256", "EdDSA"]
        }
        let token = try signing.sign(self.claims(#"{"sub":"eve"}"#), now: Int64(self.now))
        #expect(token.hasPrefix(String(decoding: Base64.urlSafe.encode(#"{"alg":"EdDSA""#.utf8), as: UTF8.self)))
        #expect(try verifying.verify(token, now: self.now).string("sub") == "eve")
        let foreign = try #require(ForeignTokens.tokens["EdDSA"])
        #expect(try verifying.verify(foreign, now: self.now).string("sub") == "ann")
        #expect(self.refusal(signing, foreign) == .problem(.wrongSignature))
        func problem(_ key: String, _ algorithms: String...) -> String? {
            TokenKeys.problem(of: TokenKey(.pem(Secret(key))), algorithms: algorithms)
        }
        #expect(problem(own.pemRepresentation, "EdDSA") == nil)
        #expect(
            problem(ForeignTokens.publicEdwardsKey, "ES256", "RS256")
                == "it is for EdDSA, and only ES256, RS256 are admitted")
    }

    @Test func `may be a set of JSON Web Keys`() async throws {
        let set = #"{"keys":[{"kty":"EC","crv":"P-256","kid":"ec1","x":"\#(Self.jwkX)","y":"\#(Self.jwkY)"}]}"#
        let keys = try await self.keys { $0.verifyKeys = [TokenKey(.keySet(Secret(set)))] }
        #expect(try keys.verify(Self.jwkToken, now: 1_300_000_000).isObject)
    }

    @Test(arguments: ForeignTokens.tokens.keys.sorted())
    func `verify what another implementation signed, by every algorithm, and nothing that was changed`(
        name: String
    ) async throws {
        let keys = try await self.keys { $0.verifyKeys = [TokenKey(.keySet(Secret(ForeignTokens.keySet)))] }
        let token = try #require(ForeignTokens.tokens[name])
        #expect(try keys.verify(token, now: self.now).string("sub") == "ann")
        let parts = token.split(separator: ".")
        let payload = String(decoding: Base64.urlSafe.encode(Array(#"{"sub":"eve"}"#.utf8)), as: UTF8.self)
        #expect(self.refusal(keys, "\(parts[0]).\(payload).\(parts[2])") == .problem(.wrongSignature))
        #expect(self.refusal(keys, "\(parts[0]).\(parts[1]).\(parts[2].dropLast(4))") == .problem(.wrongSignature))
        let others = try await self.keys {
            $0.verifyKeys = [TokenKey(.keySet(Secret(ForeignTokens.keySet)))]
            $0.algorithms = [name == "HS256" ? "HS384" : "HS256"]
        }
        #expect(self.refusal(others, token) == .problem(.wrongAlgorithm))
    }

    @Test func `of a set are for their alg and use, and what is unknown takes nothing from the others`() async throws {
        let oct = try #require(ForeignTokens.keys["oct"])
        let token = try #require(ForeignTokens.tokens["HS256"])
        func refusal(_ keys: String...) async throws -> TokenRefusal? {
            let set = #"{"keys":[\#(keys.joined(separator: ","))]}"#
            return self.refusal(try await self.keys { $0.verifyKeys = [TokenKey(.keySet(Secret(set)))] }, token)
        }
        func changed(_ member: String) -> String { #"{\#(member),"# + oct.dropFirst() }
        let strange = [
            #"{"kty":"QUANTUM","kid":"oct","k":"AA"}"#, #"{"kid":"x"}"#, "7", "null", #"{"kty":"oct","k":"!"}"#,
            #"{"kty":"oct","k":""}"#, #"{"kty":"RSA","alg":"RSA-OAEP-256","n":"AQAB","e":"AQAB"}"#,
            #"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#, #"{"kty":"OKP","crv":"X25519","x":"AA"}"#,
            #"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#,
        ]
        #expect(try await refusal(strange.joined(separator: ","), oct) == nil)
        #expect(try await refusal(changed(#""alg":"HS256""#), changed(#""use":"sig""#)) == nil)
        #expect(try await refusal(changed(#""key_ops":["verify"]"#)) == nil)
        let p256 = try #require(ForeignTokens.keys["p256"])
        for member in [#""alg":"HS512""#, #""use":"enc""#, #""key_ops":["wrapKey"]"#] {
            #expect(try await refusal(changed(member), p256) != nil, "\(member)")
        }
    }

    @Test func `of a set that has none for us are a problem that can be told`() throws {
        func problem(_ text: String, _ algorithms: [String] = []) -> String? {
            TokenKeys.problem(of: TokenKey(.keySet(Secret(text))), algorithms: algorithms)
        }
        #expect(problem(ForeignTokens.keySet) == nil)
        #expect(problem("{}") == "no JSON Web Key Set")
        #expect(problem(#"{"keys":[]}"#) == "the key set is empty")
        #expect(problem(#"{"keys":[{"kty":"QUANTUM"}]}"#) == "no key of the set verifies tokens")
        let oct = try #require(ForeignTokens.keys["oct"])
        #expect(problem(#"{"keys":[\#(oct)]}"#, ["HS512"]) == nil)
        #expect(
            problem(#"{"keys":[\#(oct)]}"#, ["ES256"])
                == "it is for HS256, HS384, HS512, and only ES256 are admitted")
    }

    @Test func `of others verify where no secret of ours could`() async throws {
        let (privatePEM, publicPEM) = try Self.pems(ES256PrivateKey())
        let others = try await self.keys {
            $0.signingKey = TokenKey(.pem(Secret(privatePEM)))
            $0.algorithms = ["ES256"]
        }
        let keys = try await self.keys {
            $0.signingKey = nil
            $0.verifyKeys = [TokenKey(.pem(Secret(publicPEM)))]
            $0.algorithms = ["ES256"]
        }
        let foreign = try others.sign(self.claims("{\"sub\":\"bob\"}"), now: 1)
        #expect(self.refusal(keys, foreign, now: 2) == nil)
        let own = try keys.sign(self.claims("{\"sub\":\"bob\"}"), now: 1)
        #expect(self.refusal(keys, own, now: 2) == nil)
        #expect(self.refusal(others, own, now: 2) != nil)
    }

    @Test func `say what is wrong with them and never what they are`() async {
        let error = await #expect(throws: TokenKeyError.self) {
            _ = try await self.keys { $0.verifyKeys = [TokenKey(.pem(Secret("-----BEGIN NONSENSE-----")))] }
        }
        #expect(error?.description.contains("NONSENSE") == false)
        #expect(error?.description.hasPrefix("the verify key is no PEM key that fits") == true)
    }

    private static func pems<Curve>(_ key: ECDSA.PrivateKey<Curve>) throws -> (String, String) {
        (try #require(key.pemRepresentation as String?), key.publicKey.pemRepresentation)
    }
}

extension `The keys of a server` {
    // The key and the token of RFC 7515, appendix A.3.
    static let jwkX = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    static let jwkY = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    static let jwkToken =
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
}
