internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// What belongs to a channel wherever its subscribers are; lives on the loop that owns it.
final class OwnedChannel {
    /// One loop with subscribers.
    struct Audience {
        var loop: Int
        var channel: ShardChannel
    }

    let name: ChannelName
    let encoder: PublishEncoder
    let routes: [EgressRoute]
    /// With `sequence` the identity of a message; see ``ChannelOwner`` for why it is not simply the start of the instance.
    let epoch: UInt64
    @exclusivity(unchecked) private(set) var sequence: UInt64 = 0
    @exclusivity(unchecked) private(set) var audience: [Audience] = []
    /// Of messages that other instances published here.
    var windows: OriginWindows?
    @exclusivity(unchecked) var lastUsed: NIODeadline

    /// The frames of this turn, for everybody who is subscribed at its end.
    @exclusivity(unchecked) var frames: FrameBlock?
    @exclusivity(unchecked) var frameCount = 0

    init(name: ChannelName, epoch: UInt64, routes: [EgressRoute], now: NIODeadline) {
        self.name = name
        self.encoder = PublishEncoder(channel: name.string)
        self.routes = routes
        self.epoch = epoch
        self.lastUsed = now
    }

    func nextSequence() -> UInt64 {
        self.sequence += 1
        return self.sequence
    }

    /// True when this is the first loop with subscribers.
    func join(loop: Int, channel: ShardChannel) -> Bool {
        let isFirst = self.audience.isEmpty
        if let index = self.audience.firstIndex(where: { $0.loop == loop }) {
            self.audience[index].channel = channel
        } else {
            self.audience.append(Audience(loop: loop, channel: channel))
        }
        return isFirst
    }

    /// True when this was the last loop with subscribers.
    func leave(loop: Int) -> Bool {
        guard let index = self.audience.firstIndex(where: { $0.loop == loop }) else { return false }
        self.audience.remove(at: index)
        return self.audience.isEmpty
    }
}

@available(*, unavailable)
extension OwnedChannel: Sendable {}
