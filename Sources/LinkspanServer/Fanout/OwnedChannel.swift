internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// What belongs to a channel wherever its subscribers are; lives on the loop that owns it.
final class OwnedChannel {
    /// One loop with subscribers who read one form.
    struct Audience {
        var loop: Int
        var channel: ShardChannel
    }

    /// The frames of this turn in one form, for everybody who is subscribed at its end.
    struct Gathering {
        let form: FrameForm
        /// How many loops want it; 0 when their last subscribers left.
        var loops: Int
        var frames: FrameBlock?
        var frameCount = 0
    }

    let name: ChannelName
    let encoder: PublishEncoder
    let routes: [EgressRoute]
    /// With `sequence` the identity of a message; see ``ChannelOwner`` for why it is not simply the start of the instance.
    let epoch: UInt64
    @exclusivity(unchecked) private(set) var sequence: UInt64 = 0
    @exclusivity(unchecked) private(set) var audience: [Audience] = []
    /// One for each form that a loop has wanted, mostly a single one.
    @exclusivity(unchecked) var gatherings: ContiguousArray<Gathering> = []
    /// The server's own subscriptions.
    @exclusivity(unchecked) private(set) var listeners: [ExchangeListener] = []
    /// Of messages that other instances published here.
    var windows: OriginWindows?
    /// Of those that came by a bridge which shares them with other instances.
    @exclusivity(unchecked) var groupWindows: GroupWindows?
    /// Counts raw messages that are carried onward, for each bridge by which they came.
    private var rawCounts: [(arrival: BridgeIndex, sequence: UInt64)] = []
    @exclusivity(unchecked) var lastUsed: NIODeadline
    /// Whether something left of which receivers were not told the number.
    @exclusivity(unchecked) var isUnmarked = false
    /// The last messages of other origins that were carried onward and not marked since.
    private var transits: [(origin: Origin, arrival: BridgeIndex)] = []

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
        if let index = self.index(of: loop, channel.form) {
            self.audience[index].channel = channel
        } else {
            self.audience.append(Audience(loop: loop, channel: channel))
            self.count(channel.form, 1)
        }
        return isFirst
    }

    /// True when this was the last loop with subscribers.
    func leave(loop: Int, form: FrameForm) -> Bool {
        guard let index = self.index(of: loop, form) else { return false }
        self.audience.remove(at: index)
        self.count(form, -1)
        return !self.hasSubscribers
    }

    /// True when this is the first subscriber.
    func add(_ listener: ExchangeListener) -> Bool {
        let isFirst = !self.hasSubscribers
        self.listeners.append(listener)
        return isFirst
    }

    /// True when this was the last subscriber.
    func remove(_ listener: ExchangeListener) -> Bool {
        guard let index = self.listeners.firstIndex(where: { $0 === listener }) else { return false }
        self.listeners.remove(at: index)
        return !self.hasSubscribers
    }

    /// Origins that are marked at a time when their messages are carried onward.
    private static let transitLimit = 64

    func noteTransit(_ origin: Origin, from arrival: BridgeIndex) {
        let known = self.transits.firstIndex {
            $0.arrival == arrival && $0.origin.epoch == origin.epoch && $0.origin.instance == origin.instance
        }
        if let known {
            self.transits[known].origin.sequence = max(self.transits[known].origin.sequence, origin.sequence)
        } else if self.transits.count < Self.transitLimit {
            self.transits.append((origin, arrival))
        }
    }

    /// An identity for a raw message that came by `arrival` and is carried onward.
    ///
    /// It leaves by other bridges than what is published here, so it is counted apart, in an epoch of its own: in one count receivers would
    /// miss what never went their way.
    func identifyRaw(from arrival: BridgeIndex, instance: InstanceID) -> Origin {
        let index = self.rawCounts.firstIndex { $0.arrival == arrival } ?? self.rawCounts.count
        if index == self.rawCounts.count { self.rawCounts.append((arrival, 0)) }
        self.rawCounts[index].sequence += 1
        return Origin(
            instance: instance, epoch: self.epoch + 1 + UInt64(index), sequence: self.rawCounts[index].sequence)
    }

    /// The last epoch in which this channel counts.
    var lastEpoch: UInt64 { self.epoch + UInt64(self.rawCounts.count) }

    /// The last numbers that were offered to each bridge.
    func takeMarks(instance: InstanceID) -> [(BridgeIndex, Origin)] {
        defer { self.transits = [] }
        return self.routes.flatMap { route in
            var origins = self.transits.filter { route.carriesOn(from: $0.arrival) }.map(\.origin)
            if self.sequence > 0 {
                origins.append(Origin(instance: instance, epoch: self.epoch, sequence: self.sequence))
            }
            return origins.map { (route.bridge, $0) }
        }
    }

    private func index(of loop: Int, _ form: FrameForm) -> Int? {
        self.audience.firstIndex { $0.loop == loop && $0.channel.form == form }
    }

    private func count(_ form: FrameForm, _ change: Int) {
        guard let index = self.gatherings.firstIndex(where: { $0.form == form }) else {
            return self.gatherings.append(Gathering(form: form, loops: change))
        }
        self.gatherings[index].loops += change
    }
}

@available(*, unavailable)
extension OwnedChannel: Sendable {}
