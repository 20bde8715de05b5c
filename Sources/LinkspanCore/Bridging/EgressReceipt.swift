public import LinkspanBridgeKit
internal import Synchronization

/// A bridge that a publish waits for before it is answered.
public struct AwaitedBridge: Sendable, Hashable {
    public var index: BridgeIndex
    public var name: String
    /// Never ``AckLevel/local``.
    public var level: AckLevel

    public init(index: BridgeIndex, name: String, level: AckLevel) {
        self.index = index
        self.name = name
        self.level = level
    }
}

/// What became of one message at one bridge.
public enum EgressOutcome: Sendable, Hashable {
    /// Our buffer has it; for one on disk, the file has.
    case buffered
    /// The upstream has it.
    case confirmed
    case filtered
    case expired
    case dropped(DropReason)

    /// As receipts say it: `buffered`, `confirmed`, `filtered`, `expired`, or the reason why it was dropped.
    public var word: String {
        switch self {
        case .buffered: "buffered"
        case .confirmed: "confirmed"
        case .filtered: "filtered"
        case .expired: "expired"
        case .dropped(let reason): reason.rawValue
        }
    }

    /// Whether nothing more will happen to the message there.
    var isFinal: Bool { self != .buffered }

    /// Whether the upstream will never have it from there.
    public var isLost: Bool { self != .buffered && self != .confirmed }

    func reaches(_ level: AckLevel) -> Bool {
        switch self {
        case .confirmed: true
        case .buffered: level != .confirmed
        case .filtered, .expired, .dropped: false
        }
    }
}

/// Follows one message through the bridges that its publish waits for, and tells once what came of it.
///
/// It is told by channel owners and bridges, on any thread; each bridge's word counts until it is final.
public final class EgressReceipt: Sendable {
    /// What is known of the message.
    public struct Account: Sendable, Hashable {
        public struct Entry: Sendable, Hashable {
            public var bridge: AwaitedBridge
            /// Nil while nothing is known.
            public var outcome: EgressOutcome?

            /// Whether it came as far as the rule says.
            public var isReached: Bool { self.outcome?.reaches(self.bridge.level) ?? false }
            var isSettled: Bool { self.isReached || self.outcome?.isFinal ?? false }
        }

        /// Nil until the owner of the channel has numbered the message.
        public var origin: Origin?
        /// In the order of the configuration.
        public var entries: [Entry]

        public var isReached: Bool { self.entries.allSatisfy(\.isReached) }
    }

    private struct State {
        var account: Account
        var done: (@Sendable (Account) -> Void)?
    }

    private let state: Mutex<State>

    /// - Parameter done: called once, on any thread, when every bridge has done what its rule asks, or never will.
    public init(_ bridges: [AwaitedBridge], done: @escaping @Sendable (Account) -> Void) {
        let entries = bridges.map { Account.Entry(bridge: $0, outcome: nil) }
        self.state = Mutex(State(account: Account(origin: nil, entries: entries), done: done))
    }

    /// What is known at this moment.
    public var account: Account { self.state.withLock { $0.account } }

    /// The owner of the channel has given the message its identity.
    public func numbered(_ origin: Origin) {
        self.state.withLock { $0.account.origin = origin }
    }

    /// A bridge says how far the message has come; those that nobody waits for may do so too.
    public func note(_ outcome: EgressOutcome, at bridge: BridgeIndex) {
        self.change { account in
            for index in account.entries.indices where account.entries[index].bridge.index == bridge {
                if account.entries[index].outcome?.isFinal != true { account.entries[index].outcome = outcome }
            }
        }
    }

    private func change(_ body: (inout Account) -> Void) {
        let finished = self.state.withLock { state -> (done: @Sendable (Account) -> Void, account: Account)? in
            body(&state.account)
            guard let done = state.done, state.account.entries.allSatisfy(\.isSettled) else { return nil }
            state.done = nil
            return (done, state.account)
        }
        if let finished { finished.done(finished.account) }
    }
}
