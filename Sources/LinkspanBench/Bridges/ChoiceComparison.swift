/// Runs one row of choices, in turns, around one broker; each choice has an instance of its own.
struct ChoiceComparison: Sendable {
    let tools: Tools
    let cores: Cores
    let rounds: Int
    let measured: Duration
    let note: @Sendable (String) -> Void

    /// Messages between source and sink at most.
    private static let window = 2000

    func run(_ row: ChoiceRow) async -> RowOutcome {
        var outcome = row.emptyOutcome
        do {
            let folder = try ScratchFolder()
            let broker = try ServerProcess.started { try row.upstream.start(folder, cores: self.cores) }
            defer { withExtendedLifetime(broker.processes) {} }
            for round in 0..<min(self.rounds, ChoiceRow.mostRounds) {
                for choice in round % 2 == 0 ? row.choices : row.choices.reversed() {
                    await self.run(row, choice, folder, broker.port, &outcome)
                }
            }
        } catch {
            outcome.failures.append("\(error)")
            self.note("  \(error)")
        }
        return outcome
    }

    private func run(
        _ row: ChoiceRow, _ choice: ChoiceRow.Choice, _ folder: ScratchFolder, _ broker: UInt16,
        _ outcome: inout RowOutcome
    ) async {
        do {
            // A fresh one for each run: two instances would both receive, and one that waits still sends probes.
            let instance = try ServerProcess.started { try self.instance(row, choice, folder, broker) }
            let result = try await self.measure(row, choice, instance, broker)
            let values = row.emptyOutcome.measures.map { result.value($0.measure) }
            outcome.add(values, result.faults, of: choice.name)
            let words = zip(outcome.measures, values).map { "\($0.measure.words) \($1?.short ?? "-")" }
            self.note("  \(choice.name): \(words.joined(separator: ", "))")
        } catch {
            outcome.failed(choice.name, "\(error)")
            self.note("  \(choice.name): \(error)")
        }
    }

    private func instance(
        _ row: ChoiceRow, _ choice: ChoiceRow.Choice, _ folder: ScratchFolder, _ broker: UInt16
    ) throws -> RunningServer {
        let port = try Loopback.freePort()
        let direction = row.way == .egress ? "out" : "in"
        let settings = """
            version: 1
            instance: { id: bench-a }
            server:
              clients: { host: 127.0.0.1, port: \(port) }
              event_loops: 1
              data: \(folder.file("data-\(port)"))
            \(row.upstream.settings(port: broker, direction: direction, rule: choice.rule))
            """
        let file = try folder.write(settings, to: "choice-\(port).yaml")
        let process = try ServerProcess(
            [self.tools.linkspan, "serve", "--config", file], cores: self.cores.server,
            log: folder.file("choice-\(port).log"))
        try process.awaitPort(port)
        return RunningServer(contender: .linkspan, process: process, port: port)
    }

    private func measure(
        _ row: ChoiceRow, _ choice: ChoiceRow.Choice, _ instance: RunningServer, _ broker: UInt16
    ) async throws -> FlowResult {
        let flow = Flow(payloadSize: 128, pace: .window(Self.window), isApart: false)
        let run = FlowRun(measured: self.measured, cores: self.cores.generator, server: instance.process.meter)
        let (port, upstream) = (instance.port, row.upstream)
        switch row.way {
        case .egress, .across:
            return try await run.run(flow) { flow in
                var source = try SocketSource(port: port, asksForAnswers: choice.asksForAnswers)
                try flow.send(from: &source)
            } receive: { flow in
                try upstream.receive(flow, broker: broker, instance: nil)
            }
        case .ingress:
            return try await run.run(flow) { flow in
                try upstream.send(
                    flow, broker: broker, instance: nil, carriesHeader: choice.carriesHeader,
                    identities: choice.carriesHeader ? Identities() : nil)
            } receive: { flow in
                try upstream.receive(flow, broker: broker, instance: port)
            }
        }
    }
}
