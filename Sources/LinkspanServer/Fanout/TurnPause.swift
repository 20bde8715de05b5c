internal import NIOCore

/// Tells messages that come alone from those that come in crowds, by the time since the last turn. Pure.
struct TurnPause {
    /// A loop that has enough to do never waits so long between two turns.
    static let shortest = TimeAmount.microseconds(100)

    private var since = NIODeadline.uptimeNanoseconds(0)

    /// Whether a read at `now` comes after a pause.
    func isOver(at now: NIODeadline) -> Bool {
        now - self.since >= Self.shortest
    }

    mutating func turnEnded(at now: NIODeadline) {
        self.since = now
    }
}
