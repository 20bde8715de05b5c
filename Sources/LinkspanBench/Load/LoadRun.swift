internal import Synchronization

/// What the threads of one run share.
final class LoadRun: Sendable {
    enum Phase: UInt8, AtomicRepresentable {
        case connecting, running
        /// Nothing is sent any more; what is under way still arrives.
        case draining
        case ended
    }

    let plan: LoadPlan
    let streams: [LoadStream]
    let phase = Atomic<Phase>(.connecting)
    /// Messages due from then on are measured; `UInt64.max` before. Nanoseconds.
    let measuredFrom = Atomic<UInt64>(.max)
    let measuredUntil = Atomic<UInt64>(.max)
    private let failure = Mutex<BenchError?>(nil)

    init(plan: LoadPlan, streams: [LoadStream]) {
        self.plan = plan
        self.streams = streams
    }

    func fail(_ error: BenchError) {
        self.failure.withLock { if $0 == nil { $0 = error } }
        self.phase.store(.ended, ordering: .releasing)
    }

    func checkFailure() throws {
        if let error = self.failure.withLock({ $0 }) { throw error }
    }
}

/// What a thread lets others see while it works.
final class LoadCounters: Sendable {
    let ready = Atomic<Int>(0)
    /// The thread has sent its last publish, and `published` says how many there were.
    let hasStopped = Atomic<Bool>(false)
    let published = Atomic<UInt64>(0)
    let delivered = Atomic<UInt64>(0)
    let acknowledged = Atomic<UInt64>(0)
}
