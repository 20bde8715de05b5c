internal import Foundation
internal import TestSupport
internal import Testing

/// `linkspan status` against a real `linkspan serve`.
struct StatusCommandTests {
    private static let key = "0123456789abcdef0123456789abcdef"

    private static func file(port: Int, key: String = Self.key) throws -> String {
        let text = """
            version: 1
            instance: { id: edge-1 }
            server:
              clients: { host: 127.0.0.1, port: 0 }
              operator: { port: \(port), key: "\(key)" }
            """
        return try TestFolder("status").write(text, to: "bridges.yaml")
    }

    @Test func `status tells where a running instance stands, and whose key is wrong`() async throws {
        let port = TestPorts.next()
        let file = try Self.file(port: TestPorts.next())
        let flag = ["--config", file, "--operator-port", "\(port)"]
        let serve = try Program.start("serve", "--config", file, "--operator-port", "\(port)")
        _ = try await serve.errors.first("start of the operator port") { $0.contains("Serving operators") }
        _ = try await serve.errors.first("start of the server") { $0.contains("Serving clients") }

        let people = try await Program.run(["status"] + flag)
        #expect(people.exit == .status(0), "\(people.errors)")
        #expect(people.output.first?.hasPrefix("edge-1  Linkspan ") == true)
        #expect(people.output.first?.hasSuffix("  ready") == true, "\(people.output)")

        let json = try await Program.run(["status", "--json"] + flag)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.joined().utf8)) as? [String: Any])
        #expect(report["instance"] as? String == "edge-1")
        #expect(report["ready"] as? Bool == true)

        let wrong = try Self.file(port: port, key: String(Self.key.reversed()))
        #expect(try await Program.run("status", "--config", wrong).exit == .status(77))

        let second = try await Program.run(["serve"] + flag)
        #expect(second.exit == .status(71))
        #expect(second.errors.contains { $0.contains("cannot listen on 127.0.0.1:\(port): address already in use") })
        #expect(second.errors.contains { $0.contains("--operator-port") })
        #expect(try await serve.stop() == .status(0))
    }

    @Test func `nobody there and nothing configured are told apart`() async throws {
        let file = try Self.file(port: TestPorts.next())
        #expect(try await Program.run("status", "--config", file).exit == .status(69))
        let without = try TestFolder("status").write("version: 1", to: "bridges.yaml")
        let run = try await Program.run("status", "--config", without)
        #expect(run.exit == .status(78))
        #expect(run.errors == ["\(without): server.operator is not given, so there is no port to ask"])
    }
}
