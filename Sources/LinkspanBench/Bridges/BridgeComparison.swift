/// Runs one row of bridges, its contenders in turns, around one broker.
struct BridgeComparison: Sendable {
    let tools: Tools
    let cores: Cores
    let rounds: Int
    let measured: Duration
    let note: @Sendable (String) -> Void

    /// Messages between source and sink at most.
    private static let window = 2000

    func run(_ row: BridgeRow) async -> RowOutcome {
        var outcome = row.emptyOutcome
        do {
            let folder = try ScratchFolder()
            let broker = try ServerProcess.started {
                try row.upstream.start(folder, cores: row.way == .across ? .all : self.cores)
            }
            defer { withExtendedLifetime(broker.processes) {} }
            let instances = try self.instances(row, folder, broker: broker.port)
            let (pace, words) = try await self.pace(row, broker.port, instances)
            if let words { outcome.title += ", \(words)" }
            for round in 0..<self.rounds * self.passes(row) {
                for contender in round % 2 == 0 ? row.contenders : row.contenders.reversed() {
                    await self.run(row, contender, broker.port, instances, pace, &outcome)
                }
            }
        } catch {
            outcome.failures.append("\(error)")
            self.note("  \(error)")
        }
        return outcome
    }

    /// As fast as it goes; or at half of what an instance passes to the broker, or of what both pass where that is less.
    ///
    /// - Returns: the pace, and what it is in words; nil where it is as fast as it goes.
    private func pace(
        _ row: BridgeRow, _ broker: UInt16, _ instances: [RunningServer]
    ) async throws -> (pace: Flow.Pace, words: String?) {
        let full = Flow.Pace.window(Self.window)
        guard row.way == .across else { return (full, nil) }
        let one = try await self.measure(
            row, BridgeRow.ours, broker, (instances.first?.port, nil), full, for: self.measured
        ).messagesPerSecond
        let both = try await self.measure(
            row, BridgeRow.ours, broker, (instances.first?.port, instances.last?.port), full, for: self.measured
        ).messagesPerSecond
        let rate = max(100, min(one, both) / 2)
        let whose = both < one ? "both pass" : "one passes to the broker"
        return (.perSecond(rate), "at half of what \(whose), \(UInt64(rate).grouped) messages/s")
    }

    private func run(
        _ row: BridgeRow, _ contender: String, _ broker: UInt16, _ instances: [RunningServer], _ pace: Flow.Pace,
        _ outcome: inout RowOutcome
    ) async {
        do {
            let isOurs = contender == BridgeRow.ours
            let ports = (
                source: isOurs && row.way != .ingress ? instances.first?.port : nil,
                sink: isOurs && row.way != .egress ? instances.last?.port : nil
            )
            let result = try await self.measure(row, contender, broker, ports, pace, for: self.measuredTime(row))
            let values = row.measures.map { result.value($0.measure) }
            outcome.add(values, result.faults, of: contender)
            let words = zip(row.measures, values).map { "\($0.measure.words) \($1?.short ?? "-")" }
            let complaint = result.faults.isClean ? "" : "  \(result.faults.words)"
            self.note("  \(contender): \(words.joined(separator: ", "))\(complaint)")
        } catch {
            outcome.failed(contender, "\(error)")
            self.note("  \(contender): \(error)")
        }
    }

    private func instances(_ row: BridgeRow, _ folder: ScratchFolder, broker: UInt16) throws -> [RunningServer] {
        let direction = row.way == .egress ? "out" : row.way == .ingress ? "in" : "both"
        return try (row.way == .across ? ["bench-a", "bench-b"] : ["bench-a"]).map { instance in
            try ServerProcess.started { try self.instance(instance, row, folder, direction, broker: broker) }
        }
    }

