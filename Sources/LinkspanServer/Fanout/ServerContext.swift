internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore
internal import Synchronization

/// What all loops of one server share: settings, identity and the ways to each other.
final class ServerContext: Sendable {
    let settings: ServerSettings
    let rules: ConnectionRules
    let upgradeRules: UpgradeRules
    let decoder: ClientDecoder
    let minBin: MinBinCodec
    /// Of all listeners, each once; ``FrameForm/compression`` counts in it.
    let compressions: [CompressionSettings]
    /// By what its loops decide at first.
    let program: Program
    /// What the program decides about what subscribers are sent.
    let outbound: MiddlewareGate
    let connectionEvents: ConnectionEventHub
    /// For clients of the application.
    let exchange: Exchange
    let tokens: TokenJudge
    let instance: InstanceID
    /// `[instance]`, made once: the hops of every message that enters here.
    let ownHops: [InstanceID]
    /// Start of this instance, milliseconds since 1970.
    let epoch: UInt64
    let hopGuard: HopGuard
    let bridgePlane: (any BridgePlane)?
    /// The bridges' own, or one that is never raised.
    let backPressure: BackPressure
    /// Whether there is a bridge that the answers to publishes wait for.
    let hasReceipts: Bool
    let health: @Sendable () -> HealthReport
    let inboxes: [LoopInbox]
    let counters: [LoopCounters]
    let congestion: Congestion
    let rings: RingMaker
    /// Channels that one owner remembers before it forgets those without subscribers.
    let ownedChannelLimit = 65_536

    private let connections = Atomic<Int>(0)
    private let socketNumber = Atomic<UInt32>(0)

    init(
        settings: ServerSettings, tokens: TokenJudge = TokenJudge(), permissions: Permissions = .none,
        application: Application? = nil, hooks: Hooks? = nil,
        connectionEvents: ConnectionEventHub = ConnectionEventHub(), exchange: Exchange? = nil,
        instance: InstanceID, epoch: UInt64, bridgePlane: (any BridgePlane)?,
        health: @escaping @Sendable () -> HealthReport,
        inboxes: [LoopInbox], counters: [LoopCounters], congestion: Congestion, rings: RingMaker = RingMaker()
    ) {
        self.settings = settings
        self.rules = ConnectionRules(settings: settings)
        self.upgradeRules = UpgradeRules(settings: settings)
        self.decoder = ClientDecoder(
            limits: DecodingLimits(depth: settings.limits.jsonDepth, batchElements: settings.limits.batchElements))
        self.program = Program(hooks?.extending(application) ?? application, permissions: permissions)
        self.outbound = MiddlewareGate(application?.middleware ?? Middleware())
        self.connectionEvents = connectionEvents
        self.exchange =
            exchange
            ?? Exchange(
                broker: Broker(
                    inboxes: inboxes, loopGroups: LoopGroups(loopCount: inboxes.count),
                    depth: settings.limits.jsonDepth), inboxes: inboxes)
        self.tokens = tokens
        self.minBin = MinBinCodec(settings: settings)
        self.compressions = settings.compressions
        self.instance = instance
        self.ownHops = [instance]
        self.epoch = epoch
        self.hopGuard = HopGuard(instance: instance)
        self.bridgePlane = bridgePlane
        self.backPressure = bridgePlane?.backPressure ?? BackPressure()
        self.hasReceipts = bridgePlane?.hasReceipts ?? false
        self.health = health
        self.inboxes = inboxes
        self.counters = counters
        self.congestion = congestion
        self.rings = rings
    }

    var loopCount: Int { self.inboxes.count }

    /// Counts a new connection and says how many there are with it.
    func connectionOpened() -> Int {
        self.connections.wrappingAdd(1, ordering: .relaxed).newValue
    }

    func connectionClosed() {
        self.connections.wrappingSubtract(1, ordering: .relaxed)
    }

    func nextSocketID(using generator: inout some RandomNumberGenerator) -> SocketID {
        let number = self.socketNumber.wrappingAdd(1, ordering: .relaxed).oldValue
        return SocketID(counter: number, using: &generator)
    }
}
