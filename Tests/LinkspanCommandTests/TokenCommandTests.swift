internal import Foundation
internal import TestSupport
internal import Testing

/// Tokens on the command line, and what a server of the same configuration says to them.
struct TokenCommandTests {
    private static let auth = "auth: { key: \"0123456789abcdef0123456789abcdef\", audience: chat }"

    @Test func `a token that was made is accepted, with its claims`() async throws {
        let file = try Self.write("version: 1\nserver: { \(Self.auth) }")
        let made = try await Program.run(
            "token", "make", "--config", file, "--claims", #"{"sub":"ann","aud":"chat"}"#, "--expiry", "1h")
        #expect(made.exit == .status(0), "\(made.errors)")
        let token = try #require(made.output.first)
        for (argument, input) in [(token, nil), ("-", token + "\n")] {
            let checked = try await Program.run("token", "check", "--config", file, argument, input: input)
            #expect(checked.exit == .status(0), "\(checked.errors)")
            let line = try #require(checked.output.first)
            let claims = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            #expect(claims["sub"] as? String == "ann")
            #expect(try #require(claims["exp"] as? Int) - #require(claims["iat"] as? Int) == 3600)
        }
    }

    @Test func `a token that a server would refuse is refused, with the reason`() async throws {
        let file = try Self.write("version: 1\nserver: { \(Self.auth) }")
        let old = try await Program.run(
            "token", "make", "--config", file, "--claims", #"{"aud":"chat","exp":1700000000}"#)
        let foreign = try await Program.run("token", "make", "--config", file, "--claims", #"{"aud":"mail"}"#)
        for (token, reason) in [
            (try #require(old.output.first), "not accepted: jwt expired"),
            (try #require(foreign.output.first), "not accepted: jwt audience invalid. expected: chat"),
            ("geheim", "not accepted: jwt malformed"),
        ] {
            let run = try await Program.run("token", "check", "--config", file, token)
            #expect(run.exit == .status(77))
            #expect(run.output == [])
            #expect(run.errors.last == reason)
        }
    }

    @Test func `claims, durations and configurations that make no token are told`() async throws {
        let file = try Self.write("version: 1\nserver: { \(Self.auth) }")
        let list = try await Program.run("token", "make", "--config", file, "--claims", "[1]")
        #expect(list.exit == .status(65))
        #expect(list.errors == ["--claims: expected a JSON object such as {\"sub\":\"ann\"}"])
        let bare = try await Program.run("token", "make", "--config", file, "--expiry", "3600")
        #expect(bare.exit == .status(64))
        let both = try await Program.run(
            "token", "make", "--config", file, "--expiry", "1h", "--claims", #"{"exp":1}"#)
        #expect(both.exit == .status(64))
        let keyless = try Self.write("version: 1")
        for (arguments, words) in [
            (["token", "make"], ["no key signs tokens", "    give server.auth.key or server.auth.private_key"]),
            (
                ["token", "check", "a.b.c"],
                ["no key verifies tokens", "    give server.auth.key, private_key, keys or key_set"]
            ),
        ] {
            let run = try await Program.run(arguments + ["--config", keyless])
            #expect(run.exit == .status(78))
            #expect(run.errors == ["\(keyless): \(words[0])", words[1]])
        }
    }

    @Test func `publish and subscribe with a token do what permissions grant to it, and no more`() async throws {
        let server =
            "\(Self.auth)\npermissions:\n  - { channels: \"user/{sub}\", subscribe: authenticated, publish: authenticated }"
        try await Program.serving(server: server) { port, file in
            let url = "ws://127.0.0.1:\(port)/socketcluster/"
            let made = try await Program.run(
                "token", "make", "--config", file, "--claims", #"{"sub":"ann","aud":"chat"}"#)
            let token = try #require(made.output.first)
            let tokenFile = try Self.write(token + "\n", "token")
            let own = try await Program.run("publish", "--url", url, "--token-file", tokenFile, "user/ann", "1")
            #expect(own.exit == .status(0), "\(own.errors)")
            let other = try await Program.run("publish", "--url", url, "--token", token, "user/bob", "1")
            #expect(other.exit == .status(77), "\(other.errors)")
            let anonymous = try await Program.run("publish", "--url", url, "user/ann", "1")
            #expect(anonymous.exit == .status(77), "\(anonymous.errors)")
            let refused = try await Program.run("subscribe", "--url", url, "user/ann")
            #expect(refused.exit == .status(77), "\(refused.errors)")
        }
    }

    private static func write(_ text: String, _ name: String = "bridges.yaml") throws -> String {
        try TestFolder("token").write(text, to: name)
    }
}
