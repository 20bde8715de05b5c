internal import Glibc
internal import LinkspanBridgeKit
internal import Synchronization

/// Connects, publishes, receives and judges, as a ``LoadPlan`` says.
struct LoadGenerator: Sendable {
    let plan: LoadPlan
    private let run: LoadRun
    private let counters: [LoadCounters]
    private let signals: LoadSignals

    /// Longest time until all connections are ready, and until all threads have stopped.
    private static let patience = Duration.seconds(30)

    init(_ plan: LoadPlan) throws {
        self.plan = plan
        let threads = max(1, plan.threads)
        let streams = (0..<plan.channels).map { number -> LoadStream in
            // One channel has subscribers everywhere; of many channels each stays on its thread.
            let owner = number % threads
            let subscribers = (0..<threads).map { thread -> Int in
                guard plan.channels == 1 else { return thread == owner ? plan.subscribersPerChannel : 0 }
                return plan.subscribersPerChannel / threads
                    + (thread < plan.subscribersPerChannel % threads ? 1 : 0)
            }
            return LoadStream(plan, number: number, owner: owner, subscribers: subscribers)
        }
        self.run = LoadRun(plan: plan, streams: streams)
        self.counters = (0..<threads).map { _ in LoadCounters() }
        self.signals = try LoadSignals(count: threads)
    }

