public import LinkspanBridgeKit

public enum HopVerdict: Hashable, Sendable {
    case passes
    /// It was here before: this instance is its origin or one of its hops.
    case looped
    case tooManyHops
}

/// Stops messages that travel in circles.
public struct HopGuard: Sendable, Hashable {
    public let instance: InstanceID

    public init(instance: InstanceID) {
        self.instance = instance
    }

    /// Judges a message that a bridge received.
    ///
    /// - Parameter limit: `max_hops` of the bridge: most instances that a message may have passed, the one where it entered included.
    public func judge(_ header: EnvelopeHeader, limit: Int) -> HopVerdict {
        if header.origin.instance == self.instance || header.hops.contains(self.instance) { return .looped }
        return header.hops.count > limit ? .tooManyHops : .passes
    }

    /// The header as it leaves: with this instance as its last hop.
    ///
    /// Messages that entered here carry it already and are returned as they are, without an allocation.
    public func leaving(_ header: EnvelopeHeader) -> EnvelopeHeader {
        if header.hops.last == self.instance { return header }
        var header = header
        header.hops.append(self.instance)
        return header
    }

    /// How many hops ``leaving(_:)`` would show.
    public func leavingHops(_ header: EnvelopeHeader) -> Int {
        header.hops.last == self.instance ? header.hops.count : header.hops.count + 1
    }
}
