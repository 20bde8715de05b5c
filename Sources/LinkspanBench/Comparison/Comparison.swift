/// Runs rows over contenders, in turns, so that slow changes of the machine meet all of them.
struct Comparison: Sendable {
    let tools: Tools
    let cores: Cores
    let rounds: Int
    let measured: Duration
    /// Told what goes on, for people who wait.
    let note: @Sendable (String) -> Void

    func run(_ row: Row) async -> RowOutcome {
        var outcome = RowOutcome(row)
        do {
            let folder = try ScratchFolder()
            var present = row.contenders.filter { $0.absence == nil }
            var servers: [RunningServer] = []
            if !row.needsFreshServers {
                servers = present.compactMap { self.start($0, folder, &outcome) }
                // Who does not start fails alone.
                present = servers.map(\.contender)
            }
            for round in 0..<min(self.rounds, row.mostRounds) {
                for contender in row.order(of: present, round: round) {
                    let running = servers.first { $0.contender == contender }
                    guard let server = running ?? self.start(contender, folder, &outcome) else { continue }
                    await self.run(row, server, &outcome)
                }
            }
        } catch {
            outcome.failures.append("\(error)")
        }
        return outcome
    }

    private func start(_ contender: Contender, _ folder: ScratchFolder, _ outcome: inout RowOutcome) -> RunningServer? {
        do {
            return try ServerProcess.started { try contender.start(self.tools, folder, cores: self.cores) }
        } catch {
            outcome.failed(contender.rawValue, "\(error)")
            self.note("  \(contender.rawValue): \(error)")
            return nil
        }
    }

    private func run(_ row: Row, _ server: RunningServer, _ outcome: inout RowOutcome) async {
        do {
            let (values, faults) = try await self.values(row, server)
            outcome.add(values, faults, of: server.contender)
            let words = zip(row.measures, values).map { "\($0.measure.words) \($1?.short ?? "-")" }
            let complaint = faults.isClean ? "" : "  \(faults.words)"
            self.note("  \(server.contender.rawValue): \(words.joined(separator: ", "))\(complaint)")
        } catch {
            outcome.failed(server.contender.rawValue, "\(error)")
            self.note("  \(server.contender.rawValue): \(error)")
        }
    }

    private func values(_ row: Row, _ server: RunningServer) async throws -> ([Double?], Faults) {
        var plan = LoadPlan(dialect: server.contender.dialect, port: server.port)
        plan.cores = self.cores.generator
        plan.threads = min(2, max(1, self.cores.generator.count))
        plan.measured = self.measured
        let meter = server.process.meter
        switch row.scenario {
        case .traffic(let adjust):
            adjust(&plan)
            plan.threads = min(plan.threads, max(1, self.cores.generator.count))
            let result = try await LoadGenerator(plan).measure(meter)
            return (row.measures.map { result.value($0.measure) }, result.faults)
        case .storm(let count):
            plan.subscribersPerChannel = count
            let before = meter.nanoseconds
            _ = try await LoadGenerator(plan).connectAll {}
            let spent = Double(meter.nanoseconds - before) / 1000
            return ([spent / Double(count + 1)], Faults())
        case .idle(let count, let span):
            plan.subscribersPerChannel = count
            let before = meter.residentBytes
            let readings = Readings()
            _ = try await LoadGenerator(plan).connectAll {
                try await Task.sleep(for: .milliseconds(300))
                readings.note(bytes: meter.residentBytes, nanoseconds: meter.nanoseconds)
                try await Task.sleep(for: span)
                readings.note(bytes: meter.residentBytes, nanoseconds: meter.nanoseconds)
            }
            let (bytes, nanoseconds) = readings.growth(from: before)
            let percent = Double(nanoseconds) / Double(span.nanoseconds) * 100
            let values = row.measures.map { $0.measure == .corePercent ? percent : Double(bytes) / Double(count + 1) }
            return (values, Faults())
        case .overload(let count, let bytesPerSecond, let adjust):
            adjust(&plan)
            let generator = try LoadGenerator(plan)
            let readers = SlowReaders(count, of: plan, bytesPerSecond: bytesPerSecond)
            let (result, slow) = try await readers.read(meter) { try await generator.measure(meter) }
            var faults = result.faults
            faults += slow.faults
            // Only for a server that delivered something to those that keep up.
            return ([result.delivered > 0 ? Double(slow.growth) / Double(count) : nil], faults)
        }
    }
}

extension Row {
    /// Forwards and backwards in turns: whoever comes first has no lasting advantage.
    fileprivate func order(of present: [Contender], round: Int) -> [Contender] {
        let order = round % 2 == 0 ? present : present.reversed()
        let again = order.filter { $0 == self.reference || $0 == .linkspan || $0 == .linkspanBridged }
        return order + (1..<self.passes).flatMap { $0 % 2 == 0 ? again : again.reversed() }
    }

    /// Memory that an earlier run left in a server would hide what this one needs.
    fileprivate var needsFreshServers: Bool {
        switch self.scenario {
        case .idle, .overload: true
        case .traffic, .storm: false
        }
    }
}

extension LoadResult {
    /// Nil when nothing was delivered, or acknowledged where there are no subscribers.
    func value(_ measure: Measure) -> Double? {
        switch measure {
        case _ where self.delivered == 0 && self.acknowledged == 0: nil
        case .serverMicrosecondsPerMessage: self.microsecondsPerMessage
        case .latencyMedianMicroseconds: self.latencyMedian.map { $0 / 1000 }
        case .latency99Microseconds: self.latency99.map { $0 / 1000 }
        case .messagesPerSecond: Double(self.delivered) / self.seconds
        case .serverMicrosecondsPerConnection, .bytesPerConnection, .bytesPerSlowReader, .corePercent: nil
        }
    }
}
