/// What a load generator does.
struct LoadPlan: Sendable {
    /// When the next message of a stream is sent.
    enum Pace: Sendable, Equatable {
        /// As soon as fewer than this many are under way; a message is done when every subscriber has it.
        case window(Int)
        /// At fixed times, laid down in advance: who is late is charged for every message that was due meanwhile.
        case perSecond(Double)
    }

    /// What tells that a publish is done.
    enum Completion: Sendable, Equatable {
        case delivery
        /// The server's answer to each `every`th publish, which asks for one.
        case acknowledgement(every: Int)
    }

    var dialect: Dialect
    var publishPort: UInt16
    var subscribePort: UInt16
    /// Each channel has one publisher; publisher and channel together are a stream.
    var channels = 1
    var subscribersPerChannel = 1
    var pace = Pace.window(1)
    var completion = Completion.delivery
    /// Bytes, quotes included.
    var payloadSize = 128
    var threads = 2
    /// Before what is measured.
    var warmUp = Duration.milliseconds(200)
    var measured = Duration.milliseconds(800)
    /// How much longer the measured span may last until something has come; for machines that do other work.
    var patience = Duration.zero
    /// Longest wait for what is under way at the end; what comes later counts as lost.
    var drainLimit = Duration.seconds(5)
    /// Connections under way at once, for each thread.
    var concurrentConnects = 64
    /// The cores for the generator's threads, in turns; empty leaves it to the scheduler.
    var cores: [Int] = []

    init(dialect: Dialect, port: UInt16) {
        self.dialect = dialect
        self.publishPort = port
        self.subscribePort = port
    }

    /// Publishers and subscribers.
    var connections: Int { self.channels * (1 + self.subscribersPerChannel) }
}

/// What a load generator saw.
struct LoadResult: Sendable {
    /// Of the measured span.
    var seconds: Double
    var published: UInt64
    /// Messages that arrived at subscribers, each of them for each.
    var delivered: UInt64
    /// Acknowledged publishes.
    var acknowledged: UInt64
    /// CPU time of the server within the span, nanoseconds.
    var serverNanoseconds: UInt64
    /// CPU time of the generator within the span, nanoseconds.
    var generatorNanoseconds: UInt64
    /// From when a message was due to when it was read, nanoseconds.
    var latencyMedian: Double?
    var latency99: Double?
    var faults: Faults

    /// What a message cost the server, microseconds of CPU: for each delivery, or each acknowledged publish where there are no subscribers.
    var microsecondsPerMessage: Double? {
        let count = self.delivered > 0 ? self.delivered : self.acknowledged
        return count == 0 ? nil : Double(self.serverNanoseconds) / Double(count) / 1000
    }
}
