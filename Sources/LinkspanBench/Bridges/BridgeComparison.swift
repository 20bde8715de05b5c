internal import LinkspanBridgeKit
internal import Synchronization

/// Runs one row of bridges, its contenders in turns, around one broker.
struct BridgeComparison: Sendable {
    let tools: Tools
    let cores: Cores
    let rounds: Int
    let measured: Duration
    let note: @Sendable (String) -> Void

    /// Messages between source and sink at most.
    private static let window = 2000

    /// Longest wait for what is under way at the end; what comes later counts as lost.
    private static let drainLimit = Duration.seconds(30)

    func run(_ row: BridgeRow) async -> RowOutcome {
        var outcome = row.emptyOutcome
        do {
            let folder = try ScratchFolder()
            let broker = try ServerProcess.started {
                try row.upstream.start(folder, cores: row.way == .across ? .all : self.cores)
            }
            defer { withExtendedLifetime(broker.processes) {} }
            let instances = try self.instances(row, folder, broker: broker.port)
            let pace = try await self.pace(row, broker.port, instances)
            if case .perSecond(let rate) = pace { outcome.title += ", \(UInt64(rate).grouped) messages/s" }
            for round in 0..<self.rounds {
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

    /// As fast as it goes, or at half of what two instances pass.
    private func pace(_ row: BridgeRow, _ broker: UInt16, _ instances: [RunningServer]) async throws -> Flow.Pace {
        let full = Flow.Pace.window(Self.window)
        guard row.way == .across else { return full }
        let most = try await self.measure(row, BridgeRow.ours, broker, instances, full)
        return .perSecond(max(100, most.messagesPerSecond / 2))
    }

    private func run(
        _ row: BridgeRow, _ contender: String, _ broker: UInt16, _ instances: [RunningServer], _ pace: Flow.Pace,
        _ outcome: inout RowOutcome
    ) async {
        do {
            let result = try await self.measure(row, contender, broker, instances, pace)
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

    private struct FlowResult: Sendable {
        var messagesPerSecond: Double
        var latencyMedian: Double?
        var latency99: Double?
        var faults: Faults

        /// Nil when nothing was delivered.
        func value(_ measure: Measure) -> Double? {
            switch measure {
            case _ where self.messagesPerSecond == 0: nil
            case .messagesPerSecond: self.messagesPerSecond
            case .latencyMedianMicroseconds: self.latencyMedian.map { $0 / 1000 }
            case .latency99Microseconds: self.latency99.map { $0 / 1000 }
            case .serverMicrosecondsPerMessage, .serverMicrosecondsPerConnection, .bytesPerConnection,
                .bytesPerSlowReader, .corePercent:
                nil
            }
        }
    }

    private func measure(
        _ row: BridgeRow, _ contender: String, _ broker: UInt16, _ instances: [RunningServer], _ pace: Flow.Pace
    ) async throws -> FlowResult {
        let isOurs = contender == BridgeRow.ours
        let flow = Flow(payloadSize: 128, pace: pace, isApart: !isOurs)
        let sourceAt = isOurs && row.way != .ingress ? instances.first?.port : nil
        let sinkAt = isOurs && row.way != .egress ? instances.last?.port : nil
        let carriesHeader = contender == BridgeRow.bareWithHeader
        let cores = self.flowCores(row)
        async let sending: Void = LinkThread.run(name: "source") { _ in
            Cores.pin(to: cores)
            do {
                try row.upstream.send(flow, broker: broker, instance: sourceAt, carriesHeader: carriesHeader)
            } catch {
                flow.fail(error)
            }
        }
        async let receiving = LinkThread.run(name: "sink") { _ in
            Cores.pin(to: cores)
            do {
                return try row.upstream.receive(flow, broker: broker, instance: sinkAt)
            } catch {
                flow.fail(error)
                return (Faults(), Histogram())
            }
        }
        let outcome: Result<Double, any Error>
        do {
            outcome = .success(try await self.conduct(flow))
        } catch {
            outcome = .failure(error)
        }
        flow.phase.store(.ended, ordering: .releasing)
        try await sending
        let (faults, latency) = try await receiving
        try flow.checkFailure()
        return FlowResult(
            messagesPerSecond: try outcome.get(), latencyMedian: latency.percentile(0.5),
            latency99: latency.percentile(0.99), faults: faults)
    }

    /// Takes a flow through its phases; returns messages per second.
    private func conduct(_ flow: Flow) async throws -> Double {
        try await self.wait(flow, .seconds(30), "the first message passes") { flow.isPrimed.load(ordering: .acquiring) }
        // What primed is on its way still; another millisecond or two of it does no harm.
        try await Task.sleep(for: .milliseconds(50))
        flow.phase.store(.running, ordering: .releasing)
        try await Task.sleep(for: .milliseconds(200))
        let from = MonotonicClock.nanoseconds()
        let before = flow.received.load(ordering: .acquiring)
        flow.measuredFrom.store(from, ordering: .relaxed)
        try await Task.sleep(for: self.measured)
        let until = MonotonicClock.nanoseconds()
        let after = flow.received.load(ordering: .acquiring)
        flow.measuredUntil.store(until, ordering: .relaxed)
        flow.phase.store(.draining, ordering: .releasing)
        try await self.wait(flow, .seconds(30), "the source stops") { flow.hasStopped.load(ordering: .acquiring) }
        let sent = flow.sent.load(ordering: .acquiring)
        let deadline = MonotonicClock.nanoseconds() + Self.drainLimit.nanoseconds
        while flow.received.load(ordering: .acquiring) < sent, MonotonicClock.nanoseconds() < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        try await Task.sleep(for: .milliseconds(20))
        return Double(after - before) / (Double(until - from) / 1e9)
    }

    private func wait(_ flow: Flow, _ limit: Duration, _ what: String, _ isDone: () -> Bool) async throws {
        let deadline = MonotonicClock.nanoseconds() + limit.nanoseconds
        while !isDone() {
            try flow.checkFailure()
            guard MonotonicClock.nanoseconds() < deadline else { throw BenchError("gave up waiting until \(what)") }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

extension Upstream {
    /// Sends through an instance, or straight to the broker.
    fileprivate func send(_ flow: Flow, broker: UInt16, instance: UInt16?, carriesHeader: Bool) throws {
        if let instance {
            var source = try SocketSource(port: instance)
            return try flow.send(from: &source)
        }
        let name = self.name(isApart: flow.isApart)
        switch self {
        case .redis:
            var source = try RedisSource(port: broker, name: name)
            try flow.send(from: &source)
        case .mqtt0, .mqtt1:
            var source = try MQTTSource(
                port: broker, name: name, qos: self == .mqtt0 ? 0 : 1, carriesHeader: carriesHeader)
            try flow.send(from: &source)
        case .amqp:
            var source = try AMQPSource(port: broker, name: name, carriesHeader: carriesHeader)
            try flow.send(from: &source)
        }
    }

    /// Receives from an instance, or straight from the broker.
    fileprivate func receive(_ flow: Flow, broker: UInt16, instance: UInt16?) throws -> (Faults, Histogram) {
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
