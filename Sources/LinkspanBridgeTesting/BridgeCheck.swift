/// One thing that every bridge must do; ``BridgeConformance`` runs them all.
public enum BridgeCheck: String, Sendable, CaseIterable, CustomStringConvertible {
    case connects = "connects, reports it once, and takes no work before"
    case delivers = "delivers what one side sends to the other, once and in order"
    case confirms = "confirms each message once"
    case exactFilter = "an exact filter receives its own name and no other"
    case prefixFilter = "a prefix filter receives every name below it"
    case overlappingFilters = "overlapping filters deliver once, and removing one leaves the other"
    case unsubscribes = "an unsubscribed filter delivers nothing more"
    case renews = "a filter that is asked for again is settled again, and delivers once"
    case header = "the header arrives as it was sent, and none arrives where none was sent"
    case payloads = "payload bytes arrive unchanged"
    case names = "awkward names arrive unchanged"
    case wakes = "no wake-up is lost while many senders add work"
    case backpressure = "few batches are under way while the server takes none"
    case cancels = "cancelling ends a conversation promptly, also while deliveries wait"
    case restarts = "a second conversation on the same bridge starts afresh"
    case shares =
        "of a group one member gets each message, all get what is not shared, and who leaves takes no more turns"
    case resumes = "a conversation that says it resumed a session has what was sent meanwhile"
    case wrongPassword = "a wrong password ends in an upstream error that says refused"
    case unreachable = "an upstream that does not listen ends in an upstream error that says unreachable"

    public var description: String { self.rawValue }

    /// Whether it applies only where an upstream can be asked for all names with a prefix.
    var needsPrefixes: Bool {
        switch self {
        case .prefixFilter, .overlappingFilters, .unsubscribes: true
        case .connects, .delivers, .confirms, .exactFilter, .renews, .header, .payloads, .names, .wakes, .backpressure,
            .cancels,
            .restarts, .shares, .resumes, .wrongPassword, .unreachable:
            false
        }
    }
}

/// What a bridge did wrong.
public struct ConformanceFailure: Error, Sendable, CustomStringConvertible {
    public struct Finding: Sendable {
        public var check: BridgeCheck
        /// What was expected and what was seen, for people.
        public var message: String
    }

    /// At least one, in the order of ``BridgeCheck``.
    public var findings: [Finding]

    public var description: String {
        self.findings.map { "\($0.check): \($0.message)" }.joined(separator: "\n")
    }
}

/// What one check found; ``BridgeConformance`` adds which one it was.
package struct Finding: Error, CustomStringConvertible {
    package var message: String

    package init(_ message: String) {
        self.message = message
    }

    package var description: String { self.message }
}

func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(Finding) {
    guard condition else { throw Finding(message()) }
}
