internal import LinkspanBridgeKit
internal import Synchronization

extension Conversation {
    /// Reads one batch and hands it over.
    func receive() throws(MosquittoError) {
        let limit = self.ingressBatchLimit
        self.mayHaveArrivals = try self.handle.read { inbox in
            inbox.arrivedCount >= limit || inbox.arrivedBytes >= Self.batchByteLimit
        }
        self.handOverArrivals()
    }

    /// Hands over what was read and not handed over yet: also when reading ended with an error, for the broker will not send it again.
    func handOverArrivals() {
        let arrivals = self.handle.inbox.takeArrivals()
        guard !arrivals.isEmpty else { return }
        self.queuedCount += arrivals.count
        for arrival in arrivals {
            self.requests.add(.unsubscribe, self.strangers.arrived(arrival.name, filters: self.filters))
        }
        self.batches.handOver(arrivals, to: self.link, at: self.now)
    }
}

/// The batches that the server has been given and has not taken yet, oldest first.
struct BatchesUnderWay {
    private let taken: TakenBatches
    private let limit: Int
    private var handedOver = 0
    private var times: [ContinuousClock.Instant] = []

    /// - Parameter wake: called on any thread when a batch was taken that somebody waits for.
    init(limit: Int, wake: @escaping @Sendable () -> Void) {
        self.taken = TakenBatches(wake: wake)
        self.limit = limit
    }

    var count: Int { self.times.count }
    var isFull: Bool { self.times.count >= self.limit }
    var oldest: ContinuousClock.Instant? { self.times.first }

    mutating func handOver(_ arrivals: [IngressMessage], to link: BridgeLink, at now: ContinuousClock.Instant) {
        self.handedOver += 1
        self.times.append(now)
        // Before this batch can be taken: should all earlier ones be taken unheard, this one still wakes us.
        if self.isFull { self.taken.isAwaited.store(true, ordering: .releasing) }
        let taken = self.taken
        link.deliver(arrivals) { taken.add() }
    }

    mutating func noteTaken() {
        let left = self.handedOver - self.taken.count.load(ordering: .acquiring)
        self.times.removeFirst(max(0, self.times.count - left))
        if !self.isFull { self.taken.isAwaited.store(false, ordering: .relaxed) }
    }
}

/// Counts batches as the server takes them, on any thread, and wakes the conversation when it waits for that.
private final class TakenBatches: Sendable {
    let count = Atomic<Int>(0)
    /// While false, nobody is woken: a conversation that reads on would be interrupted for each batch, to learn nothing.
    let isAwaited = Atomic<Bool>(false)
    private let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    func add() {
        self.count.add(1, ordering: .acquiringAndReleasing)
        if self.isAwaited.load(ordering: .acquiring) { self.wake() }
    }
}
