internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import Testing

/// `hooks`: what they become, and the exact words about what is wrong.
struct HookConfigTests {
    private static let secret = "0123456789abcdef0123456789abcdef"
    private static let auth = "server: { auth: { key: \"${file:/run/secrets/jwt}\" } }"
    private static let files = [
        "/run/secrets/jwt": secret + "\n", "/run/secrets/hook": secret + "\n", "/etc/ca.pem": "",
    ]

    @Test func `every key of a hook arrives, and their order stays`() throws {
        let hooks = try settings(
            """
            version: 1
            \(Self.auth)
            hooks:
              zebra: { url: "https://z.example:8443/a?b=c", procedures: login }
              accounts:
                url: http://127.0.0.1:9000
                procedures: [ "account/*", logout ]
                tls: { ca: /etc/ca.pem }
                decides: [ handshake, publish ]
                channels: [ "room/*" ]
                unavailable: allow
                secret: "${file:/run/secrets/hook}"
                tokens: false
                timeout: 2s
                retries: 3
                backoff: 50ms
                concurrency: 7
                queue: 8
                breaker: { failures: 9, pause: 1m }
            """, files: Self.files
        ).server.hooks
        var zebra = HookSettings(name: "zebra", url: "https://z.example:8443/a?b=c")
        zebra.procedures = ["login"]
        var accounts = HookSettings(name: "accounts", url: "http://127.0.0.1:9000")
        accounts.procedures = ["account/*", "logout"]
        accounts.authorities = "/etc/ca.pem"
        accounts.decides = [.handshake, .publish]
        accounts.channels = ["room/*"]
        accounts.unavailable = .allow
        accounts.secret = Secret(Self.secret)
        accounts.givesTokens = false
        accounts.timeout = .seconds(2)
        accounts.retries = 3
        accounts.backoff = .milliseconds(50)
        accounts.concurrency = 7
        accounts.queue = 8
        accounts.breakerFailures = 9
        accounts.breakerPause = .seconds(60)
        #expect(hooks == [zebra, accounts])
        #expect(!"\(hooks)".contains(Self.secret))
    }

