internal import TestSupport
internal import Testing

/// Tokens taken back by the operator of a running instance.
struct RevocationTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    @Test func `a revoked user is disconnected and refused, and others stay`() async throws {
        let operatorPort = TestPorts.next()
        let folder = try TestFolder("revocation")
        let secret = try folder.write(Self.secret, to: "secret")
        let instance = try await Instance(
            "one",
            server: """
                  auth: { key: "${file:\(secret)}", anonymous: deny }
                  operator: { port: \(operatorPort), key: "${file:\(secret)}" }
                """)
        let ann = try await Self.subscribe("ann", instance)
        let bob = try await Self.subscribe("bob", instance)

        let answer = try await HTTP.get(
            "http://127.0.0.1:\(operatorPort)/revoke", headers: ["Authorization: Bearer \(Self.secret)"],
            body: "{\"user\":\"ann\"}")
        #expect(answer.status == 200)
        #expect(try answer.body == ["closed": 1])
        _ = try await ann.errors.first(within: .seconds(60), "end of the connection") { $0.contains("4104") }
        // It comes back with the same token, and is refused.
        _ = try await ann.errors.first(within: .seconds(60), "refusal") {
            $0.contains("4008") || $0.contains("revoked")
        }

        let metrics = try await HTTP.get(
            "http://127.0.0.1:\(operatorPort)/metrics", headers: ["Authorization: Bearer \(Self.secret)"]
        ).text
        #expect(metrics.contains("\nlinkspan_connections_revoked_total 1\n"))
        try await Instance.run(
            "publish", "--url", instance.url, "--token", Self.token("bob", instance), "news", "1")
        _ = try await bob.output.first(within: .seconds(60), "the publish") { $0 == "1" }
        for client in [ann, bob] { try await client.stop() }
        #expect(try await instance.stop() == .status(0))
    }

    private static func token(_ name: String, _ instance: Instance) async throws -> String {
        try #require(
            try await Instance.run("token", "make", "--config", instance.file, "--claims", "{\"sub\":\"\(name)\"}")
                .first)
    }

    private static func subscribe(_ name: String, _ instance: Instance) async throws -> ChildProcess {
        let client = try ChildProcess(
            Instance.program,
            ["subscribe", "--url", instance.url, "--token", try await self.token(name, instance), "news"])
        _ = try await client.errors.first(within: .seconds(60), "subscription of \(name)") {
            $0.contains("subscribed to news")
        }
        return client
    }
}
