public import LinkspanBridgeKit
internal import LinkspanCore
public import LinkspanServer

/// One instance at one moment: all that the operator port renders.
public struct OperatorSnapshot: Sendable {
    public var version: String
    public var instance: InstanceID
    /// Whether the client port is open.
    public var isListening: Bool
    public var counters: ServerCounters
    /// In the order of the configuration.
    public var bridges: [BridgeStatus]
    /// In the order of the configuration.
    public var hooks: [HookStatus]
    public var reloads: ReloadCounts
    /// When the certificate that clients are shown ends, in seconds since 1970; nil without one.
    public var certificateEnds: Int64?

    public init(
        version: String, instance: InstanceID, isListening: Bool, counters: ServerCounters, bridges: [BridgeStatus],
        hooks: [HookStatus] = [], reloads: ReloadCounts = ReloadCounts(), certificateEnds: Int64? = nil
    ) {
        self.version = version
        self.instance = instance
        self.isListening = isListening
        self.counters = counters
        self.bridges = bridges
        self.hooks = hooks
        self.reloads = reloads
        self.certificateEnds = certificateEnds
    }

    /// What keeps the instance from being ready: `client port`, `instance id` while another instance uses it, and the required bridges
    /// through which messages are not known to pass. Of a bridge with several brokers one is enough.
    public var awaited: [String] {
        (self.isListening ? [] : ["client port"]) + (self.hasDuplicates ? ["instance id"] : [])
            + self.awaitedBridges.map { "bridge \($0)" }
    }

    private var awaitedBridges: [String] {
        var ready: [String: Bool] = [:]
        var names: [String] = []
        for bridge in self.bridges where bridge.isRequired {
            if ready[bridge.declaration] == nil { names.append(bridge.declaration) }
            ready[bridge.declaration, default: false] = ready[bridge.declaration, default: false] || bridge.isReady
        }
        return names.filter { ready[$0] == false }
    }

    /// Whether another instance with our id was heard of late.
    public var hasDuplicates: Bool { self.bridges.contains { $0.probe?.duplicates.isEmpty == false } }
}

/// How often keys and certificates were read again while the instance ran.
public struct ReloadCounts: Sendable, Hashable {
    public var succeeded = 0
    /// Those at which something could not be used, and stayed what it was.
    public var failed = 0

    public init() {}
}
