internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer
internal import Testing

/// `server.auth` and `permissions`: what they become, and the exact words about what is wrong.
struct AuthConfigTests {
    private static let secret = "0123456789abcdef0123456789abcdef"
    private static let files = [
        "/run/secrets/jwt": secret + "\n",
        "/etc/private.pem": """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg44/SSe0P6VBtS/tU
        jz1xf1Df1Q7s4Y79GdWoPS3J9EihRANCAAS8MIJf1zqlLyrG9H3asNAQq3fKhJml
        iPqwS7QcOBMqbii8piMJqxOSw0qbTd+BcTUbyXCfothHHzo96UX1NeeN
        -----END PRIVATE KEY-----
        """,
        "/etc/public.pem": """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvDCCX9c6pS8qxvR92rDQEKt3yoSZ
        pYj6sEu0HDgTKm4ovKYjCasTksNKm03fgXE1G8lwn6LYRx86PelF9TXnjQ==
        -----END PUBLIC KEY-----
        """,
        "/etc/jwks.json": """
        {"keys":[{"kty":"EC","crv":"P-256","kid":"idp",\
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}
        """,
        "/etc/empty.json": "{\"keys\":[]}",
    ]

    @Test func `every key of auth arrives`() throws {
        let auth = try settings(
            """
            version: 1
            server:
              auth:
                private_key: /etc/private.pem
                key_id: "2026"
                keys:
                  old: { key: "${file:/run/secrets/jwt}" }
                  idp: { public_key: /etc/public.pem, id: idp-1 }
                key_set: /etc/jwks.json
                algorithms: [ ES256, HS512 ]
                expiry: 90m
                anonymous: deny
                audience: chat
                issuer: https://id.example.com
            """, files: Self.files
        ).server.auth
        var expected = AuthSettings()
        expected.signingKey = TokenKey(.pem(Secret(Self.files["/etc/private.pem"] ?? "")), identifier: "2026")
        expected.verifyKeys = [
            TokenKey(.secret(Secret(Self.secret))),
            TokenKey(.pem(Secret(Self.files["/etc/public.pem"] ?? "")), identifier: "idp-1"),
            TokenKey(.keySet(Secret(Self.files["/etc/jwks.json"] ?? ""))),
        ]
        expected.algorithms = ["ES256", "HS512"]
        expected.expiry = .seconds(5400)
        expected.anonymous = .deny
        expected.audience = "chat"
        expected.issuer = "https://id.example.com"
        #expect(auth == expected)
    }

