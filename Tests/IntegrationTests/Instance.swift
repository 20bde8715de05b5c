internal import Foundation
internal import TestSupport
internal import Testing

/// One Linkspan process with a configuration of its own, as an operator would run it.
final class Instance: Sendable {
    let name: String
    let port: Int
    let process: ChildProcess
    private let configuration: String

    var url: String { "ws://127.0.0.1:\(self.port)/socketcluster/" }

    /// Starts `linkspan serve` and returns when it accepts clients.
    /// - Parameters:
    ///   - brokers: the lines below `brokers:`, indented by two.
    ///   - bridges: the lines below `bridges:`, indented by two.
    ///   - server: further lines below `server:`, indented by two.
    ///   - clients: further keys of the client port, starting with a comma.
    init(_ name: String, brokers: String = "", bridges: String = "", server: String = "", clients: String = "")
        async throws
    {
        let port = TestPorts.next()
        let text = """
            version: 1
            instance: { id: \(name) }
            server:
              clients: { host: 127.0.0.1, port: \(port)\(clients) }
            \(server)
            \(brokers.isEmpty ? "" : "brokers:\n" + brokers)
            \(bridges.isEmpty ? "" : "bridges:\n" + bridges)
            """
        let folder = try TestFolder("instance-\(name)")
        let configuration = try folder.write(text, to: "bridges.yaml")
        let process = try ChildProcess(Self.program, ["serve", "--config", configuration], folder: folder.path)
        self.name = name
        self.port = port
        self.configuration = configuration
        self.process = process
        _ = try await eventually("instance \(name) on port \(port)") {
            guard process.isRunning else {
                throw TimedOut(
                    what: "instance \(name)", limit: nil, seen: process.errors.events.joined(separator: "\n"))
            }
            return TestPorts.accepts(port) ? true : nil
        }
    }

    /// The built program, beside the tests.
    static let program: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/linkspan"
    }()

    /// Runs one of the other commands of the program to its end and returns its standard output.
    @discardableResult
    static func run(_ arguments: String..., input: String? = nil) async throws -> [String] {
        try await ChildProcess.run(self.program, arguments, input: input)
    }

    func health() async throws -> JSON {
        try await HTTP.get("http://127.0.0.1:\(self.port)/health").body
    }

    /// Ends it as an operator would (SIGTERM).
    func stop() async throws -> ChildProcess.Exit { try await self.process.stop() }
}

extension Instance {
    /// One bridge as `/health` shows it.
    func bridge(_ name: String) async throws -> JSON {
        let bridges = try await self.health()["bridges"]
        return bridges[name] == .null ? bridges.elements.first { $0["name"].string == name } ?? .null : bridges[name]
    }

    /// Every message that a bridge accepted or received is accounted for, in its own counters and with a reason.
    func expectBalance(_ name: String = "up", sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let bridge = try await self.bridge(name)
        let (egress, ingress) = (bridge["egress"], bridge["ingress"])
        let sent = ["confirmed", "filtered", "expired", "buffered", "in_flight"].map { egress[$0].int ?? 0 }.reduce(
            0, +)
        let dropped = egress["dropped"].members.values.compactMap(\.int).reduce(0, +)
        #expect(egress["accepted"].int == sent + dropped, "\(egress)", sourceLocation: sourceLocation)
        let taken = ["delivered", "duplicate", "looped", "held"].map { ingress[$0].int ?? 0 }.reduce(0, +)
        let refused = ingress["refused"].members.values.compactMap(\.int).reduce(0, +)
        #expect(ingress["received"].int == taken + refused, "\(ingress)", sourceLocation: sourceLocation)
    }
}
