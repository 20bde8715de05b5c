internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// What belongs to a channel wherever its subscribers are; lives on the loop that owns it.
final class OwnedChannel {
    /// One loop with subscribers who read one codec.
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
    /// How many loops want frames in each codec.
    @exclusivity(unchecked) private(set) var jsonLoops = 0
    @exclusivity(unchecked) private(set) var minBinLoops = 0
    /// The server's own subscriptions.
    private(set) var listeners: [ExchangeListener] = []
    /// Whether anybody but clients that read JSON gets its messages.
    @exclusivity(unchecked) private(set) var hasOthers = false
    /// Of messages that other instances published here.
    var windows: OriginWindows?
    @exclusivity(unchecked) var lastUsed: NIODeadline

    /// The frames of this turn, for everybody who is subscribed at its end.
    @exclusivity(unchecked) var frames: FrameBlock?
    @exclusivity(unchecked) var frameCount = 0
    /// The same for those who read min-bin.
    var minBinFrames: FrameBlock?
    var minBinFrameCount = 0

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

    var hasSubscribers: Bool { !self.audience.isEmpty || !self.listeners.isEmpty }

    /// True when this is the first loop with subscribers.
    func join(loop: Int, channel: ShardChannel) -> Bool {
        let isFirst = !self.hasSubscribers
        if let index = self.index(of: loop, channel.codec) {
            self.audience[index].channel = channel
        } else {
            self.audience.append(Audience(loop: loop, channel: channel))
            self.count(channel.codec, 1)
        }
        return isFirst
    }

    /// True when this was the last loop with subscribers.
    func leave(loop: Int, codec: MessageCodec) -> Bool {
        guard let index = self.index(of: loop, codec) else { return false }
        self.audience.remove(at: index)
        self.count(codec, -1)
        return !self.hasSubscribers
    }

    /// True when this is the first subscriber.
    func add(_ listener: ExchangeListener) -> Bool {
        let isFirst = !self.hasSubscribers
        self.listeners.append(listener)
        self.noteOthers()
        return isFirst
    }

    /// True when this was the last subscriber.
    func remove(_ listener: ExchangeListener) -> Bool {
        guard let index = self.listeners.firstIndex(where: { $0 === listener }) else { return false }
        self.listeners.remove(at: index)
        self.noteOthers()
        return !self.hasSubscribers
    }

    private func noteOthers() {
        self.hasOthers = self.minBinLoops > 0 || !self.listeners.isEmpty
    }

    private func index(of loop: Int, _ codec: MessageCodec) -> Int? {
        self.audience.firstIndex { $0.loop == loop && $0.channel.codec == codec }
    }

    private func count(_ codec: MessageCodec, _ change: Int) {
        switch codec {
        case .json: self.jsonLoops += change
        case .minBin: self.minBinLoops += change
        }
        self.noteOthers()
    }
}

@available(*, unavailable)
extension OwnedChannel: Sendable {}
