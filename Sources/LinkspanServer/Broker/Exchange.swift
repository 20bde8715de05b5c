public import LinkspanBridgeKit
internal import LinkspanCore
public import LinkspanWire
internal import Synchronization

/// The server's own part in its channels: publishing and subscribing as a client does, without being one (`agServer.exchange`).
///
/// ```swift
/// let chat = server.exchange.subscribe("chat")
/// for await message in chat { archive.add(message.data) }
/// ```
/// No inbound middleware and no permission stands in its way; outbound middleware decides about what its publishes bring to clients. Every
/// method may be called on any thread, before the server runs too.
public final class Exchange: Sendable {
    private struct State {
        var listeners: [ChannelName: [ExchangeListener]] = [:]
        var isStopped = false
    }

    private let broker: Broker
    private let inboxes: [LoopInbox]
    private let state = Mutex(State())
    private let dropped = Atomic<Int>(0)

    init(broker: Broker, inboxes: [LoopInbox]) {
        self.broker = broker
        self.inboxes = inboxes
    }

    /// As ``Broker/exchange(_:_:)``.
    @discardableResult
    public func publish(_ channel: ChannelName, _ data: JSONText?) -> Bool {
        self.broker.exchange(channel, data)
    }

    /// The messages of `channel` from now on, whoever publishes them and wherever, in the order in which clients get them.
    ///
    /// Counts as a subscriber, so bridges fetch the channel. What is published through this exchange after the call is heard; for what clients
    /// publish that holds from the next ``channels`` on, which comes back when the subscription is made.
    /// - Parameter bufferLimit: messages held for the consumer; what comes beyond is dropped and counted.
    public func subscribe(_ channel: ChannelName, bufferLimit: Int = 1024) -> ExchangeSubscription {
        let (stream, continuation) = AsyncStream.makeStream(
            of: ExchangeMessage.self, bufferingPolicy: .bufferingOldest(max(1, bufferLimit)))
        let listener = ExchangeListener(channel: channel, continuation: continuation, exchange: self)
        continuation.onTermination = { [weak self, weak listener] _ in
            if let listener { self?.remove(listener) }
        }
        let isTaken = self.state.withLock { state in
            guard !state.isStopped else { return false }
            state.listeners[channel, default: []].append(listener)
            self.post(channel) { $0.owner.add(listener, turn: $0.turn) }
            return true
        }
        if !isTaken { continuation.finish() }
        return ExchangeSubscription(stream: stream, listener: listener)
    }

    /// Ends all subscriptions of the server to `channel`; their consumers come to the end after what they already hold.
    public func unsubscribe(_ channel: ChannelName) {
        for listener in self.state.withLock({ $0.listeners[channel] ?? [] }) { listener.finish() }
    }

    public func isSubscribed(_ channel: ChannelName) -> Bool {
        self.state.withLock { $0.listeners[channel] != nil }
    }

    /// The channels that the server itself is subscribed to, in no order.
    public var subscriptions: [ChannelName] {
        self.state.withLock { Array($0.listeners.keys) }
    }

    /// The channels with a subscriber on this instance, clients and the server itself, in no order; none while the server does not run.
    public var channels: [ChannelName] {
        get async {
            var channels: [ChannelName] = []
            for inbox in self.inboxes where inbox.isAttached {
                channels += await inbox.ask(default: []) { $0.owner.subscribedChannels }
            }
            return channels
        }
    }

    /// Messages that were dropped because a consumer was too slow.
    var droppedCount: Int { self.dropped.load(ordering: .relaxed) }

    func noteDropped() { self.dropped.wrappingAdd(1, ordering: .relaxed) }

    /// Ends all subscriptions; the loops are gone.
    func stopped() {
        let listeners = self.state.withLock { state in
            state.isStopped = true
            return state.listeners.values.flatMap(\.self)
        }
        for listener in listeners { listener.finish() }
    }

    private func remove(_ listener: ExchangeListener) {
        self.state.withLock { state in
            state.listeners[listener.channel]?.removeAll { $0 === listener }
            if state.listeners[listener.channel]?.isEmpty == true { state.listeners[listener.channel] = nil }
            self.post(listener.channel) { $0.owner.remove(listener) }
        }
    }

    private func post(_ channel: ChannelName, _ body: @escaping @Sendable (ServerLoop) -> Void) {
        self.inboxes[NameTable.Hash(channel).owner(among: self.inboxes.count)].post(.control(body))
    }
}

/// One message of a channel.
public struct ExchangeMessage: Sendable, Hashable {
    public var channel: ChannelName
    /// Nil for a publish without data, which is not the same as `null`.
    public var data: JSONText?
}

/// What the server hears of one channel. For one consumer; ends by ``Exchange/unsubscribe(_:)``, when that stops iterating, or with the server.
public struct ExchangeSubscription: AsyncSequence, Sendable {
    public typealias Element = ExchangeMessage
    public typealias Failure = Never

    private let stream: AsyncStream<ExchangeMessage>
    private let listener: ExchangeListener

    init(stream: AsyncStream<ExchangeMessage>, listener: ExchangeListener) {
        self.stream = stream
        self.listener = listener
    }

    public var channel: ChannelName { self.listener.channel }

    /// Messages that came while the buffer was full.
    public var droppedCount: Int { self.listener.droppedCount }

    public func makeAsyncIterator() -> AsyncStream<ExchangeMessage>.Iterator {
        self.stream.makeAsyncIterator()
    }
}

/// The end of a subscription that the owner of its channel knows.
final class ExchangeListener: Sendable {
    let channel: ChannelName
    private let continuation: AsyncStream<ExchangeMessage>.Continuation
    private weak let exchange: Exchange?
    private let dropped = Atomic<Int>(0)

    init(channel: ChannelName, continuation: AsyncStream<ExchangeMessage>.Continuation, exchange: Exchange) {
        self.channel = channel
        self.continuation = continuation
        self.exchange = exchange
    }

    var droppedCount: Int { self.dropped.load(ordering: .relaxed) }

    func hear(_ message: ExchangeMessage) {
        guard case .dropped = self.continuation.yield(message) else { return }
        self.dropped.wrappingAdd(1, ordering: .relaxed)
        self.exchange?.noteDropped()
    }

    func finish() { self.continuation.finish() }
}
