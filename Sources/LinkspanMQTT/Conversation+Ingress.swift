internal import LinkspanBridgeKit
internal import Synchronization

extension Conversation {
    /// Reads one batch and hands it over.
    mutating func receive() throws(MosquittoError) {
        self.mayHaveArrivals = try self.handle.read { inbox in
            inbox.arrivedCount >= Self.batchLimit || inbox.arrivedBytes >= Self.batchByteLimit
        }
        self.handOverArrivals()
    }

    /// Hands over what was read and not handed over yet: also when reading ended with an error, for the broker will not send it again.
    mutating func handOverArrivals() {
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

    init(signal: WakeSignal, limit: Int) {
        self.taken = TakenBatches(signal: signal)
        self.limit = limit
    }

    var count: Int { self.times.count }
    var isFull: Bool { self.times.count >= self.limit }
    var oldest: ContinuousClock.Instant? { self.times.first }

    mutating func handOver(_ arrivals: [IngressMessage], to link: BridgeLink, at now: ContinuousClock.Instant) {
        self.handedOver += 1
        self.times.append(now)
        let taken = self.taken
        link.deliver(arrivals) { taken.add() }
    }

    mutating func noteTaken() {
        let left = self.handedOver - self.taken.count.load(ordering: .acquiring)
        self.times.removeFirst(max(0, self.times.count - left))
    }
}

/// Counts batches as the server takes them, on any thread, and wakes the conversation.
private final class TakenBatches: Sendable {
    let count = Atomic<Int>(0)
    private let signal: WakeSignal

    init(signal: WakeSignal) {
        self.signal = signal
    }

    func add() {
        self.count.add(1, ordering: .releasing)
        self.signal.raise()
    }
}
