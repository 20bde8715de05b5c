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

    public init(
        version: String, instance: InstanceID, isListening: Bool, counters: ServerCounters, bridges: [BridgeStatus],
        hooks: [HookStatus] = []
    ) {
        self.version = version
        self.instance = instance
        self.isListening = isListening
        self.counters = counters
        self.bridges = bridges
        self.hooks = hooks
    }

    /// What keeps the instance from being ready: `client port`, `instance id` while another instance uses it, and the required bridges
    /// through which messages are not known to pass.
    public var awaited: [String] {
        (self.isListening ? [] : ["client port"]) + (self.hasDuplicates ? ["instance id"] : [])
            + self.bridges.filter { $0.isRequired && !$0.isReady }.map { "bridge \($0.name)" }
    }

    /// Whether another instance with our id was heard of late.
    public var hasDuplicates: Bool { self.bridges.contains { $0.probe?.duplicates.isEmpty == false } }
}
