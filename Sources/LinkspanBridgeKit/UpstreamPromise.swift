/// One thing that a rule's guarantee rests on, and what an upstream showed of it.
///
/// A bridge looks at the things that its guarantee needs whenever an upstream accepts it, and says what it saw with ``UpstreamFacts/promises`` or
/// ``BridgeLink/noted(_:)``, and where it can again while it converses, with ``BridgeLink/reviewed(_:)``. What follows from a broken one is the host's business.
public struct UpstreamPromise: Sendable, Hashable {
    public enum State: String, Sendable, Hashable, CaseIterable {
        /// The upstream said so, or it showed.
        case kept
        /// It cannot be seen, and nothing speaks against it.
        case assumed
        /// The upstream does not keep it.
        case broken
    }

    /// A word of the bridge's own closed list, such as `persistence`.
    public var name: String
    public var state: State
    /// For people: how it was seen, why it cannot be, or what is wrong and what would help; never a secret.
    public var reason: String

    public init(_ name: String, _ state: State, _ reason: String) {
        self.name = name
        self.state = state
        self.reason = reason
    }
}

extension [UpstreamPromise] {
    /// Puts `promise` in the place of what was said of it before, or at the end.
    public mutating func note(_ promise: UpstreamPromise) {
        if let index = self.firstIndex(where: { $0.name == promise.name }) {
            self[index] = promise
        } else {
            self.append(promise)
        }
    }
}
