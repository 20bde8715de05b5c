/// Pauses of publishing after the upstream rejected. Pure; times in nanoseconds.
struct PublishPace {
    private static let range: ClosedRange<UInt64> = 50_000_000...2_000_000_000

    private var until: UInt64 = 0
    private var next = Self.range.lowerBound

    /// Time left until publishing may go on; nil when it may.
    func pause(now: UInt64) -> UInt64? {
        self.until > now ? self.until - now : nil
    }

    /// The upstream could not take a message for the moment, such as for a full queue.
    mutating func rejected(now: UInt64) {
        self.until = now + self.next
        self.next = min(self.next * 2, Self.range.upperBound)
    }

    mutating func accepted() {
        self.next = Self.range.lowerBound
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
