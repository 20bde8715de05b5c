public import LinkspanBridgeKit

/// Hears what happens at the broker: the hook that SocketCluster gives to adapters (`broker.js`, `agServer.brokerEngine`).
///
/// Every channel has one owner among the event loops, and the owner calls: on its loop, in the order of the channel, never twice at a time for
/// one channel, but for different channels from different threads. A method must return at once; work that takes time belongs
/// elsewhere, for which ``Broker/events(bufferLimit:)`` is the convenient form.
///
/// An adapter mirrors `published` to the outside and hands what comes from there to ``Broker/publish(_:_:)-(_,JSONText?)``, which raises no
/// event: so nothing echoes.
public protocol BrokerObserver: AnyObject, Sendable {
    /// The first local subscriber of `channel` came.
    func channelSubscribed(_ channel: ChannelName)

    /// The last local subscriber of `channel` left, by unsubscribing or by disconnecting.
    func channelUnsubscribed(_ channel: ChannelName)

    /// A message entered here: a client published it, or ``Broker/exchange(_:_:)`` did. Also for channels without subscribers.
    func published(_ envelope: Envelope)
}

extension BrokerObserver {
    public func channelSubscribed(_ channel: ChannelName) {}
    public func channelUnsubscribed(_ channel: ChannelName) {}
    public func published(_ envelope: Envelope) {}
}

/// One event of the broker; the cases are SocketCluster's.
public enum BrokerEvent: Sendable {
    case subscribe(ChannelName)
    case unsubscribe(ChannelName)
    case publish(Envelope)
}