    /// Connects and subscribes everybody, then does `body`, then ends the threads and returns what they saw.
    private func connected(_ body: @Sendable () async throws -> Void) async throws -> (Faults, Histogram) {
        try await withThrowingTaskGroup(of: (Faults, Histogram).self) { group in
            for index in self.counters.indices {
                group.addTask {
                    try await LinkThread.run(name: "load-\(index)") { [self] _ in
                        if !self.plan.cores.isEmpty { Cores.pin(to: [self.plan.cores[index % self.plan.cores.count]]) }
                        let thread = try LoadThread(
                            index: index, run: self.run, counters: self.counters[index],
                            signals: self.signals.descriptors)
                        thread.work()
                        return (thread.faults, thread.latency)
                    }
                }
            }
            let outcome: Result<Void, any Error>
            do {
                try await self.wait("everybody is connected") {
                    self.counters.reduce(0) { $0 + $1.ready.load(ordering: .relaxed) } == self.plan.connections
                }
                try await body()
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            self.enter(.ended)
            var faults = Faults()
            var latency = Histogram()
            for try await (found, histogram) in group {
                faults += found
                latency.add(histogram)
            }
            try self.run.checkFailure()
            try outcome.get()
            return (faults, latency)
        }
    }

    /// Measures traffic.
    ///
    /// - Parameter server: whose CPU time is counted.
    /// - Throws: ``BenchError`` when the server refuses, closes a connection, or does not deliver what it was given.
    func measure(_ server: ProcessMeter?) async throws -> LoadResult {
        let before = Mutex<Sample?>(nil)
        let after = Mutex<Sample?>(nil)
        let (faults, latency) = try await self.connected {
            self.enter(.running)
            try await Task.sleep(for: self.plan.warmUp)
            let from = MonotonicClock.nanoseconds()
            self.run.measuredFrom.store(from, ordering: .relaxed)
            let first = self.sample(server)
            before.withLock { $0 = first }
            try await Task.sleep(for: self.plan.measured)
            try await self.awaitMessage(after: first)
            self.run.measuredUntil.store(MonotonicClock.nanoseconds(), ordering: .relaxed)
            after.withLock { $0 = self.sample(server) }
            self.enter(.draining)
            try await self.drained()
        }
        guard let first = before.withLock({ $0 }), let last = after.withLock({ $0 }) else {
            throw BenchError("the run ended before it was measured")
        }
        return LoadResult(
            seconds: Double(last.time - first.time) / 1e9, published: last.published - first.published,
            delivered: last.delivered - first.delivered, acknowledged: last.acknowledged - first.acknowledged,
            serverNanoseconds: last.server - first.server, generatorNanoseconds: last.generator - first.generator,
            latencyMedian: latency.percentile(0.5), latency99: latency.percentile(0.99), faults: faults)
    }

    /// Connects everybody, and keeps them connected while `body` runs.
    ///
    /// - Returns: seconds until the last one was ready.
    func connectAll(_ body: @escaping @Sendable () async throws -> Void) async throws -> Double {
        let start = MonotonicClock.nanoseconds()
        let ready = Atomic<UInt64>(0)
        _ = try await self.connected {
            ready.store(MonotonicClock.nanoseconds(), ordering: .relaxed)
            try await body()
        }
        return Double(ready.load(ordering: .relaxed) - start) / 1e9
    }

    private func enter(_ phase: LoadRun.Phase) {
        self.run.phase.store(phase, ordering: .releasing)
        self.signals.raiseAll()
    }

    /// Waits until everything sent has arrived. What has not by then is lost, and the checks say so.
    private func drained() async throws {
        try await self.wait("the publishers have stopped") {
            self.counters.allSatisfy { $0.hasStopped.load(ordering: .acquiring) }
        }
        guard self.plan.completion == .delivery else { return }
        let published = self.counters.reduce(0) { $0 + $1.published.load(ordering: .relaxed) }
        let expected = published * UInt64(self.plan.subscribersPerChannel)
        let deadline = MonotonicClock.nanoseconds() + self.plan.drainLimit.nanoseconds
        while MonotonicClock.nanoseconds() < deadline {
            let delivered = self.counters.reduce(0) { $0 + $1.delivered.load(ordering: .relaxed) }
            if delivered >= expected { break }
            try await Task.sleep(for: .milliseconds(5))
            try self.run.checkFailure()
        }
        // A repeated message would come after the last one.
        try await Task.sleep(for: .milliseconds(20))
    }

    /// Returns when something has come since `first`, or patience is at its end.
    private func awaitMessage(after first: Sample) async throws {
        let deadline = MonotonicClock.nanoseconds() + self.plan.patience.nanoseconds
        while MonotonicClock.nanoseconds() < deadline {
            let now = self.sample(nil)
            guard now.delivered + now.acknowledged == first.delivered + first.acknowledged else { return }
            try await Task.sleep(for: .milliseconds(5))
            try self.run.checkFailure()
        }
    }

    private func wait(_ what: String, _ isDone: () -> Bool) async throws {
        let deadline = MonotonicClock.nanoseconds() + Self.patience.nanoseconds
        while !isDone() {
            try self.run.checkFailure()
            guard MonotonicClock.nanoseconds() < deadline else {
                throw BenchError("gave up waiting until \(what)")
            }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    private struct Sample: Sendable {
        var time: UInt64
        var server: UInt64
        var generator: UInt64
        var published: UInt64
        var delivered: UInt64
        var acknowledged: UInt64
    }

    private func sample(_ server: ProcessMeter?) -> Sample {
        var usage = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &usage)
        return Sample(
            time: MonotonicClock.nanoseconds(), server: server?.nanoseconds ?? 0,
            generator: UInt64(usage.tv_sec) * 1_000_000_000 + UInt64(usage.tv_nsec),
            published: self.counters.reduce(0) { $0 + $1.published.load(ordering: .relaxed) },
            delivered: self.counters.reduce(0) { $0 + $1.delivered.load(ordering: .relaxed) },
            acknowledged: self.counters.reduce(0) { $0 + $1.acknowledged.load(ordering: .relaxed) })
    }
}

/// The eventfds of a run.
final class LoadSignals: Sendable {
    let descriptors: [Int32]

    init(count: Int) throws {
        self.descriptors = try (0..<count).map { _ in try LoadSignal.make() }
    }

    deinit {
        for descriptor in self.descriptors { close(descriptor) }
    }

    func raiseAll() {
        for descriptor in self.descriptors { LoadSignal.raise(descriptor) }
    }
}
