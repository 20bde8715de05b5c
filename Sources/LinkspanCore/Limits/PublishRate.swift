public import NIOCore

/// Spaces the publishes of one connection: at most `perSecond` on average, and a second's worth at once.
///
/// Nothing is refused. Who is over the rate learns how long to stop reading.
public struct PublishRate: Sendable, Hashable {
    private let spacing: Int64
    /// When the bucket will be full again.
    private var filledAt: NIODeadline

    /// Nil when the rate is unlimited, as `0` says.
    public init?(perSecond: Int, now: NIODeadline) {
        guard perSecond > 0 else { return nil }
        self.spacing = max(1, 1_000_000_000 / Int64(perSecond))
        self.filledAt = now
    }

    /// Counts a publish that was taken at `now`, and says until when the next one has to wait; nil when it need not.
    public mutating func published(at now: NIODeadline) -> NIODeadline? {
        self.filledAt = max(self.filledAt, now) + .nanoseconds(self.spacing)
        let ready = self.filledAt - .nanoseconds(max(Self.burst, self.spacing))
        return ready > now ? ready : nil
    }

    private static let burst: Int64 = 1_000_000_000
}
