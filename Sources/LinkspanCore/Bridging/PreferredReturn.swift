/// When a bridge that serves from a less preferred URL looks whether a preferred one is back.
///
/// A preferred upstream that lets us in and fails again soon is looked at less and less often, so that it cannot make a bridge flap.
public struct PreferredReturn: Sendable, Hashable {
    /// A return that lasted this long was right.
    public static let stability = ReconnectSchedule.stability
    /// The pause grows up to this many times the first one.
    public static let growthLimit = 16

    private let first: Duration
    /// How long to serve from a less preferred URL before looking, and between looks.
    public private(set) var pause: Duration
    private var isTrying = false

    public init(pause: Duration) {
        self.first = pause
        self.pause = pause
    }

    /// A preferred upstream was there, and the bridge leaves the other one for it.
    public mutating func returning() {
        self.isTrying = true
    }

    /// A run at a preferred upstream ended.
    /// - Parameter uptime: nil when it never was up.
    public mutating func ended(uptime: Duration?) {
        if let uptime, uptime >= Self.stability {
            self.pause = self.first
        } else if self.isTrying {
            self.pause = min(self.pause * 2, self.first * Self.growthLimit)
        }
        self.isTrying = false
    }
}
