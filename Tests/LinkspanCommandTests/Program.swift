internal import Foundation
internal import TestSupport
internal import Testing

/// The built `linkspan`, beside the tests.
enum Program {
    struct Run {
        var exit: ChildProcess.Exit
        var output: [String]
        var errors: [String]
    }

    static let path: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/linkspan"
    }()

    static func start(_ arguments: String...) throws -> ChildProcess {
        try ChildProcess(self.path, arguments)
    }

    static func run(_ arguments: String..., input: String? = nil, environment: [String: String?] = [:]) async throws
        -> Run
    {
        try await self.run(arguments, input: input, environment: environment)
    }

    static func run(_ arguments: [String], input: String? = nil, environment: [String: String?] = [:]) async throws
        -> Run
    {
        let child = try ChildProcess(self.path, arguments, environment: environment)
        if let input { child.send(input) }
        child.closeInput()
        let exit = try await child.exit()
        return Run(
            exit: exit, output: try await child.output.all(within: .seconds(60)),
            errors: try await child.errors.all(within: .seconds(60)))
    }

    /// Serves without bridges as long as `body`.
    static func serving(
        port: Int = TestPorts.next(), server: String = "",
        _ body: @escaping @Sendable (_ port: Int, _ file: String) async throws -> Void
    ) async throws {
        let text = "version: 1\nserver:\n  clients: { host: 127.0.0.1, port: \(port) }\n  \(server)\n"
        let file = try TestFolder("serving").write(text, to: "bridges.yaml")
        let serve = try Program.start("serve", "--config", file)
        _ = try await serve.errors.first("start of the server") { $0.contains("Serving clients") }
        do {
            try await body(port, file)
        } catch {
            try await serve.stop()
            throw error
        }
        #expect(try await serve.stop() == .status(0))
    }
}
