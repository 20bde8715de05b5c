internal import LinkspanBridgeKit

/// Gives the messages of one source the identities that an instance would give them.
struct Identities: Sendable {
    /// As long as most are.
    static let example = EnvelopeHeader(
        origin: Origin(instance: Self.instance, epoch: 1_795_216_176_123, sequence: 1_234_567), hops: [Self.instance],
        acceptedAt: 1_795_216_180_456)

    private static let instance = InstanceID("bench-a")!

    private let hops = [InstanceID("bench-b")!]
    private let epoch = MonotonicClock.nanoseconds() / 1_000_000
    private var sequence: UInt64 = 0

    mutating func next() -> EnvelopeHeader {
        self.sequence += 1
        return EnvelopeHeader(
            origin: Origin(instance: self.hops[0], epoch: self.epoch, sequence: self.sequence), hops: self.hops,
            acceptedAt: 1_795_216_180_456)
    }
}
