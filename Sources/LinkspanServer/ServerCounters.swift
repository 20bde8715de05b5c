internal import Synchronization

/// What a server counted since it started.
public struct ServerCounters: Sendable, Hashable {
    /// TCP connections accepted, and those open now.
    public var connectionsAccepted = 0
    public var connectionsOpen = 0
    /// WebSockets that completed a `#handshake`, and those of them that are open now.
    public var handshakes = 0
    public var clientsOpen = 0
    /// Publishes of clients that were accepted.
    public var publishesReceived = 0
    /// Messages handed to subscribers' connections, once per subscriber.
    public var deliveries = 0
    /// System calls that wrote to several connections together (io_uring), and how many writes they were.
    public var ringCalls = 0
    public var ringWrites = 0
    /// Event loops that write to each connection by itself because the kernel refused them a ring.
    public var ringRefusals = 0
    /// Connections closed with 4100 because they read slower than their channels publish.
    public var slowSubscribersClosed = 0
    /// Connections that were refused with HTTP 503 or closed at once, because there were too many.
    public var connectionsRefused = 0
    /// Connections that we ended for a fault of theirs, whatever the code.
    public var protocolFaults = 0
    /// Publishes after which a connection was not read for a while because of its rate.
    public var ratePauses = 0
    /// Times that publishers were not read because some loop had too much waiting.
    public var congestionPauses = 0
    /// Times that a publisher was not read because a bridge with `when_full: block` was full.
    public var upstreamPauses = 0
    /// Publishes that were answered when the bridges had done what their rules say, those that a bridge gave up, and those that waited too long.
    public var receiptsReached = 0
    public var receiptsFailed = 0
    public var receiptsLate = 0
    /// Messages of the program around the server that found the inbox of their channel's owner full.
    public var injectionsDropped = 0
    /// Messages that subscriptions of the program around the server had no room for.
    public var exchangeMessagesDropped = 0
    /// Subscriptions of clients that exist now.
    public var subscriptions = 0
    /// Channels that owners know now, with subscribers or without.
    public var channels = 0
    /// Channels that owners forgot because nothing had happened in them.
    public var channelsForgotten = 0
    /// Origins whose numbers were forgotten in a channel because too many published into it: a second copy of theirs would be delivered.
    public var originsForgotten = 0
    /// Tokens that were believed, in handshakes and `#authenticate`.
    public var tokensAccepted = 0
    /// Tokens that were refused because their time was over.
    public var tokensExpired = 0
    /// Tokens that were refused because their time had not come.
    public var tokensNotActive = 0
    /// Tokens that were refused because they had been revoked.
    public var tokensRevoked = 0
    /// Tokens that were refused for anything else: signature, algorithm, form, audience, issuer.
    public var tokensInvalid = 0
    /// Tokens whose time ended while their connection was open.
    public var tokensExpiredInSession = 0
    /// Handshakes that were refused because they brought no valid token.
    public var anonymousRefused = 0
    /// Connections closed with 4104 because their token was revoked.
    public var connectionsRevoked = 0
    /// Revocations that were forgotten because there were too many; their tokens are believed again.
    public var revocationsForgotten = 0
    /// Subscriptions that the permissions did not grant.
    public var subscribesDenied = 0
    /// Publishes that the permissions did not grant.
    public var publishesDenied = 0
    /// Times that a connection was not read because the application had too much of it to do.
    public var applicationPauses = 0
    /// Calls of the server that a client did not answer in time.
    public var callsTimedOut = 0
    /// Messages that were compressed, once for all subscribers of the same form.
    public var messagesCompressed = 0
    /// Messages of clients that came compressed.
    public var messagesInflated = 0
    /// Arrays of packets that were sent to clients which read them.
    public var batchesSent = 0
    /// Connections that middleware refused, before their WebSocket was open or in its handshake.
    public var handshakesBlocked = 0
    /// Messages that middleware dropped before they were looked at.
    public var messagesBlocked = 0
    /// Calls, events, subscriptions, publishes and tokens that middleware blocked.
    public var actionsBlocked = 0
    /// Publishes that middleware kept from a subscriber, once per subscriber.
    public var deliveriesBlocked = 0
    /// Decisions that middleware did not make in time; what they were about was blocked, and is counted there too.
    public var decisionsTimedOut = 0

    public static func += (sum: inout ServerCounters, other: ServerCounters) {
        for path in Self.paths { sum[keyPath: path] += other[keyPath: path] }
    }

    /// All of them.
    static var paths: [WritableKeyPath<ServerCounters, Int>] {
        [
            \.connectionsAccepted, \.connectionsOpen, \.handshakes, \.clientsOpen, \.publishesReceived, \.deliveries,
            \.ringCalls, \.ringWrites, \.ringRefusals,
            \.slowSubscribersClosed, \.connectionsRefused, \.protocolFaults, \.ratePauses, \.congestionPauses,
            \.upstreamPauses, \.receiptsReached, \.receiptsFailed, \.receiptsLate, \.injectionsDropped,
            \.exchangeMessagesDropped, \.subscriptions, \.channels,
            \.channelsForgotten, \.originsForgotten,
            \.tokensAccepted, \.tokensExpired, \.tokensNotActive, \.tokensRevoked, \.tokensInvalid,
            \.tokensExpiredInSession, \.anonymousRefused, \.connectionsRevoked, \.revocationsForgotten,
            \.subscribesDenied,
            \.publishesDenied, \.applicationPauses, \.callsTimedOut,
            \.messagesCompressed, \.messagesInflated, \.batchesSent,
            \.handshakesBlocked, \.messagesBlocked, \.actionsBlocked, \.deliveriesBlocked,
            \.decisionsTimedOut,
        ]
    }
}

