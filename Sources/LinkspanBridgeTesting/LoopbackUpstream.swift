internal import LinkspanBridgeKit
internal import NIOCore
internal import Synchronization

/// The upstream behind ``LoopbackBridge``: routes messages between the bridges of this process, in order, with no network.
///
/// There is one for each host name, made when first used and kept for the life of the process.
public final class LoopbackUpstream: Sendable {
    private static let all = Mutex<[String: LoopbackUpstream]>([:])

    /// The upstream that `loopback://<name>` means.
    public static func named(_ name: String) -> LoopbackUpstream {
        self.all.withLock { all in
            if let known = all[name] { return known }
            let new = LoopbackUpstream()
            all[name] = new
            return new
        }
    }

    private struct Subscriber {
        var filters: Set<UpstreamFilter> = []
        let inbox: LoopbackInbox
        let settings: BridgeSettings
        /// How many messages that its group shares it was given.
        var turns = 0

        func takes(_ name: String, isShared: Bool) -> Bool {
            guard isShared == (self.settings.consumerGroup != nil && !self.settings.unsharedNames.contains(name)) else {
                return false
            }
            return self.filters.contains { $0.matches(name) }
        }
    }

    private struct State {
        var password: Secret?
        var subscribers: [ObjectIdentifier: Subscriber] = [:]

        /// Who gets a message to `name`: of each group the member that had the fewest turns.
        mutating func receivers(of name: String) -> [LoopbackInbox] {
            var receivers = self.subscribers.values.filter { $0.takes(name, isShared: false) }.map(\.inbox)
            let shared = self.subscribers.filter { $0.value.takes(name, isShared: true) }
            for members in Dictionary(grouping: shared, by: \.value.settings.consumerGroup).values {
                guard let chosen = members.min(by: { $0.value.turns < $1.value.turns }) else { continue }
                self.subscribers[chosen.key]?.turns += 1
                receivers.append(chosen.value.inbox)
            }
            return receivers
        }
    }

    private let state = Mutex(State())

    /// Sets the password that bridges must give from now on; nil accepts all.
    public func requirePassword(_ password: String?) {
        self.state.withLock { $0.password = password.map(Secret.init) }
    }

    func accepts(_ password: Secret?) -> Bool {
        self.state.withLock { $0.password == nil || $0.password == password }
    }

    func attach(_ inbox: LoopbackInbox, _ settings: BridgeSettings) {
        self.state.withLock { $0.subscribers[ObjectIdentifier(inbox)] = Subscriber(inbox: inbox, settings: settings) }
    }

    func detach(_ inbox: LoopbackInbox) {
        self.state.withLock { $0.subscribers[ObjectIdentifier(inbox)] = nil }
    }

    func change(_ interest: [InterestChange], of inbox: LoopbackInbox) {
        self.state.withLock { state in
            for change in interest {
                switch change {
                case .subscribe(let filter): state.subscribers[ObjectIdentifier(inbox)]?.filters.insert(filter)
                case .unsubscribe(let filter): state.subscribers[ObjectIdentifier(inbox)]?.filters.remove(filter)
                }
            }
        }
    }

    func publish(_ messages: [IngressMessage]) {
        let inboxes = self.state.withLock { state in
            // Appending inside the lock gives all subscribers one order; delivering, which may call anything, happens outside.
            for message in messages {
                for inbox in state.receivers(of: message.name) { inbox.append(message) }
            }
            return state.subscribers.values.map(\.inbox)
        }
        for inbox in inboxes { inbox.deliver() }
    }
}

extension UpstreamFilter {
    fileprivate func matches(_ name: String) -> Bool {
        switch self {
        case .exact(let other): name.utf8.elementsEqual(other.utf8)
        case .prefix(let prefix): name.utf8.starts(with: prefix.utf8)
        }
    }
}
