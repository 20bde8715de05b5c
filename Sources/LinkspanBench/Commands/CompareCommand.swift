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
        OpenFiles.raiseLimit()
        let tools = try self.tools()
        let report = await self.compare(tools, try self.selection())
        if let json = self.json { try self.save(report.json(), to: json) }
        if let page = self.page {
            try self.save(BenchmarkPage(report: report, command: self.command).markdown, to: page)
        }
        if !report.isClean { throw ExitCode(1) }
    }

    private func compare(_ tools: Tools, _ selection: Selection) async -> BenchmarkReport {
        let cores = Cores.split()
        let machine = MachineFacts.read()
        if machine.isBusy {
            Self.note("Other work keeps \(machine.busyCores.short) cores busy: it takes part in every figure")
        }
        let rounds = self.rounds ?? (self.short ? 2 : 5)
        let measured = Duration.seconds(self.seconds ?? (self.short ? 0.3 : 0.6))
        let comparison = Comparison(
            tools: tools, cores: cores, rounds: rounds, measured: measured, note: { Self.note($0) })
        var outcomes: [RowOutcome] = []
        for row in selection.rows {
            Self.note("\(row.name): \(row.title)")
            outcomes.append(self.told(await comparison.run(row)))
        }
        let bridges = BridgeComparison(
            tools: tools, cores: cores, rounds: rounds, measured: measured, note: { Self.note($0) })
        for row in selection.bridges where row.upstream.absence == nil {
            Self.note("\(row.name): \(row.title)")
            outcomes.append(self.told(await bridges.run(row)))
        }
        let choices = ChoiceComparison(
            tools: tools, cores: cores, rounds: rounds, measured: measured, note: { Self.note($0) })
        for row in selection.choices where row.upstream.absence == nil {
            Self.note("\(row.name): \(row.title)")
            outcomes.append(self.told(await choices.run(row)))
        }
        var report = BenchmarkReport(
            machine: machine, versions: selection.versions(tools), absences: selection.absences, rounds: rounds,
            measured: measured, cores: cores, rows: outcomes)
        if selection.ledger { self.addLedger(to: &report, tools) }
        return report
    }

    private func addLedger(to report: inout BenchmarkReport, _ tools: Tools) {
        Self.note("\(Self.ledger): what identity, ledger, window and repair cost, piece by piece")
        var benchmark = LedgerBenchmark(span: report.measured / 4)
        if let folder = try? ScratchFolder() { benchmark.counting = (tools.bench, folder) }
        let (costs, absence) = benchmark.run()
        report.ledger = costs
        if let absence { report.absences.append("instructions: \(absence)") }
        if self.json != "-" { print(costs.text) }
    }

    /// The row of what has no server.
    private static let ledger = "ledger"

    private func told(_ outcome: RowOutcome) -> RowOutcome {
        if self.json != "-" { print(BenchmarkReport.text(outcome)) }
        return outcome
    }

    private struct Selection {
        var rows: [Row]
        var bridges: [BridgeRow]
        var choices: [ChoiceRow]
        /// Whether the pieces are measured.
        var ledger: Bool

        private var contenders: [Contender] {
            Contender.allCases.filter { contender in self.rows.contains { $0.contenders.contains(contender) } }
        }

        private var upstreams: [Upstream] {
            Upstream.allCases.filter { upstream in
                (self.bridges.map(\.upstream) + self.choices.map(\.upstream)).contains(upstream)
            }
        }

        var absences: [String] {
            var words: [String] = []
            for absence in self.contenders.compactMap(\.absence) + self.upstreams.compactMap(\.absence)
            where !words.contains(absence) {
                words.append(absence)
            }
            return words
        }

        func versions(_ tools: Tools) -> [String] {
            var versions = self.contenders.filter { $0.absence == nil }.compactMap { $0.version(tools) }
            if self.upstreams.contains(.amqp), let version = Upstream.amqp.version { versions.append(version) }
            return versions
        }
    }

    private func selection() throws -> Selection {
        var all = Row.all(isShort: self.short)
        if self.noPeers { for index in all.indices { all[index].contenders.removeAll(where: \.isPeer) } }
        guard let wanted = self.rows?.split(separator: ",").map(String.init) else {
            return Selection(rows: all, bridges: BridgeRow.all, choices: ChoiceRow.all, ledger: true)
        }
        let names = all.map(\.name) + BridgeRow.all.map(\.name) + ChoiceRow.all.map(\.name) + [Self.ledger]
        if let unknown = wanted.first(where: { !names.contains($0) }) {
            throw ValidationError("no row is called \(unknown); there are \(names.joined(separator: ", "))")
        }
        return Selection(
            rows: all.filter { wanted.contains($0.name) }, bridges: BridgeRow.all.filter { wanted.contains($0.name) },
            choices: ChoiceRow.all.filter { wanted.contains($0.name) }, ledger: wanted.contains(Self.ledger))
    }

    private func tools() throws -> Tools {
        let bench = Tools.thisProgram
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