    @Test func `permissions may ask for the tokens that a hook gives`() {
        let text = """
            version: 1
            hooks:
              a: { url: "http://127.0.0.1", procedures: login }
            permissions:
              - { channels: "**", subscribe: authenticated, publish: nobody }
            """
        #expect(
            complaints(text) == """
                bridges.yaml:3:3: warning: hook "a": tokens that it gives end with this process, because no key signs them
                    give server.auth.key or private_key, or write tokens: false
                """)
        let without = text.replacing("login }", with: "login, tokens: false }")
        #expect(
            complaints(without) == """
                bridges.yaml:5:5: warning: permissions[0] asks for a token, and no key verifies any
                    give server.auth.key, private_key, keys or key_set
                """)
    }

    @Test(arguments: Self.cases)
    func `whatever is wrong with a hook is told`(_ complaint: ComplaintTests.Case) {
        #expect(complaints(complaint.text, files: Self.files) == complaint.complaint)
    }

    private static func hook(_ keys: String) -> String {
        "version: 1\n\(Self.auth)\nhooks:\n  a: { \(keys) }"
    }

    private static let right = "url: \"http://127.0.0.1\", procedures: [ login ]"

    private static let cases: [ComplaintTests.Case] = [
        .init("right", hook(right), ""),
        .init(
            "missing keys", hook("timeout: 1s"),
            """
            bridges.yaml:4:3: hook "a": url is missing
            bridges.yaml:4:3: hook "a" is never asked: it has no procedures and decides nothing
                give procedures, such as [login], or decides, such as [subscribe]
            """),
        .init("decides only", hook("url: \"http://127.0.0.1\", decides: subscribe, tokens: true"), ""),
        .init(
            "keys of decisions", hook("\(right), channels: a, unavailable: allow"),
            """
            bridges.yaml:4:56: hook "a": channels is for subscribe and publish, and it decides neither
            bridges.yaml:4:69: hook "a": unavailable is for decisions, and it makes none; calls of procedures fail
            """),
        .init(
            "slow handshakes", hook("url: \"http://127.0.0.1\", decides: handshake, timeout: 5s, retries: 1"),
            """
            bridges.yaml:4:53: warning: hook "a": server.timing.handshake_timeout ends a handshake before its attempts are over
                choose a shorter timeout, or fewer retries
            """),
        .init(
            "no channels", hook("url: \"http://127.0.0.1\", decides: publish, channels: []"),
            """
            bridges.yaml:4:51: hook "a": channels has no glob
                write ["**"] for all channels
            """),
        .init(
            "unknown decision", hook("url: \"http://127.0.0.1\", decides: [ publishIn ]"),
            """
            bridges.yaml:4:44: hook "a": decides: expected one of handshake, subscribe, publish, found "publishIn"
                did you mean publish?
            """),
        .init(
            "unknown key", hook("\(right), retrys: 1"),
            """
            bridges.yaml:4:56: unknown key "retrys" in hook "a"
                did you mean "retries"?  allowed: backoff, breaker, channels, concurrency, decides, procedures, queue, \
            retries, secret, timeout, tls, tokens, unavailable, url
            """),
        .init(
            "no globs", hook("url: \"http://127.0.0.1\", procedures: []"),
            """
            bridges.yaml:4:3: hook "a" is never asked: it has no procedures and decides nothing
                give procedures, such as [login], or decides, such as [subscribe]
            """),
        .init(
            "bad glob", hook("url: \"http://127.0.0.1\", procedures: [ \"a\\\\\" ]"),
            "bridges.yaml:4:47: hook \"a\": procedures: bad glob \"a\\\": the pattern ends with a lone `\\`"),
        .init(
            "no URL", hook("url: login.example, procedures: login"),
            """
            bridges.yaml:4:8: hook "a": url: expected a URL, found "login.example"
                such as http://127.0.0.1:80
            """),
        .init(
            "other scheme", hook("url: \"ftp://login.example\", procedures: login"),
            """
            bridges.yaml:4:8: hook "a": url: a hook is not reached by "ftp" URLs
                known: http, https
            """),
        .init(
            "password in the URL", hook("url: \"http://ann:hush@login.example\", procedures: login"),
            """
            bridges.yaml:4:8: hook "a": url: user name and password do not belong in a URL
                let the service verify signatures: secret: "${file:/path}"
            """),
        .init(
            "fragment", hook("url: \"http://login.example/a#b\", procedures: login"),
            "bridges.yaml:4:8: hook \"a\": url: a URL of a hook has no fragment, blank or special character"),
        .init(
            "authorities that are not there", hook("\(right), tls: { ca: /etc/other.pem }"),
            "bridges.yaml:4:63: hook \"a\": tls.ca: cannot read /etc/other.pem: No such file or directory"),
        .init(
            "weak secret", hook("\(right), secret: \"${WORD:-hush}\""),
            """
            bridges.yaml:4:56: warning: hook "a": secret has less than 32 bytes and may be guessed
                make one with: openssl rand -hex 32
            """),
        .init(
            "empty secret", hook("\(right), secret: \"${WORD:-}\""),
            "bridges.yaml:4:64: hook \"a\": secret: expected text, found nothing"),
        .init(
            "quoted nothing for a secret", hook("\(right), secret: \"\""),
            """
            bridges.yaml:4:56: hook "a": secret is empty
            bridges.yaml:4:64: warning: hook "a": secret is written in the file
                keep it elsewhere: "${file:/run/secrets/secret}" or "${VARIABLE}"
            """),
        .init(
            "secret in the file", hook("\(right), secret: \"\(secret)\""),
            """
            bridges.yaml:4:64: warning: hook "a": secret is written in the file
                keep it elsewhere: "${file:/run/secrets/secret}" or "${VARIABLE}"
            """),
        .init(
            "numbers without units", hook("\(right), timeout: 5, breaker: { failures: 0 }"),
            """
            bridges.yaml:4:65: hook "a": timeout: expected a duration such as 30s, found the number 5
                did you mean 5s?
            bridges.yaml:4:89: hook "a": breaker.failures: expected a whole number from 1 to 1000000, found the number 0
            """),
        .init(
            "hook that is never asked",
            "version: 1\n\(auth)\nhooks:\n  a: { url: \"http://h\", procedures: \"**\" }\n  b: { url: \"http://h\", procedures: x }",
            """
            bridges.yaml:5:25: warning: hook "b": procedures never applies: every call is answered by hook "a"
                the first that matches is asked; move "**" to the end
            """),
    ]
}
