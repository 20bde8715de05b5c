internal import LinkspanBridgeKit
internal import Synchronization

/// Takes one flow through its phases, and says what was seen of it.
struct FlowRun: Sendable {
    let measured: Duration
    /// Where source and sink run; none means everywhere.
    let cores: [Int]
    /// Whose CPU time is counted; nil counts none.
    var server: ProcessMeter?

    /// Longest wait for what is under way at the end; what comes later counts as lost.
    private static let drainLimit = Duration.seconds(30)

    /// Runs source and sink, each on a thread of its own, until the flow has ended.
    func run(
        _ flow: Flow, send: @escaping @Sendable (Flow) throws -> Void,
        receive: @escaping @Sendable (Flow) throws -> (Faults, Histogram)
    ) async throws -> FlowResult {
        let cores = self.cores
        async let sending: Void = LinkThread.run(name: "source") { _ in
            Cores.pin(to: cores)
            do {
                try send(flow)
            } catch {
                flow.fail(error)
            }
        }
        async let receiving = LinkThread.run(name: "sink") { _ in
            Cores.pin(to: cores)
            do {
                return try receive(flow)
            } catch {
                flow.fail(error)
                return (Faults(), Histogram())
            }
        }
        let outcome: Result<Passage, any Error>
        do {
            outcome = .success(try await self.conduct(flow))
        } catch {
            outcome = .failure(error)
        }
        flow.phase.store(.ended, ordering: .releasing)
        try await sending
        let (faults, latency) = try await receiving
        try flow.checkFailure()
        let passage = try outcome.get()
        return FlowResult(
            messages: passage.messages, seconds: passage.seconds, serverNanoseconds: passage.serverNanoseconds,
            latencyMedian: latency.percentile(0.5), latency99: latency.percentile(0.99), faults: faults)
    }

    private struct Passage {
        var messages: UInt64
        var seconds: Double
        var serverNanoseconds: UInt64
    }

    /// What passes within the measured span.
    private func conduct(_ flow: Flow) async throws -> Passage {
        try await self.wait(flow, .seconds(30), "the first message passes") { flow.isPrimed.load(ordering: .acquiring) }
        // What primed is on its way still; another millisecond or two of it does no harm.
        try await Task.sleep(for: .milliseconds(50))
        flow.phase.store(.running, ordering: .releasing)
        try await Task.sleep(for: .milliseconds(200))
        let from = MonotonicClock.nanoseconds()
        let before = flow.received.load(ordering: .acquiring)
        let spent = self.server?.nanoseconds ?? 0
        flow.measuredFrom.store(from, ordering: .relaxed)
        try await Task.sleep(for: self.measured)
        let until = MonotonicClock.nanoseconds()
        let after = flow.received.load(ordering: .acquiring)
        let spentAfter = self.server?.nanoseconds ?? 0
        flow.measuredUntil.store(until, ordering: .relaxed)
        flow.phase.store(.draining, ordering: .releasing)
        try await self.wait(flow, .seconds(30), "the source stops") { flow.hasStopped.load(ordering: .acquiring) }
        let sent = flow.sent.load(ordering: .acquiring)
        let deadline = MonotonicClock.nanoseconds() + Self.drainLimit.nanoseconds
        while flow.received.load(ordering: .acquiring) < sent, MonotonicClock.nanoseconds() < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        try await Task.sleep(for: .milliseconds(20))
        return Passage(
            messages: after - before, seconds: Double(until - from) / 1e9, serverNanoseconds: spentAfter - spent)
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

/// What was seen of one flow.
struct FlowResult: Sendable {
    /// That arrived within the measured span.
    var messages: UInt64
    var seconds: Double
    /// CPU time of the server within the span.
    var serverNanoseconds: UInt64
    var latencyMedian: Double?
    var latency99: Double?
    var faults: Faults

    var messagesPerSecond: Double { Double(self.messages) / self.seconds }

    /// Nil when nothing was delivered.
    func value(_ measure: Measure) -> Double? {
        switch measure {
        case _ where self.messages == 0: nil
        case .messagesPerSecond: self.messagesPerSecond
        case .latencyMedianMicroseconds: self.latencyMedian.map { $0 / 1000 }
        case .latency99Microseconds: self.latency99.map { $0 / 1000 }
        case .serverMicrosecondsPerMessage: Double(self.serverNanoseconds) / Double(self.messages) / 1000
        case .serverMicrosecondsPerConnection, .bytesPerConnection, .bytesPerSlowReader, .corePercent: nil
        }
    }
}
