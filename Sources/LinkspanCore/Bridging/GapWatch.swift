public import LinkspanBridgeKit
public import NIOCore

/// Messages that were sent and did not come.
public struct Gap: Sendable, Hashable {
    /// Unique among the gaps of one instance.
    public var id: UInt64
    /// The bridge whose message, or mark, showed that something is missing.
    public var bridge: BridgeIndex
    public var channel: ChannelName
    public var instance: InstanceID
    public var epoch: UInt64
    /// Every number of it was missing when the gap was named.
    public var range: ClosedRange<UInt64>
    /// Who sent to that upstream what showed the gap, and so can be asked for it.
    public var sender: InstanceID
    /// Milliseconds since 1970.
    public var namedAt: UInt64

    public init(
        id: UInt64, bridge: BridgeIndex, channel: ChannelName, instance: InstanceID, epoch: UInt64,
        range: ClosedRange<UInt64>, sender: InstanceID, namedAt: UInt64
    ) {
        self.id = id
        self.bridge = bridge
        self.channel = channel
        self.instance = instance
        self.epoch = epoch
        self.range = range
        self.sender = sender
        self.namedAt = namedAt
    }

    /// Messages.
    public var count: UInt64 { self.range.upperBound &- self.range.lowerBound &+ 1 }
}

/// What happened to a gap.
public enum GapEvent: Sendable, Hashable {
    case named(Gap)
    /// These came after all; `wasFinal` when the gap had been given up before.
    case filled(id: UInt64, ClosedRange<UInt64>, wasFinal: Bool)
    /// The others are given up; `count` of them had not come.
    case final(id: UInt64, count: UInt64)
}

/// What a bridge's rule says about gaps.
public struct GapTerms: Sendable, Hashable {
    /// How long later messages of the same origin and channel wait for missing ones; nil when they do not.
    public var hold: TimeAmount?
    /// From the naming of a gap until it is given up.
    public var finalAfter: TimeAmount
    /// Whether the bridge listens to channels that nobody here is subscribed to.
    public var listensAlways: Bool
    /// Whether other instances get a part of what the bridge's upstream has: then what does not come is missing nowhere.
    public var isShared: Bool

    public init(
        hold: TimeAmount? = nil, finalAfter: TimeAmount = Self.defaultFinalAfter, listensAlways: Bool = false,
        isShared: Bool = false
    ) {
        self.hold = hold
        self.finalAfter = finalAfter
        self.listensAlways = listensAlways
        self.isShared = isShared
    }

    /// Without repair: longer than brokers and bridges take to hand over what they still have.
    public static let defaultFinalAfter = TimeAmount.seconds(30)
}

/// Where and when something was missed.
public struct GapContext: Sendable {
    public var channel: ChannelName
    public var bridge: BridgeIndex
    /// Who sent to the upstream what showed the gap.
    public var sender: InstanceID
    public var terms: GapTerms
    public var now: NIODeadline
    /// Milliseconds since 1970.
    public var wallClock: UInt64

    public init(
        channel: ChannelName, bridge: BridgeIndex, sender: InstanceID, terms: GapTerms, now: NIODeadline,
        wallClock: UInt64
    ) {
        self.channel = channel
        self.bridge = bridge
        self.sender = sender
        self.terms = terms
        self.now = now
        self.wallClock = wallClock
    }
}

/// A message that waits for missing ones before it.
public struct HeldEnvelope: Sendable {
    public var header: EnvelopeHeader
    public var data: ByteBuffer
    public var bridge: BridgeIndex

    public init(header: EnvelopeHeader, data: ByteBuffer, bridge: BridgeIndex) {
        self.header = header
        self.data = data
        self.bridge = bridge
    }

    var sequence: UInt64 { self.header.origin.sequence }
    /// Bytes that it counts for.
    var cost: Int { self.data.readableBytes + EgressBuffer.costPerMessage }
}

/// What one channel owner knows about gaps beyond its windows: news for the bridges, and bounds over all channels.
public struct GapWatch: Sendable {
    /// Most gaps that are open at a time; one more is named and final at once.
    public let openLimit: Int

    /// Bytes of messages that wait for missing ones, with 64 for each; one more does not wait, and those before it no longer.
    public let heldLimit: Int

    public internal(set) var openCount = 0
    public internal(set) var heldBytes = 0

    private var events: [(bridge: BridgeIndex, event: GapEvent)] = []
    private var nextID: UInt64

    /// - Parameter firstID: ids count from here; owners of one instance leave room for each other.
    public init(
        firstID: UInt64 = 1, openLimit: Int = Self.defaultOpenLimit, heldLimit: Int = Self.defaultHeldLimit
    ) {
        self.nextID = firstID
        self.openLimit = openLimit
        self.heldLimit = heldLimit
    }

    public static let defaultOpenLimit = 4096
    public static let defaultHeldLimit = 16 << 20

    public var hasEvents: Bool { !self.events.isEmpty }

    /// What happened since the last time, by bridge and in order.
    public mutating func takeEvents() -> [BridgeIndex: [GapEvent]] {
        defer { self.events.removeAll(keepingCapacity: true) }
        return Dictionary(grouping: self.events, by: \.bridge).mapValues { $0.map(\.event) }
    }

    mutating func name(_ range: ClosedRange<UInt64>, of origin: Origin, _ context: GapContext) -> UInt64 {
        let id = self.nextID
        self.nextID &+= 1
        self.openCount += 1
        self.events.append(
            (
                context.bridge,
                .named(
                    Gap(
                        id: id, bridge: context.bridge, channel: context.channel, instance: origin.instance,
                        epoch: origin.epoch, range: range, sender: context.sender, namedAt: context.wallClock))
            ))
        return id
    }

    mutating func filled(_ gap: TrackedGap, _ sequence: UInt64) {
        if case .filled(gap.id, let range, gap.isFinal)? = self.events.last?.event, range.upperBound &+ 1 == sequence {
            self.events[self.events.count - 1].event =
                .filled(id: gap.id, range.lowerBound...sequence, wasFinal: gap.isFinal)
        } else {
            self.events.append((gap.bridge, .filled(id: gap.id, sequence...sequence, wasFinal: gap.isFinal)))
        }
    }

    mutating func final(_ gap: TrackedGap) {
        self.openCount -= 1
        self.events.append((gap.bridge, .final(id: gap.id, count: gap.remaining)))
    }
}

/// A gap in the window that found it.
struct TrackedGap: Sendable {
    let id: UInt64
    let bridge: BridgeIndex
    let range: ClosedRange<UInt64>
    /// Messages of it that did not come.
    var remaining: UInt64
    /// Until when later messages wait; nil when they do not, or no longer.
    var orderUntil: NIODeadline?
    let finalAt: NIODeadline
    var isFinal = false
}
