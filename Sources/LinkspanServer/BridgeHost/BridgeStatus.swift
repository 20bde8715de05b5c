public import LinkspanBridgeKit
public import LinkspanCore

/// Where one bridge stands with its upstream.
public enum BridgeState: String, Sendable, Hashable, CaseIterable {
    /// An attempt is under way.
    case connecting
    /// The upstream accepted us. Ends in `waiting` or `stopped`.
    case up
    /// Between two attempts.
    case waiting
    /// Not started yet, or stopped for good.
    case stopped
}

/// One bridge at one moment, for `/health`, status and metrics.
public struct BridgeStatus: Sendable {
    /// `name@broker` for each link of a bridge that has several brokers.
    public var name: String
    /// The bridge that the link belongs to, as the configuration calls it.
    public var declaration: String
    /// A ``Bridge/kind``.
    public var kind: String
    /// Whether `/ready` waits for it.
    public var isRequired: Bool
    public var state: BridgeState
    /// Since when it is in that state, milliseconds since 1970.
    public var since: UInt64
    /// The URL in use or tried last; without credentials.
    public var upstream: String
    /// What the upstream told about itself; nil before the first connection.
    public var facts: UpstreamFacts?
    /// Why the last attempt or connection ended; nil while nothing went wrong since it came up.
    public var lastError: String?
    /// From the end of the last attempt to the next; nil unless waiting.
    public var retryDelay: Duration?
    /// How often the upstream accepted us.
    public var connects: UInt64
    /// How many attempts and connections failed.
    public var failures: UInt64
    public var egress: EgressLedger
    public var ingress: IngressLedger
    /// Payload bytes waiting and in flight, plus 64 per message; of a disk buffer, bytes of its files and of what waits to be written.
    public var bufferedBytes: Int
    /// Filters wanted at the upstream, lingering ones included.
    public var interestCount: Int
    /// Filters that the upstream refused in this conversation.
    public var rejectedFilters: Int
    /// Channels without an upstream subscription, because their name cannot be expressed there or the table is full.
    public var refusedInterest: UInt64
    /// Confirmations for nothing that was in flight; above zero only with a faulty bridge.
    public var strayTickets: UInt64
    /// What probes have shown; nil when the rule sends and expects none.
    public var probe: ProbeReport?
    /// What became of mirrored subscriptions; nil when the rule does not mirror them both ways.
    public var occupancy: OccupancyReport?
    /// Of the disk buffer; nil for a buffer in memory.
    public var storage: StorageStatus?
    /// What the upstream showed of the things that the guarantee rests on, when it last accepted us and since; empty when it rests on none.
    public var promises: [UpstreamPromise] = []
    /// Whether an upstream that breaks one of them is not used.
    public var enforcesPromises = true
    /// Who shares what arrives; nil when every instance gets everything.
    public var group: String?
    /// What the upstream did not bring.
    public var gaps = GapStatus()

    /// Whether readiness need not wait for it.
    public var isReady: Bool {
        self.state == .up && (self.probe?.isGood ?? true) && !(self.enforcesPromises && self.breaksPromise)
    }

    private var breaksPromise: Bool { self.promises.contains { $0.state == .broken } }
}