    @Test func `permissions keep their order, and several globs are as many rules`() throws {
        let rules = try settings(
            """
            version: 1
            server: { auth: { key: "${file:/run/secrets/jwt}" } }
            permissions:
              - { channels: "user/{sub}/**", subscribe: authenticated, publish: nobody }
              - channels: [ "admin/**", "audit" ]
                subscribe: { role: [ admin, auditor ], level: 3, staff: true }
                publish: { role: admin }
              - { channels: "**", subscribe: everyone, publish: authenticated }
            """, files: Self.files
        ).server.permissions
        let read = Grant.claims(["role": ["admin", "auditor"], "level": ["3"], "staff": ["true"]])
        let write = Grant.claims(["role": ["admin"]])
        #expect(
            rules == [
                PermissionRule(channels: "user/{sub}/**", subscribe: .authenticated, publish: .nobody),
                PermissionRule(channels: "admin/**", subscribe: read, publish: write),
                PermissionRule(channels: "audit", subscribe: read, publish: write),
                PermissionRule(channels: "**", subscribe: .everyone, publish: .authenticated),
            ])
    }

    @Test func `the environment wins over a grant of the file`() throws {
        let text = "version: 1\npermissions: [ { channels: a, subscribe: { role: x }, publish: nobody } ]"
        let rules = try settings(text, environment: ["LINKSPAN_PERMISSIONS_0_SUBSCRIBE": "everyone"]).server.permissions
        #expect(rules == [PermissionRule(channels: "a", subscribe: .everyone, publish: .nobody)])
    }

    @Test(arguments: keys + permissions)
    func `each mistake is told with its place and what to do`(_ example: ComplaintTests.Case) {
        #expect(complaints(example.text, files: Self.files) == example.complaint)
    }

    @Test func `no message shows a secret`() {
        let text = complaints(
            "version: 1\nserver: { auth: { key: geheim, private_key: /etc/private.pem, algorithms: [ RS256 ] } }",
            files: Self.files)
        #expect(!text.isEmpty)
        #expect(!text.contains("geheim"))
    }

    private static func auth(_ keys: String) -> String { "version: 1\nserver:\n  auth: { \(keys) }" }
    private static func rule(_ keys: String) -> String { "version: 1\npermissions:\n  - { \(keys) }" }
    private static let key = "key: \"${file:/run/secrets/jwt}\""

    private static let keys: [ComplaintTests.Case] = [
        .init("right", auth(key), ""),
        .init(
            "written secret", auth("key: \"\(secret)\""),
            """
            bridges.yaml:3:16: warning: server.auth.key is written in the file
                keep it elsewhere: "${file:/run/secrets/key}" or "${VARIABLE}"
            """),
        .init(
            "missing file of a secret", auth("key: \"${file:/nowhere}\""),
            "bridges.yaml:3:16: server.auth.key: cannot read /nowhere: No such file or directory"),
        .init(
            "key and private key", auth("\(key), private_key: /etc/private.pem"),
            """
            bridges.yaml:3:44: server.auth: key and private_key: one of them signs
                let the other one verify, below keys
            """),
        .init(
            "missing file of a key", auth("private_key: /nowhere, algorithms: [ ES256 ]"),
            "bridges.yaml:3:11: server.auth: private_key: cannot read /nowhere: No such file or directory"),
        .init(
            "algorithm that does not fit the secret", auth("\(key), algorithms: [ RS256 ]"),
            """
            bridges.yaml:3:11: server.auth: key: a shared secret is for HS256, HS384 and HS512, and only RS256 are admitted
            """),
        .init(
            "private key without an algorithm", auth("private_key: /etc/private.pem"),
            """
            bridges.yaml:3:11: server.auth: private_key: it is for ES256, and only HS256 are admitted
                the first of server.auth.algorithms signs; without any, HS256
            """),
        .init(
            "public key that should sign", auth("private_key: /etc/public.pem, algorithms: [ ES256 ]"),
            """
            bridges.yaml:3:11: server.auth: private_key: a public key cannot sign
                it verifies, below keys
            """),
        .init(
            "no key in the file", auth("keys: { idp: { public_key: /run/secrets/jwt } }"),
            "bridges.yaml:3:26: server.auth.keys.idp: public_key: no PEM key of RSA, P-256, P-384, P-521 or Ed25519"),
        .init(
            "verify key that no algorithm admits",
            auth("\(key), algorithms: [ HS256 ], keys: { idp: { public_key: /etc/public.pem } }"),
            "bridges.yaml:3:82: server.auth.keys.idp: public_key: it is for ES256, and only HS256 are admitted"),
        .init(
            "verify key of both sorts", auth("keys: { idp: { \(key), public_key: /etc/public.pem } }"),
            """
            bridges.yaml:3:19: server.auth.keys.idp: expected key or public_key, one of them
                key for a shared secret, public_key for the file of a key in PEM form
            """),
        .init(
            "key set that is none", auth("key_set: /run/secrets/jwt"),
            "bridges.yaml:3:11: server.auth: key_set: no JSON Web Key Set"),
        .init(
            "empty key set", auth("key_set: /etc/empty.json"),
            "bridges.yaml:3:11: server.auth: key_set: the key set is empty"),
        .init(
            "key id of nothing", auth("key_id: a"),
            """
            bridges.yaml:3:11: server.auth: key_id without a key that it names
                give key or private_key; below keys, write id
            """),
        .init(
            "nobody may connect", auth("anonymous: deny"),
            """
            bridges.yaml:3:11: server.auth: anonymous deny admits nobody, because no key verifies tokens
                give key, private_key, keys or key_set
            """),
        .init(
            "unknown algorithm", auth("\(key), algorithms: [ none ]"),
            """
            bridges.yaml:3:58: server.auth.algorithms: expected one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, \
            PS512, ES256, ES384, ES512, EdDSA, found "none"
            """),
        .init(
            "expiry without a unit", auth("\(key), expiry: 3600"),
            "bridges.yaml:3:52: server.auth.expiry: expected a duration such as 30s, found the number 3600\n    did you mean 3600s?"
        ),
    ]

    private static let permissions: [ComplaintTests.Case] = [
        .init("right", rule("channels: \"a\\\\{b\", subscribe: everyone, publish: nobody"), ""),
        .init(
            "missing keys", rule("publish: nobody"),
            """
            bridges.yaml:3:5: permissions[0]: channels is missing
            bridges.yaml:3:5: permissions[0]: subscribe is missing
            """),
        .init(
            "no globs", rule("channels: , subscribe: everyone, publish: nobody"),
            "bridges.yaml:3:5: permissions[0]: channels is missing"),
        .init(
            "unknown word", rule("channels: a, subscribe: every, publish: nobody"),
            """
            bridges.yaml:3:31: permissions[0]: subscribe: expected one of everyone, authenticated, nobody, found "every"
                did you mean everyone?
            """),
        .init(
            "no claim", rule("channels: a, subscribe: {}, publish: nobody"),
            "bridges.yaml:3:31: permissions[0]: subscribe: names no claim\n    write authenticated for any token"),
        .init(
            "no value of a claim", rule("channels: a, subscribe: { role: }, publish: { role: [] }"),
            """
            bridges.yaml:3:33: permissions[0]: subscribe.role: names no value
            bridges.yaml:3:53: permissions[0]: publish.role: names no value
            """),
        .init(
            "claim that is not closed", rule("channels: \"user/{sub\", subscribe: everyone, publish: nobody"),
            """
            bridges.yaml:3:17: permissions[0]: channels: bad glob "user/{sub": "{" begins a claim such as {sub}
                write \\{ for a brace
            """),
        .init(
            "not a list", "version: 1\npermissions: { a: 1 }",
            "bridges.yaml:2:14: permissions: expected a list of blocks, found a block of keys"),
        .init(
            "rule that never applies",
            """
            version: 1
            permissions:
              - { channels: [ "a", "**" ], subscribe: everyone, publish: nobody }
              - { channels: "b", subscribe: everyone, publish: nobody }
            """,
            """
            bridges.yaml:4:5: warning: permissions[1] never applies: every channel is decided by permissions[0]
                the first that applies to a channel decides; move "**" to the end
            """),
        .init(
            "tokens that no key verifies", rule("channels: a, subscribe: authenticated, publish: nobody"),
            """
            bridges.yaml:3:5: warning: permissions[0] asks for a token, and no key verifies any
                give server.auth.key, private_key, keys or key_set
            """),
    ]
}
