public import LinkspanBridgeKit
public import NIOCore

/// How much speaks for a bridge as the way of a repair request to another instance, and of its answer; the larger the better.
public enum RepairWay: Int, Sendable, Hashable, Comparable, CaseIterable {
    /// There is no connection.
    case away
    /// Nothing passed through the connection within the deadline.
    case broken
    /// Proof is late or has not come yet, or the other instance is not heard there any more.
    case doubtful
    /// Messages pass, or nothing could prove it; nothing is known of the other instance.
    case open
    /// Messages pass, and the other instance is heard there.
    case proven

    public static func < (one: RepairWay, other: RepairWay) -> Bool { one.rawValue < other.rawValue }
}

extension ProbeTable {
    /// What probes say of this bridge as the way to `instance`, while it is connected.
    public func way(to instance: InstanceID, at now: NIODeadline) -> RepairWay {
        let directions = self.directions(at: now)
        if directions.contains(.broken) { return .broken }
        if directions.contains(.suspect) { return .doubtful }
        let peers = self.peers.filter { $0.key.instance == instance }.map { self.state(of: $0.value, at: now) }
        if peers.contains(.proven) { return .proven }
        return peers.isEmpty ? .open : .doubtful
    }
}