    private func instance(
        _ name: String, _ row: BridgeRow, _ folder: ScratchFolder, _ direction: String, broker: UInt16
    ) throws -> RunningServer {
        let port = try Loopback.freePort()
        let settings = """
            version: 1
            instance: { id: \(name) }
            server:
              clients: { host: 127.0.0.1, port: \(port) }
              event_loops: 1
            \(row.upstream.settings(port: broker, direction: direction))
            """
        let file = try folder.write(settings, to: "\(name).yaml")
        let process = try ServerProcess(
            [self.tools.linkspan, "serve", "--config", file], cores: self.flowCores(row),
            log: folder.file("\(name).log"))
        try process.awaitPort(port)
        return RunningServer(contender: .linkspan, process: process, port: port)
    }

    /// Where everything but the broker runs. RabbitMQ has a thread for each core; and where there are more threads than cores, nobody waits for one while
    /// another is idle.
    private func flowCores(_ row: BridgeRow) -> [Int] {
        row.upstream == .amqp || row.way == .across ? [] : self.cores.besideBroker
    }

    /// One p99 differs from the next several times over.
    private func passes(_ row: BridgeRow) -> Int { row.way == .across ? 3 : 1 }

    /// A p99 is made of few messages: one pause of the machine must not decide it.
    private func measuredTime(_ row: BridgeRow) -> Duration {
        row.way == .across ? max(self.measured, min(self.measured * 2, .seconds(2))) : self.measured
    }

    /// - Parameter ports: of the instances that stand before the broker and after it; nil where a bare loop does.
    private func measure(
        _ row: BridgeRow, _ contender: String, _ broker: UInt16, _ ports: (source: UInt16?, sink: UInt16?),
        _ pace: Flow.Pace, for measured: Duration
    ) async throws -> FlowResult {
        let flow = Flow(payloadSize: 128, pace: pace, isApart: contender != BridgeRow.ours)
        let carriesHeader = contender == BridgeRow.bareWithHeader
        let run = FlowRun(measured: measured, cores: self.flowCores(row))
        return try await run.run(flow) { flow in
            try row.upstream.send(
                flow, broker: broker, instance: ports.source, carriesHeader: carriesHeader,
                isConfirming: row.way != .across)
        } receive: { flow in
            try row.upstream.receive(flow, broker: broker, instance: ports.sink)
        }
    }
}

extension Upstream {
    /// Sends through an instance, or straight to the broker.
    ///
    /// - Parameters:
    ///   - isConfirming: whether RabbitMQ confirms what is sent straight to it; instances say so in their settings.
    ///   - identities: what stands in the headers, for a receiver that looks at them.
    func send(
        _ flow: Flow, broker: UInt16, instance: UInt16?, carriesHeader: Bool, isConfirming: Bool = true,
        identities: Identities? = nil
    ) throws {
        if let instance {
            var source = try SocketSource(port: instance)
            return try flow.send(from: &source)
        }
        let name = self.name(isApart: flow.isApart)
        switch self {
        case .redis:
            var source = try RedisSource(port: broker, name: name, identities: identities)
            try flow.send(from: &source)
        case .mqtt0, .mqtt1:
            var source = try MQTTSource(
                port: broker, name: name, qos: self == .mqtt0 ? 0 : 1, carriesHeader: carriesHeader,
                identities: identities)
            try flow.send(from: &source)
        case .amqp:
            var source = try AMQPSource(
                port: broker, name: name, carriesHeader: carriesHeader, isConfirming: isConfirming)
            try flow.send(from: &source)
        }
    }

    /// Receives from an instance, or straight from the broker.
    func receive(_ flow: Flow, broker: UInt16, instance: UInt16?) throws -> (Faults, Histogram) {
        if let instance {
            var sink = try SocketSink(port: instance)
            return try flow.receive(into: &sink)
        }
        let name = self.name(isApart: flow.isApart)
        switch self {
        case .redis:
            var sink = try RedisSink(port: broker, name: name)
            return try flow.receive(into: &sink)
        case .mqtt0, .mqtt1:
            var sink = try MQTTSink(port: broker, name: name, qos: self == .mqtt0 ? 0 : 1)
            return try flow.receive(into: &sink)
        case .amqp:
            var sink = try AMQPSink(port: broker, name: name)
            return try flow.receive(into: &sink)
        }
    }
}
