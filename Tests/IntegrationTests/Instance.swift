internal import Foundation
internal import TestSupport

/// What an instance is configured with, as its `bridges.yaml` says it.
struct InstanceConfiguration {
    let name: String
    var port = TestPorts.next()
    /// The lines below `brokers:`, indented by two.
    var brokers = ""
    /// The lines below `bridges:`, indented by two.
    var bridges = ""
    /// Further lines below `server:`, indented by two.
    var server = ""
    /// Further keys of the client port, starting with a comma.
    var clients = ""
    /// Further keys of the file.
    var top = ""

    var text: String {
        """
        version: 1
        instance: { id: \(self.name) }
        server:
          clients: { host: 127.0.0.1, port: \(self.port)\(self.clients) }
        \(self.server)
        \(self.top)
        \(self.brokers.isEmpty ? "" : "brokers:\n" + self.brokers)
        \(self.bridges.isEmpty ? "" : "bridges:\n" + self.bridges)

        """
    }

    var url: String { "ws://127.0.0.1:\(self.port)/socketcluster/" }
}

/// One Linkspan process, as an operator would run it.
final class Instance: Sendable {
    let port: Int
    let url: String
    /// Its `bridges.yaml`.
    let file: String
    let process: ChildProcess

    /// Starts `linkspan serve` and returns when it accepts clients. The parameters are those of ``InstanceConfiguration``.
    /// - Parameters:
    ///   - fileBlocks: 1024 bytes each that a file of the process may have (`ulimit -f`).
    ///   - oldPort: of an instance that has ended and whose place this one takes.
    ///   - wrapper: a program and its arguments that become the instance, such as one that changes what it sees of the machine.
    init(
        _ name: String, brokers: String = "", bridges: String = "", server: String = "", clients: String = "",
        top: String = "", fileBlocks: Int? = nil, port oldPort: Int? = nil, wrapper: [String] = []
    ) async throws {
        var configuration = InstanceConfiguration(
            name: name, brokers: brokers, bridges: bridges, server: server, clients: clients, top: top)
        if let oldPort { configuration.port = oldPort }
        let port = configuration.port
        let folder = try TestFolder("instance-\(name)")
        let file = try folder.write(configuration.text, to: "bridges.yaml")
        let command = wrapper + [Self.program, "serve", "--config", file]
        // The soft limit only, so that it can be lifted while the process runs.
        let limited =
            fileBlocks.map { ["/bin/bash", "-c", "ulimit -S -f \($0); exec \"$@\"", "bash"] + command } ?? command
        let process = try ChildProcess(limited[0], Array(limited.dropFirst()), folder: folder.path)
        self.port = port
        self.url = configuration.url
        self.file = file
        self.process = process
        _ = try await eventually("instance \(name) on port \(port)") {
            guard process.isRunning else {
                throw TimedOut(
                    what: "instance \(name)", limit: nil,
                    seen: try await process.errors.all(within: .seconds(60)).joined(separator: "\n"))
            }
            return TestPorts.accepts(port) ? true : nil
        }
    }

    /// The built program, beside the tests.
    static let program = Instance.program(named: "linkspan")

    static func program(named name: String) -> String {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/" + name
    }

    /// Runs one of the other commands of the program to its end and returns its standard output.
    @discardableResult
    static func run(_ arguments: String..., input: String? = nil) async throws -> [String] {
        try await ChildProcess.run(self.program, arguments, input: input)
    }

    /// Ends it as an operator would (SIGTERM).
    @discardableResult
    func stop() async throws -> ChildProcess.Exit { try await self.process.stop() }
}

extension Instance {
    /// One bridge as `/health` shows it.
    func bridge(_ name: String = "up") async throws -> JSON {
        try await HTTP.get("http://127.0.0.1:\(self.port)/health").body["bridges"][name]
    }

    /// Waits until `/health` shows the bridge `up` in a state.
    func wait(forBridge state: JSON) async throws {
        _ = try await eventually("bridge \(state)") { try await self.bridge()["state"] == state ? true : nil }
    }
}

extension JSON {
    /// For a bridge of `/health`: whether everything that it accepted or received is accounted for.
    var isBalanced: Bool {
        let (egress, ingress) = (self["egress"], self["ingress"])
        let left = egress.sum(["confirmed", "filtered", "expired", "buffered", "in_flight"], and: "dropped")
        let taken = ingress.sum(["delivered", "duplicate", "looped", "held"], and: "refused")
        return egress["accepted"].int == left && ingress["received"].int == taken
    }

    private func sum(_ keys: [String], and reasons: String) -> Int {
        keys.compactMap { self[$0].int }.reduce(0, +) + self[reasons].members.values.compactMap(\.int).reduce(0, +)
    }
}
