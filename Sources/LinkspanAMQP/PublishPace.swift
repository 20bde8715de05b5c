/// Pauses of publishing: while the socket's send queue is long, and after the upstream rejected. Pure; times in nanoseconds.
struct PublishPace {
    private static let throttleRange: ClosedRange<UInt64> = 1_000_000...32_000_000
    private static let rejectRange: ClosedRange<UInt64> = 50_000_000...2_000_000_000

    private var until: UInt64 = 0
    private var throttle = Self.throttleRange.lowerBound
    private var reject = Self.rejectRange.lowerBound

    /// Time left until publishing may go on; nil when it may.
    func pause(now: UInt64) -> UInt64? {
        self.until > now ? self.until - now : nil
    }

    /// The send queue is too long; nothing announces that it shrinks, so look again soon, and less and less soon.
    mutating func throttled(now: UInt64) {
        self.until = max(self.until, now + self.throttle)
        self.throttle = min(self.throttle * 2, Self.throttleRange.upperBound)
    }

    mutating func flowing() {
        self.throttle = Self.throttleRange.lowerBound
    }

    /// The upstream took a message for now only to refuse it, such as for a full queue.
    mutating func rejected(now: UInt64) {
        self.until = max(self.until, now + self.reject)
        self.reject = min(self.reject * 2, Self.rejectRange.upperBound)
    }

    mutating func accepted() {
        self.reject = Self.rejectRange.lowerBound
    }
}

/// When to let the library look at its clock, so that it sends heartbeats and notices missing ones. Times in nanoseconds.
struct Liveness {
    /// Longest sleep.
    let tick: UInt64
    private var lastRead: UInt64 = 0

    init(heartbeat: Duration) {
        self.tick = heartbeat == .zero ? 10_000_000_000 : heartbeat.nanoseconds / 3
    }

    func isDue(_ now: UInt64) -> Bool { now >= self.lastRead &+ self.tick }

    mutating func read(at now: UInt64) { self.lastRead = now }
}
