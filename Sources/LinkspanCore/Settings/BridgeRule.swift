public import LinkspanBridgeKit

/// An outside broker: one entry of `brokers` in `bridges.yaml`.
public struct UpstreamSettings: Sendable, Hashable {
    /// A ``Bridge/kind``.
    public var type: String
    public var urls: [UpstreamURL]
    public var username: String?
    public var password: Secret?
    public var tls: TLSFiles
    /// Complete values of the kind's ``Bridge/options``.
    public var options: [String: OptionValue]
    /// Where the options stand in the file.
    public var optionsPath: String

    public init(
        type: String, urls: [UpstreamURL], username: String? = nil, password: Secret? = nil, tls: TLSFiles = TLSFiles(),
        options: [String: OptionValue] = [:], optionsPath: String = ""
    ) {
        self.type = type
        self.urls = urls
        self.username = username
        self.password = password
        self.tls = tls
        self.options = options
        self.optionsPath = optionsPath
    }
}

/// Which way a bridge carries messages.
public enum Direction: String, Sendable, Hashable, CaseIterable {
    case ingress = "in"
    case egress = "out"
    case both
}

/// Broker events that a bridge mirrors to its upstream.
public enum MirroredEvent: String, Sendable, Hashable, CaseIterable {
    case publish, subscribe, unsubscribe
}

/// When a bridge subscribes at its upstream.
public enum Interest: String, Sendable, Hashable, CaseIterable {
    /// With the first local subscriber of a channel, until some time after the last one.
    case onDemand = "on_demand"
    /// From the start, by wildcard.
    case always
}

/// Which instances get what arrives by a bridge.
public enum Consumption: Sendable, Hashable {
    /// Each of them.
    case all
    /// One of those that name the same group at the same upstream; the upstream chooses which.
    case oneOf(group: String)

    /// The words of `consume` in `bridges.yaml`.
    public static let words = ["all", "one_of"]

    /// Whether upstreams take `name` as it is: 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    public static func isGroupName(_ name: String) -> Bool { InstanceID(name) != nil }
}

/// What a full egress buffer does with the next message.
public enum OverflowPolicy: String, Sendable, Hashable, CaseIterable {
    /// It is kept, and its publisher is not read until there is room again.
    case block
    case dropNewest = "drop_newest"
    case dropOldest = "drop_oldest"
    /// A message gives way when a later one of its channel waits; where there is none, the oldest does.
    case latestPerChannel = "latest_per_channel"
}

/// One entry of `bridges` in `bridges.yaml`: which channels travel through which upstream, and how.
public struct BridgeRule: Sendable, Hashable {
    /// Unique; `name@broker` for each link of a bridge that has several brokers.
    public var name: String
    /// The key in the file that this rule comes from; several rules have one when it has several brokers.
    public var declaration: String
    /// A key of ``LinkspanSettings/upstreams``.
    public var upstream: String
    /// Globs; a channel is carried when it matches one of `include` and none of `exclude`.
    public var include: [String] = ["**"]
    public var exclude: [String] = []
    public var direction = Direction.both
    public var events: Set<MirroredEvent> = [.publish]
    /// Nil takes the kind's ``Bridge/defaultNameTemplate``.
    public var nameTemplate: String?
    public var guarantee = Guarantee.atMostOnce
    /// What follows when the upstream does not keep what the guarantee rests on.
    public var promises = PromisePolicy.enforced
    /// `always` where the file says nothing and ``consumption`` is ``Consumption/oneOf(group:)``.
    public var interest = Interest.onDemand
    public var consumption = Consumption.all
    /// How long an upstream subscription outlives its last local subscriber.
    public var linger = Duration.seconds(10)
    public var buffer = BufferSettings()
    public var retryInitial = Duration.milliseconds(500)
    public var retryMaximum = Duration.seconds(30)
    /// How often a bridge that serves from a less preferred URL looks for the preferred ones.
    public var retryReturn = Duration.seconds(30)
    /// Bridges whose ingress this one may carry onward.
    public var transit: [String] = []
    public var maximumHops = 4
    /// Nil sends and expects no probes.
    public var probe: ProbeSettings? = ProbeSettings()
    /// What the answer to a client's publish waits for.
    public var ack = AckLevel.local
    /// Nil neither remembers what was sent nor asks for what did not come.
    public var repair: RepairSettings?
    /// Whether `/ready` waits for it.
    public var isRequired = false

    public init(name: String, upstream: String) {
        self.name = name
        self.declaration = name
        self.upstream = upstream
    }

    /// Nil when every instance gets everything.
    public var group: String? {
        if case .oneOf(let group) = self.consumption { group } else { nil }
    }

    /// Whether the upstream hears who listens here.
    public var mirrorsOccupancy: Bool { self.events.contains(.subscribe) || self.events.contains(.unsubscribe) }

    /// This rule at one of several brokers of its bridge.
    public func link(to upstream: String) -> BridgeRule {
        var link = self
        link.name = "\(self.declaration)@\(upstream)"
        link.upstream = upstream
        return link
    }
}

/// What a bridge does about an upstream that does not keep what a guarantee rests on.
public enum PromisePolicy: String, Sendable, Hashable, CaseIterable {
    /// It is not used: a weaker guarantee than the one in the file would go unnoticed.
    case enforced
    /// It is used, and what it does not keep is told.
    case reported
}

/// How far a message has to have come before the publish of a client is answered.
public enum AckLevel: String, Sendable, Hashable, CaseIterable {
    /// The server has it; what SocketCluster does.
    case local
    /// The buffer of the bridge has it; for one on disk, the file has.
    case buffered
    /// The upstream has it.
    case confirmed
}

/// Where envelopes wait for an upstream.
public enum BufferType: String, Sendable, Hashable, CaseIterable {
    case memory
    /// In files below ``ServerSettings/dataFolder``, which survive the process.
    case disk
}

/// When a disk buffer makes sure that what it wrote is on the disk, and not only with the system.
///
/// Whatever it says, the end of the process loses nothing that was written; it is for the end of the machine.
public enum SyncRule: String, Sendable, Hashable, CaseIterable {
    /// Before a message may leave or counts as buffered.
    case always
    /// Every ``BufferSettings/syncInterval``.
    case interval
    /// When the system sees fit.
    case never
}

/// How envelopes wait for an upstream.
public struct BufferSettings: Sendable, Hashable {
    public var type = BufferType.memory
    /// In memory: payload bytes plus 64 per message. On disk: bytes of the files.
    public var sizeBytes = 64 << 20
    /// Most messages waiting and in flight; nil counts bytes only.
    public var messages: Int?
    /// Older messages are dropped as `expired`; nil keeps them.
    public var age: Duration?
    public var whenFull = OverflowPolicy.dropOldest
    /// For a buffer on disk, like ``syncInterval``.
    public var sync = SyncRule.interval
    public var syncInterval = Duration.seconds(1)

    public init() {}
}
