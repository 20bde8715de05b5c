internal import Foundation
internal import TestSupport
internal import Testing

/// The service of docs/hooks.md, as it stands there, behind a real instance.
struct HookTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    @Test(arguments: ["v1", "v2"])
    func `a stock client logs in through the service of the documentation`(_ generation: String) async throws {
        let folder = try TestFolder("hook")
        let port = TestPorts.next()
        let program = try folder.write(try Self.documentedService(), to: "service.py")
        let service = try ChildProcess(
            "python3", [program], environment: ["HOOK_SECRET": Self.secret, "PORT": "\(port)"])
        _ = try await eventually(within: .seconds(60), "start of the service") {
            TestPorts.accepts(port) ? true : nil
        }
        let secret = try folder.write(Self.secret, to: "secret")
        let instance = try await Instance(
            "one", server: "  auth: { key: \"${file:\(secret)}\" }",
            top:
                "hooks: { accounts: { url: \"http://127.0.0.1:\(port)/\", procedures: login, secret: \"${file:\(secret)}\" } }"
        )
        let client = try ChildProcess(
            Clients.python(generation), [Clients.path("login_client.py"), instance.url, "ann", "wonderland"])
        #expect(try await client.exit(within: .seconds(60)) == .status(0))
        let events = try await client.output.all(within: .seconds(60)).map { try JSON(parsing: $0) }
        #expect(events.map { $0["event"].string } == ["open", "refused", "token", "answered", "back"])
        #expect(events.first?["authenticated"] == false)
        #expect(events.first { $0["event"] == "refused" }?["error"]["name"] == "AuthError")
        #expect(events.first { $0["event"] == "answered" }?["data"]["welcome"] == "ann")
        #expect(events.last?["authenticated"] == true)

        // The service is gone: the client is told, and nothing else stops.
        try await service.stop()
        let late = try ChildProcess(
            Clients.python(generation), [Clients.path("login_client.py"), instance.url, "ann", "wonderland"])
        let refusal = try await late.output.first(within: .seconds(60), "refusal") { $0.contains("\"refused\"") }
        #expect(try JSON(parsing: refusal.event)["error"]["name"] == "UnavailableError")
        try await late.stop()
        #expect(try await instance.stop() == .status(0))
    }

    private static func documentedService() throws -> String {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/hooks.md")
        let text = String(decoding: try Data(contentsOf: page), as: UTF8.self)
        let block = try #require(text.firstMatch(of: /```python\n((?s).*?)```/))
        return String(block.1)
    }
}
