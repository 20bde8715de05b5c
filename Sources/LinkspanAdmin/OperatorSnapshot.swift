public import LinkspanBridgeKit
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

    /// What keeps the instance from being ready: `client port`, and the required bridges that are not up.
    public var awaited: [String] {
        (self.isListening ? [] : ["client port"])
            + self.bridges.filter { $0.isRequired && $0.state != .up }.map { "bridge \($0.name)" }
    }
}
