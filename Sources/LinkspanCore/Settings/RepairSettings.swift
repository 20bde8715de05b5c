internal import NIOCore

/// `repair` of one bridge: what receivers missed is asked for again.
public struct RepairSettings: Sendable, Hashable {
    /// How long a sender remembers, and a receiver goes on asking.
    public var window = Duration.seconds(30)
    /// Bytes that a sender remembers: payloads plus 128 for each message.
    public var sizeBytes = 64 << 20
    /// How long later messages of the same channel and origin wait for missing ones; zero delivers as they come.
    public var hold = Duration.milliseconds(500)

    public init() {}

    /// From one request to the next for the same messages.
    var pause: TimeAmount { min(max(TimeAmount(self.hold / 4), .milliseconds(50)), .seconds(1)) }

    /// How long a message that was sent again is not sent once more: everybody who missed it heard the first answer.
    var quiet: TimeAmount { .nanoseconds(self.pause.nanoseconds / 2) }
}