/// The counters of one loop: written by it alone, read by anybody.
final class LoopCounters: Sendable {
    struct Counter: ~Copyable, Sendable {
        private let value = Atomic<Int>(0)

        /// Only on the loop: one writer needs no locked instruction.
        @inline(__always)
        func add(_ amount: Int) {
            self.value.store(self.value.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
        }

        func set(_ amount: Int) { self.value.store(amount, ordering: .relaxed) }

        var current: Int { self.value.load(ordering: .relaxed) }
    }

    let connectionsAccepted = Counter()
    let connectionsOpen = Counter()
    let handshakes = Counter()
    let clientsOpen = Counter()
    let publishesReceived = Counter()
    let deliveries = Counter()
    let ringCalls = Counter()
    let ringWrites = Counter()
    let ringRefusals = Counter()
    let slowSubscribersClosed = Counter()
    let connectionsRefused = Counter()
    let protocolFaults = Counter()
    let ratePauses = Counter()
    let congestionPauses = Counter()
    let upstreamPauses = Counter()
    let receiptsReached = Counter()
    let receiptsFailed = Counter()
    let receiptsLate = Counter()
    let subscriptions = Counter()
    let channels = Counter()
    let channelsForgotten = Counter()
    let originsForgotten = Counter()
    let tokensAccepted = Counter()
    let tokensExpired = Counter()
    let tokensNotActive = Counter()
    let tokensRevoked = Counter()
    let tokensInvalid = Counter()
    let tokensExpiredInSession = Counter()
    let anonymousRefused = Counter()
    let connectionsRevoked = Counter()
    let subscribesDenied = Counter()
    let publishesDenied = Counter()
    let applicationPauses = Counter()
    let callsTimedOut = Counter()
    let messagesCompressed = Counter()
    let messagesInflated = Counter()
    let batchesSent = Counter()
    let handshakesBlocked = Counter()
    let messagesBlocked = Counter()
    let actionsBlocked = Counter()
    let deliveriesBlocked = Counter()
    let decisionsTimedOut = Counter()

    var snapshot: ServerCounters {
        var counters = ServerCounters()
        counters.connectionsAccepted = self.connectionsAccepted.current
        counters.connectionsOpen = self.connectionsOpen.current
        counters.handshakes = self.handshakes.current
        counters.clientsOpen = self.clientsOpen.current
        counters.publishesReceived = self.publishesReceived.current
        counters.deliveries = self.deliveries.current
        counters.ringCalls = self.ringCalls.current
        counters.ringWrites = self.ringWrites.current
        counters.ringRefusals = self.ringRefusals.current
        counters.slowSubscribersClosed = self.slowSubscribersClosed.current
        counters.connectionsRefused = self.connectionsRefused.current
        counters.protocolFaults = self.protocolFaults.current
        counters.ratePauses = self.ratePauses.current
        counters.congestionPauses = self.congestionPauses.current
        counters.upstreamPauses = self.upstreamPauses.current
        counters.receiptsReached = self.receiptsReached.current
        counters.receiptsFailed = self.receiptsFailed.current
        counters.receiptsLate = self.receiptsLate.current
        counters.subscriptions = self.subscriptions.current
        counters.channels = self.channels.current
        counters.channelsForgotten = self.channelsForgotten.current
        counters.originsForgotten = self.originsForgotten.current
        counters.tokensAccepted = self.tokensAccepted.current
        counters.tokensExpired = self.tokensExpired.current
        counters.tokensNotActive = self.tokensNotActive.current
        counters.tokensRevoked = self.tokensRevoked.current
        counters.tokensInvalid = self.tokensInvalid.current
        counters.tokensExpiredInSession = self.tokensExpiredInSession.current
        counters.anonymousRefused = self.anonymousRefused.current
        counters.connectionsRevoked = self.connectionsRevoked.current
        counters.subscribesDenied = self.subscribesDenied.current
        counters.publishesDenied = self.publishesDenied.current
        counters.applicationPauses = self.applicationPauses.current
        counters.callsTimedOut = self.callsTimedOut.current
        counters.messagesCompressed = self.messagesCompressed.current
        counters.messagesInflated = self.messagesInflated.current
        counters.batchesSent = self.batchesSent.current
        counters.handshakesBlocked = self.handshakesBlocked.current
        counters.messagesBlocked = self.messagesBlocked.current
        counters.actionsBlocked = self.actionsBlocked.current
        counters.deliveriesBlocked = self.deliveriesBlocked.current
        counters.decisionsTimedOut = self.decisionsTimedOut.current
        return counters
    }
}
