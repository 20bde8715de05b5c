/// Bindings that a kept queue has from an earlier life of the instance and that nobody asks for any more. Pure.
///
/// AMQP cannot list bindings, so one is found when a message comes through it; it is withdrawn then.
struct StaleBindings {
    /// Names remembered, so that one binding is withdrawn once; past that, looking ends.
    static let limit = 4_096

    private let isResumed: Bool
    private var isInterestKnown = false
    private var names: Set<RoutingKey> = []

    init(isResumed: Bool = false) {
        self.isResumed = isResumed
    }

    /// Whether a message that no filter asks for tells of a stale binding: not before the host has said what it wants.
    var isLooking: Bool { self.isResumed && self.isInterestKnown && self.names.count < Self.limit }

    mutating func interestKnown() {
        self.isInterestKnown = true
    }

    /// - Returns: whether `name` was not found before.
    mutating func found(_ name: String) -> Bool {
        self.names.insert(RoutingKey(name)).inserted
    }
}
