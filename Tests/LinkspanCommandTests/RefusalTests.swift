internal import Foundation
internal import TestSupport
internal import Testing

/// A `linkspan serve` that refuses to start lets no client in before it says so.
struct RefusalTests {
    private let folder: TestFolder

    init() throws {
        self.folder = try TestFolder("refusal")
    }

    /// A file for an instance on `port` whose only broker is not there.
    private func write(port: Int, server: String) throws -> String {
        try self.folder.write(
            """
            version: 1
            server:
              clients: { host: 127.0.0.1, port: \(port) }
              \(server)
            brokers:
              nobody: { type: mqtt, urls: "mqtt://127.0.0.1:1" }
            bridges:
              up: { broker: nobody, guarantee: at_least_once, buffer: { type: disk } }
            """, to: "\(port).yaml")
    }

    /// Runs to the end, looking all the time for an open client port.
    private func expectRefusal(port: Int, server: String, status: Int32, _ words: String) async throws {
        let serve = try Program.start("serve", "--config", try self.write(port: port, server: server))
        _ = try await eventually(every: .milliseconds(1), "its end") {
            #expect(!TestPorts.accepts(port))
            return serve.isRunning ? nil : true
        }
        #expect(try await serve.exit() == .status(status))
        let said = try await serve.errors.all(within: .seconds(60)).joined(separator: "\n")
        #expect(said.contains(words), "\(said)")
        #expect(!said.contains("Serving clients"), "\(said)")
    }

    @Test func `a second instance on the same folder says why, and nobody reached it`() async throws {
        let data = "data: \(self.folder.path)/data"
        let first = try Program.start("serve", "--config", try self.write(port: TestPorts.next(), server: data))
        // Clients are let in only once the folder is taken.
        _ = try await first.errors.first(within: .seconds(60), "start") { $0.contains("Serving clients") }
        try await self.expectRefusal(
            port: TestPorts.next(), server: data, status: 73,
            "cannot lock \(self.folder.path)/data/buffers/up: another process uses it")
        #expect(try await first.stop() == .status(0))
    }

    @Test func `a port for operators that is taken keeps the client port closed`() async throws {
        try await Program.serving { taken, _ in
            let key = String(repeating: "k", count: 32)
            try await self.expectRefusal(
                port: TestPorts.next(),
                server: "data: \(self.folder.path)/data\n  operator: { port: \(taken), key: \(key) }", status: 71,
                "cannot listen on 127.0.0.1:\(taken): address already in use")
        }
    }
}
