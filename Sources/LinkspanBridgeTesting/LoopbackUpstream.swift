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
    }

    private struct State {
        var password: Secret?
        var subscribers: [ObjectIdentifier: Subscriber] = [:]
    }

    private let state = Mutex(State())

    /// Sets the password that bridges must give from now on; nil accepts all.
    public func requirePassword(_ password: String?) {
        self.state.withLock { $0.password = password.map(Secret.init) }
    }

    func accepts(_ password: Secret?) -> Bool {
        self.state.withLock { $0.password == nil || $0.password == password }
    }

    func attach(_ inbox: LoopbackInbox) {
        self.state.withLock { $0.subscribers[ObjectIdentifier(inbox)] = Subscriber(inbox: inbox) }
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
                for subscriber in state.subscribers.values
                where subscriber.filters.contains(where: { $0.matches(message.name) }) {
                    subscriber.inbox.append(message)
                }
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
