internal import ArgumentParser
internal import Glibc

struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Run all rows, or some, and say which goals are met.",
        discussion: """
            Starts everything that it measures on free ports of 127.0.0.1, and ends it again.
            Exit status 1 when a message was lost, repeated, reordered or damaged, or a run came to no end; a missed goal is no failure.
            """)

    @Option(help: "Rows, with commas; all when not given.")
    var rows: String?

    @Option(help: "Runs of each contender in each row.")
    var rounds: Int?

    @Option(help: "Seconds measured in each run.")
    var seconds: Double?

    @Flag(help: "Fewer rounds, peers and connections: about two minutes.")
    var short = false

    @Flag(help: "Without other servers.")
    var noPeers = false

    @Option(help: "The linkspan to measure; by default the one beside this program.")
    var linkspan: String?

    @Option(help: "Write JSON to this file; - for standard output.")
    var json: String?

    @Option(help: "Write the page of the documentation to this file.")
    var page: String?

    @Option(help: "The command that the page names.")
    var command = "linkspan-bench compare"

    func run() async throws {
        LiveServers.shared.endWhenInterrupted()
        OpenFiles.raiseLimit()
        let tools = try self.tools()
        let report = await self.compare(tools, try self.selectedRows())
        if let json = self.json { try self.save(report.json(), to: json) }
        if let page = self.page {
            try self.save(BenchmarkPage(report: report, command: self.command).markdown, to: page)
        }
        if !report.isClean { throw ExitCode(1) }
    }

    private func compare(_ tools: Tools, _ rows: [Row]) async -> BenchmarkReport {
        let cores = Cores.split()
        let comparison = Comparison(
            tools: tools, cores: cores, rounds: self.rounds ?? (self.short ? 3 : 5),
            measured: .seconds(self.seconds ?? (self.short ? 0.4 : 0.8)), note: { Self.note($0) })
        var outcomes: [RowOutcome] = []
        for row in rows {
            Self.note("\(row.name): \(row.title)")
            let outcome = await comparison.run(row)
            outcomes.append(outcome)
            if self.json != "-" { print(BenchmarkReport.text(outcome)) }
        }
        let present = Contender.allCases.filter { contender in rows.contains { $0.contenders.contains(contender) } }
        return BenchmarkReport(
            machine: .read(), versions: present.filter { $0.absence == nil }.compactMap { $0.version(tools) },
            absences: present.compactMap(\.absence), rounds: comparison.rounds, measured: comparison.measured,
            cores: cores, rows: outcomes)
    }

    private func selectedRows() throws -> [Row] {
        var all = Row.all(isShort: self.short)
        if self.noPeers { for index in all.indices { all[index].contenders.removeAll(where: \.isPeer) } }
        guard let wanted = self.rows?.split(separator: ",").map(String.init) else { return all }
        if let unknown = wanted.first(where: { name in !all.contains { $0.name == name } }) {
            throw ValidationError("no row is called \(unknown); there are \(all.map(\.name).joined(separator: ", "))")
        }
        return all.filter { wanted.contains($0.name) }
    }

    private func tools() throws -> Tools {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        let bench = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = bench.prefix(through: bench.lastIndex(of: "/") ?? bench.startIndex)
        let linkspan = self.linkspan ?? "\(folder)linkspan"
        guard ServerProcess.find(linkspan) != nil else {
            throw ValidationError("there is no \(linkspan); build it with: swift build -c release --product linkspan")
        }
        return Tools(linkspan: linkspan, bench: bench)
    }

    private func save(_ text: String, to file: String) throws {
        if file == "-" { print(text) } else { try TextFile.write(text, to: file) }
    }

    private static func note(_ text: String) {
        var line = Array(text.utf8) + [UInt8(ascii: "\n")]
        write(STDERR_FILENO, &line, line.count)
    }
}
