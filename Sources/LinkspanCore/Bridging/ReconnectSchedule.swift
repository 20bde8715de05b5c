public import LinkspanBridgeKit

/// When to try an upstream again, and at which of its URLs.
///
/// Within one round every URL gets a try, the most preferred first, after pauses between half of `initial` and `initial`. After a round without success the pause grows
/// by decorrelated jitter (a random time between `initial` and three times the last pause) up to `maximum`, so that instances which lost
/// an upstream together do not come back together. Only a connection that lasted ``stability`` brings the pace back to `initial`.
public struct ReconnectSchedule: Sendable, Hashable {
    /// What to do after a failure.
    public struct Retry: Sendable, Hashable {
        public var delay: Duration
        /// Index into the configured URLs.
        public var upstream: Int
    }

    /// How long a connection must last before the pace starts over.
    public static let stability = Duration.seconds(60)

    public let initial: Duration
    public let maximum: Duration
    private let upstreamCount: Int
    private var tried: Set<Int> = []
    private var pace: Duration
    private var wasRefused = false

    /// - Precondition: at least one upstream.
    public init(initial: Duration, maximum: Duration, upstreamCount: Int = 1) {
        precondition(upstreamCount > 0, "a bridge without an upstream has nothing to reconnect to")
        self.initial = max(initial, .milliseconds(1))
        self.maximum = max(maximum, self.initial)
        self.upstreamCount = upstreamCount
        self.pace = self.initial
    }

    /// - Parameters:
    ///   - upstream: the index that was tried.
    ///   - code: why it ended. ``UpstreamError/Code/refused``, ``UpstreamError/Code/promise`` and ``UpstreamError/Code/takenOver`` make the next round
    ///     wait at the slowest pace: a wrong password does not get better by asking often, and two clients with one identity would throw each
    ///     other out.
    ///   - uptime: how long it was up; nil when it never was.
    public mutating func failed(
        upstream: Int, code: UpstreamError.Code?, uptime: Duration?, using random: inout some RandomNumberGenerator
    ) -> Retry {
        if let uptime {
            self.tried.removeAll(keepingCapacity: true)
            if uptime >= Self.stability { self.pace = self.initial }
        }
        self.tried.insert(upstream)
        self.wasRefused = self.wasRefused || code == .refused || code == .promise || code == .takenOver
        if let next = (0..<self.upstreamCount).first(where: { !self.tried.contains($0) }) {
            return Retry(delay: Self.random(in: self.initial / 2...self.initial, using: &random), upstream: next)
        }
        return self.startRound(isStable: uptime.map { $0 >= Self.stability } ?? false, using: &random)
    }

    private mutating func startRound(isStable: Bool, using random: inout some RandomNumberGenerator) -> Retry {
        let wasRefused = self.wasRefused
        self.tried.removeAll(keepingCapacity: true)
        self.wasRefused = false
        if wasRefused {
            return Retry(delay: Self.random(in: self.maximum * 0.75...self.maximum, using: &random), upstream: 0)
        }
        if isStable {
            return Retry(delay: Self.random(in: self.initial / 2...self.initial, using: &random), upstream: 0)
        }
        let delay = Self.random(in: self.initial...min(self.pace * 3, self.maximum), using: &random)
        self.pace = max(delay, self.initial)
        return Retry(delay: delay, upstream: 0)
    }

    private static func random(in range: ClosedRange<Duration>, using random: inout some RandomNumberGenerator)
        -> Duration
    {
        let spread = (range.upperBound - range.lowerBound).nanoseconds
        return range.lowerBound + .nanoseconds(Int64.random(in: 0...max(spread, 0), using: &random))
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return seconds.multipliedReportingOverflow(by: 1_000_000_000).overflow
            ? .max : seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
