internal import CLinkspanFloor
internal import Glibc
internal import Synchronization

/// One stream of messages from a source to a sink, each on a thread of its own, and what is to be seen of it.
final class Flow: Sendable {
    enum Phase: UInt8, AtomicRepresentable {
        /// The source sends a message now and then until the sink has seen one: then everybody between them is subscribed.
        case priming
        case running
        /// Nothing is sent any more; what is under way still arrives.
        case draining
        case ended
    }

    enum Pace: Sendable {
        /// At most so many messages between source and sink.
        case window(Int)
        /// In bursts: what a ``Flow/tick`` brings is due at its end.
        case perSecond(Double)
    }

    let payloadSize: Int
    let pace: Pace
    let phase = Atomic<Phase>(.priming)
    let isPrimed = Atomic<Bool>(false)
    let sent = Atomic<UInt64>(0)
    let received = Atomic<UInt64>(0)
    let hasStopped = Atomic<Bool>(false)
    let measuredFrom = Atomic<UInt64>(.max)
    let measuredUntil = Atomic<UInt64>(.max)
    private let failure = Mutex<BenchError?>(nil)

    /// Of what counts; its complement is the stream of what only primes. Unlike that of other flows, so that what an earlier one
    /// left behind in a broker is not taken for ours.
    let stream = UInt32.random(in: .min ... .max)

    /// Whether no instance takes part. It then has a channel of its own: instances listen to theirs for a while after the last client left.
    let isApart: Bool

    init(payloadSize: Int, pace: Pace, isApart: Bool) {
        self.isApart = isApart
        self.payloadSize = payloadSize
        self.pace = pace
    }

    func fail(_ error: any Error) {
        self.failure.withLock { if $0 == nil { $0 = error as? BenchError ?? BenchError("\(error)") } }
        self.phase.store(.ended, ordering: .releasing)
    }

    func checkFailure() throws {
        if let error = self.failure.withLock({ $0 }) { throw error }
    }
}

/// The sending end of a flow.
protocol FlowSource {
    /// Queues one payload.
    mutating func publish(_ payload: UnsafeRawBufferPointer) throws
    /// Sends what is queued, and takes what the other side has to say.
    mutating func turn() throws
    /// Messages that this end may queue before the other side says more; for protocols that bound it.
    var room: Int { get }
}

/// The receiving end of a flow.
protocol FlowSink {
    /// Waits for so many milliseconds at most, and hands over the payloads that came.
    mutating func receive(within milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws
}

extension Flow {
    /// Most messages between two looks at the other side.
    private static let burst = 64

    /// Nanoseconds between bursts at a fixed rate. A source that sent each message when it is due would never sleep, and what it costs to read one at a
    /// time would be what is measured; how many it joins would depend on what it waits for, which is not the same for all.
    private static let tick: UInt64 = 100_000

    /// Sends until the flow ends.
    func send(from source: inout some FlowSource) throws {
        linkspan_sleep_precisely()
        let start = try self.prime(&source)
        var payload = Stamp(stream: self.stream, sequence: 0, due: 0).payload(size: self.payloadSize)
        var sequence: UInt64 = 0
        while self.phase.load(ordering: .acquiring) == .running {
            let now = MonotonicClock.nanoseconds()
            let count = min(self.allowance(sequence, start: start, now: now), source.room, Self.burst)
            for _ in 0..<max(0, count) {
                let stamp = Stamp(
                    stream: self.stream, sequence: sequence, due: self.due(sequence, start: start, now: now))
                try payload.withUnsafeMutableBytes { bytes in
                    stamp.write(to: bytes.baseAddress!)
                    try source.publish(UnsafeRawBufferPointer(bytes))
                }
                sequence += 1
            }
            try source.turn()
            if count <= 0 { self.pause(sequence, start: start) }
        }
        self.sent.store(sequence, ordering: .releasing)
        self.hasStopped.store(true, ordering: .releasing)
        while self.phase.load(ordering: .acquiring) != .ended {
            try source.turn()
            usleep(1000)
        }
    }

    /// Receives until the flow ends.
    func receive(into sink: inout some FlowSink) throws -> (Faults, Histogram) {
        let filling = Stamp(stream: 0, sequence: 0, due: 0).payload(size: self.payloadSize)
        var check = DeliveryCheck()
        var latency = Histogram()
        while self.phase.load(ordering: .acquiring) != .ended {
            let from = self.measuredFrom.load(ordering: .relaxed)
            let until = self.measuredUntil.load(ordering: .relaxed)
            var count: UInt64 = 0
            try sink.receive(within: 20) { message in
                guard
                    let stamp = filling.withUnsafeBytes({
                        Stamp(payload: self.payload(in: message), size: self.payloadSize, filling: $0)
                    })
                else { return check.receivedDamaged() }
                guard stamp.stream == self.stream else {
                    if stamp.stream == ~self.stream { self.isPrimed.store(true, ordering: .releasing) }
                    return
                }
                check.received(stamp.sequence)
                count += 1
                if stamp.due >= from, stamp.due < until {
                    let now = MonotonicClock.nanoseconds()
                    latency.record(now > stamp.due ? now - stamp.due : 0)
                }
            }
            if count > 0 { self.received.add(count, ordering: .acquiringAndReleasing) }
        }
        check.ended(sent: self.sent.load(ordering: .acquiring))
        return (check.faults, latency)
    }

    /// The whole message, or what stands before the last brace of an envelope.
    private func payload(in message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard message.count > self.payloadSize, message.last == UInt8(ascii: "}") else { return message }
        let end = message.count - 1
        return UnsafeRawBufferPointer(rebasing: message[(end - self.payloadSize)..<end])
    }

    private func prime(_ source: inout some FlowSource) throws -> UInt64 {
        var sequence: UInt64 = 0
        while self.phase.load(ordering: .acquiring) == .priming {
            if !self.isPrimed.load(ordering: .acquiring) {
                let stamp = Stamp(stream: ~self.stream, sequence: sequence, due: 0)
                try stamp.payload(size: self.payloadSize).withUnsafeBytes { try source.publish($0) }
                sequence += 1
            }
            try source.turn()
            usleep(5000)
        }
        return MonotonicClock.nanoseconds()
    }

    private func allowance(_ sequence: UInt64, start: UInt64, now: UInt64) -> Int {
        switch self.pace {
        case .window(let window): window - Int(sequence - self.received.load(ordering: .acquiring))
        case .perSecond(let rate):
            Int(Double((now - start) / Self.tick * Self.tick) / 1e9 * rate) - Int(sequence)
        }
    }

    private func due(_ sequence: UInt64, start: UInt64, now: UInt64) -> UInt64 {
        switch self.pace {
        case .window: now
        case .perSecond(let rate):
            start + (UInt64(Double(sequence + 1) / rate * 1e9) + Self.tick - 1) / Self.tick * Self.tick
        }
    }

    /// Waits a moment: for the sink, or until the next message is due.
    private func pause(_ sequence: UInt64, start: UInt64) {
        switch self.pace {
        case .window: usleep(20)
        case .perSecond:
            let due = self.due(sequence, start: start, now: 0)
            let now = MonotonicClock.nanoseconds()
            if due > now { usleep(useconds_t(min((due - now) / 1000, 1000))) }
        }
    }
}
