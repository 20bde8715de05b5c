public import LinkspanBridgeKit
public import NIOCore

/// Stands for one configured bridge on the publish path; index into the host's table, stable for the life of a configuration.
public struct BridgeIndex: Hashable, Sendable {
    public let value: Int
    public init(_ value: Int) { self.value = value }
}

/// How one channel leaves through one bridge; looked up once per channel and kept by its owner.
public struct EgressRoute: Sendable, Hashable {
    public var bridge: BridgeIndex
    /// The upstream name of the channel; nil when it cannot be expressed there (too long), and each publish is then counted as dropped.
    public var name: String?
    /// Bridges whose ingress may leave here: bit `n` stands for ``BridgeIndex`` `n`.
    public var transit: UInt64

    public init(bridge: BridgeIndex, name: String?, transit: UInt64 = 0) {
        self.bridge = bridge
        self.name = name
        self.transit = transit
    }
}

/// One envelope offered to a bridge by the owner of its channel.
public struct EgressOffer: Sendable {
    /// From ``EgressRoute/name``.
    public var name: String?
    public var data: ByteBuffer
    public var header: EnvelopeHeader
    /// Who waits for what becomes of it; nil when nobody does.
    public var receipt: EgressReceipt?

    public init(name: String?, data: ByteBuffer, header: EnvelopeHeader, receipt: EgressReceipt? = nil) {
        self.receipt = receipt
        self.name = name
        self.data = data
        self.header = header
    }
}

/// One envelope that a bridge received, mapped to its channel, before the owner judged it.
public struct IngressEnvelope: Sendable {
    public var envelope: Envelope
    public init(_ envelope: Envelope) { self.envelope = envelope }
}

/// What became of a batch of ingress envelopes. Those that wait for missing ones are in no count but `held` until they are delivered.
public struct IngressTally: Sendable, Hashable {
    public var delivered = 0
    /// Waiting for missing ones before them.
    public var held = 0
    /// Came after a later one of the same origin and channel.
    public var late = 0
    /// Of `late`: came because it was asked for.
    public var repaired = 0
    public var duplicate = 0
    public var looped = 0
    public var tooManyHops = 0

    public init() {}

    public static func += (sum: inout IngressTally, other: IngressTally) {
        sum.delivered += other.delivered
        sum.held += other.held
        sum.repaired += other.repaired
        sum.late += other.late
        sum.duplicate += other.duplicate
        sum.looped += other.looped
        sum.tooManyHops += other.tooManyHops
    }
}

/// The bridges, as the channel owners see them.
///
/// Owners call it on their own loops, once per turn and bridge, never per message and subscriber. Nothing here waits.
public protocol BridgePlane: Sendable {
    /// Which bridges want their publishers held back; nil for a plane that never does.
    var backPressure: BackPressure? { get }

    /// The bridges that may hold back who publishes into `channel`; bits as in ``BackPressure/bits``.
    func blockers(of channel: ChannelName) -> UInt64

    /// Whether there is a bridge that publishes wait for.
    var hasReceipts: Bool { get }

    /// The bridges that the answer to a publish into `channel` waits for, in the order of the configuration.
    func awaitedBridges(of channel: ChannelName) -> [AwaitedBridge]

    /// The routes of a channel, when its owner first meets it.
    func egressRoutes(for channel: ChannelName) -> [EgressRoute]

    /// Takes over what one owner accepted for one bridge in one turn, in order.
    ///
    /// - Returns: what wakes the bridge, for the owner to run soon, on any thread; nil when it need not be woken.
    func offer(_ batch: [EgressOffer], to bridge: BridgeIndex) -> (@Sendable () -> Void)?

    /// The first local subscriber of `channel` came.
    func channelSubscribed(_ channel: ChannelName)

    /// The last local subscriber of `channel` left.
    func channelUnsubscribed(_ channel: ChannelName)

    /// What the rule of a bridge says about gaps; asked once per owner and bridge.
    func gapTerms(for bridge: BridgeIndex) -> GapTerms

    /// What one owner found out about messages that did not come, in order.
    func noteGaps(_ events: [GapEvent], of bridge: BridgeIndex)

    /// Messages that a bridge received and that had to wait were delivered now: `tally` takes them out of what is held.
    func settleHeld(_ tally: IngressTally, of bridge: BridgeIndex)

    /// Channels that went quiet, with the last number of each that was offered to `bridge`.
    func channelsQuiet(_ marks: [SequenceMark], on bridge: BridgeIndex)
}

/// A plane whose bridges promise nothing about gaps needs none of these.
extension BridgePlane {
    public func gapTerms(for bridge: BridgeIndex) -> GapTerms { GapTerms() }
    public func noteGaps(_ events: [GapEvent], of bridge: BridgeIndex) {}
    public func settleHeld(_ tally: IngressTally, of bridge: BridgeIndex) {}
    public func channelsQuiet(_ marks: [SequenceMark], on bridge: BridgeIndex) {}
}

extension BridgePlane {
    public var backPressure: BackPressure? { nil }
    public func blockers(of channel: ChannelName) -> UInt64 { 0 }
    public var hasReceipts: Bool { false }
    public func awaitedBridges(of channel: ChannelName) -> [AwaitedBridge] { [] }
}

/// The channel owners, as the bridges see them.
public protocol IngressAcceptor: Sendable {
    /// Hands a batch to the owners of its channels, in order per channel.
    ///
    /// `taken` runs once, on any thread, when all owners have judged and fanned out their share; until then the batch counts against what
    /// the bridge may have under way.
    /// - Parameter hopLimit: the bridge's `max_hops`.
    func accept(
        _ batch: [IngressEnvelope], from bridge: BridgeIndex, hopLimit: Int,
        taken: @escaping @Sendable (IngressTally) -> Void)

    /// The same for messages that were sent again: an owner takes those that it misses, and judges the others as duplicates.
    func acceptRepaired(
        _ batch: [IngressEnvelope], from bridge: BridgeIndex, hopLimit: Int,
        taken: @escaping @Sendable (IngressTally) -> Void)

    /// Tells the owners what `sender` says that it sent to the upstream of `bridge`.
    func accept(_ marks: [SequenceMark], sender: InstanceID, from bridge: BridgeIndex)

    /// One of the loops that serve clients, for a bridge that lives on one; nil when there is none to lend.
    func leaseEventLoop() -> EventLoopLease?
}

/// An event loop that runs at least as long as this value is kept.
public struct EventLoopLease: Sendable {
    public let eventLoop: any EventLoop
    private let owner: any AnyObject & Sendable

    /// - Parameter owner: what keeps the loop running while it exists.
    public init(_ eventLoop: any EventLoop, owner: any AnyObject & Sendable) {
        self.eventLoop = eventLoop
        self.owner = owner
    }
}

extension IngressAcceptor {
    public func acceptRepaired(
        _ batch: [IngressEnvelope], from bridge: BridgeIndex, hopLimit: Int,
        taken: @escaping @Sendable (IngressTally) -> Void
    ) {
        self.accept(batch, from: bridge, hopLimit: hopLimit, taken: taken)
    }

    public func accept(_ marks: [SequenceMark], sender: InstanceID, from bridge: BridgeIndex) {}

    public func leaseEventLoop() -> EventLoopLease? { nil }
}
