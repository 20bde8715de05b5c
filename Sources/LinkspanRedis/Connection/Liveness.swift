internal import NIOCore

/// Decides when to ask an upstream for a sign of life, and when its silence means that it is gone. Any byte is a sign of life.
struct Liveness: Equatable {
    enum Verdict: Equatable {
        case fine
        case ping
        case silent(TimeAmount)
    }

    let interval: TimeAmount
    let timeout: TimeAmount
    private var lastHeard: NIODeadline
    private var lastPing: NIODeadline
    private var isPaused = false

    init(interval: TimeAmount, timeout: TimeAmount, now: NIODeadline) {
        self.interval = interval
        self.timeout = timeout
        self.lastHeard = now
        self.lastPing = now
    }

    /// How often to ask ``check(at:)``: fine enough that silence is noticed soon after its limit.
    var resolution: TimeAmount {
        max(.milliseconds(10), .nanoseconds(min(self.interval.nanoseconds, self.timeout.nanoseconds) / 5))
    }

    mutating func heard(at now: NIODeadline) {
        self.lastHeard = now
    }

    /// We stopped reading, so silence means nothing until ``resumed(at:)``.
    mutating func paused() {
        self.isPaused = true
    }

    mutating func resumed(at now: NIODeadline) {
        self.isPaused = false
        self.lastHeard = now
    }

    mutating func check(at now: NIODeadline) -> Verdict {
        if self.isPaused { return .fine }
        if now - self.lastHeard >= self.timeout { return .silent(now - self.lastHeard) }
        if now - self.lastPing >= self.interval {
            self.lastPing = now
            return .ping
        }
        return .fine
    }
}
