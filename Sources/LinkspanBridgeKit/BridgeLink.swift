public import Logging
public import NIOCore

/// One envelope on its way to an upstream.
public struct EgressMessage: Sendable {
    /// Names this message in confirmations; increases by one from message to message of one bridge, for the life of the instance.
    public var ticket: UInt64
    /// The upstream name: mapped, escaped and checked for length.
    public var name: String
    /// The JSON of the publish, or the whole JSON envelope when the bridge does not carry headers; empty for a publish without data.
    public var payload: ByteBuffer
    /// Nil when the bridge does not carry headers, and for messages that are raw on purpose (occupancy events).
    public var header: EnvelopeHeader?
    /// After this time the message is worth nothing, and the upstream need not keep it for who is away: a probe. Nil for everything else.
    ///
    /// A bridge passes it on where its upstream has a way to say so, and may send such a message with a lower promise than the rule's.
    public var lifetime: Duration?

    public init(
        ticket: UInt64, name: String, payload: ByteBuffer, header: EnvelopeHeader?, lifetime: Duration? = nil
    ) {
        self.ticket = ticket
        self.name = name
        self.payload = payload
        self.header = header
        self.lifetime = lifetime
    }
}

/// One message as it came from an upstream.
public struct IngressMessage: Sendable {
    /// The upstream name, unmapped.
    public var name: String
    public var payload: ByteBuffer
    /// Nil when it came without one, or when the bridge does not carry headers; the host then looks for a JSON envelope.
    public var header: EnvelopeHeader?

    public init(name: String, payload: ByteBuffer, header: EnvelopeHeader? = nil) {
        self.name = name
        self.payload = payload
        self.header = header
    }
}

/// A change of what the upstream should send us.
public enum InterestChange: Hashable, Sendable {
    case subscribe(UpstreamFilter)
    case unsubscribe(UpstreamFilter)
}

/// What there is to do for an upstream: interest first, then messages, each in order.
public struct LinkWork: Sendable {
    public var interest: [InterestChange]
    public var egress: [EgressMessage]

    public init(interest: [InterestChange] = [], egress: [EgressMessage] = []) {
        self.interest = interest
        self.egress = egress
    }

    public var isEmpty: Bool { self.interest.isEmpty && self.egress.isEmpty }
}

/// What an upstream told about itself when it accepted us, for status and logs.
public struct UpstreamFacts: Sendable, Hashable {
    /// Product and version, such as `RabbitMQ 3.10.8`, when the protocol tells.
    public var product: String?
    /// Whether the upstream had kept our session or queue from before.
    public var resumedSession: Bool
    /// What was seen of the things that the guarantee rests on; empty when it needs none.
    public var promises: [UpstreamPromise]

    public init(product: String? = nil, resumedSession: Bool = false, promises: [UpstreamPromise] = []) {
        self.product = product
        self.resumedSession = resumedSession
        self.promises = promises
    }
}

/// Why a message that was handed over will never be confirmed.
public enum EgressRefusal: String, Sendable, Hashable, CaseIterable {
    /// The upstream (or its library) does not accept the name.
    case badName = "bad_name"
    case tooLarge = "too_large"
    case forbidden
    /// The upstream said no for another reason, and would again.
    case rejected
    /// Accepted by the upstream, which had nowhere to put it (AMQP mandatory return).
    case unroutable
}

/// The host's side of a conversation, as one call of ``Bridge/run(on:)`` sees it.
///
/// Every method may be called on any thread and takes at most one short lock. Work crosses in batches.
public final class BridgeLink: Sendable {
    public let logger: Logger

    /// The URL to use this time; the host walks through the configured ones.
    public let upstream: UpstreamURL

    /// A loop that serves clients, for a bridge that lives on one; nil when the host has none to lend. It runs as long as the conversation.
    ///
    /// Between clients and such a bridge no thread has to be woken. Whatever takes long there delays those clients: files are read elsewhere.
    /// A C library that reads its socket itself can live there with a ``DescriptorWatch``.
    public let eventLoop: (any EventLoop)?

    private let host: any BridgeLinkHost

    package init(
        logger: Logger, upstream: UpstreamURL, eventLoop: (any EventLoop)? = nil, host: any BridgeLinkHost
    ) {
        self.logger = logger
        self.upstream = upstream
        self.eventLoop = eventLoop
        self.host = host
    }

    /// Says that the upstream accepted us: authenticated, ready to subscribe and publish.
    ///
    /// With a broken promise among `facts` the host may have nothing to do for the bridge and end the conversation.
    public func connected(_ facts: UpstreamFacts) {
        self.host.connected(facts)
    }

    /// Says what was seen of a promise beside ``connected(_:)``: before it by a bridge that cannot go on, after it when something changes.
    ///
    /// A promise that is broken after ``connected(_:)`` does not end the conversation, but the bridge is not ready.
    public func noted(_ promise: UpstreamPromise) {
        self.host.noted(promise)
    }

    /// Says what was seen of promises when the bridge looked at them once more, while it converses.
    ///
    /// A broken one among them is treated as with ``connected(_:)``: the host may end the conversation.
    public func reviewed(_ promises: [UpstreamPromise]) {
        self.host.reviewed(promises)
    }

    /// Installs the call that announces new work; it replaces an earlier one.
    ///
    /// `wake` is called on any thread, once, when there is work after a ``takeWork(upTo:)`` that came back with less than its limit; also
    /// once at installation when there is work already. It must not block and must not call back into the link.
    public func onWork(_ wake: @escaping @Sendable () -> Void) {
        self.host.onWork(wake)
    }

    /// Takes what there is to do: all interest changes, and up to `limit` messages. Never waits.
    ///
    /// Messages taken are in flight until confirmed or refused, or until this conversation ends; the host then decides, by the rule's
    /// guarantee, whether to send them again or to count them as dropped.
    public func takeWork(upTo limit: Int) -> LinkWork {
        self.host.takeWork(upTo: limit)
    }

    /// Waits until there is work, and takes it, for bridges that do not own a thread; empty only when the task is cancelled.
    ///
    /// Do not mix with ``onWork(_:)``, and call it from one task only.
    public func nextWork(upTo limit: Int) async -> LinkWork {
        while !Task.isCancelled {
            let work = self.takeWork(upTo: limit)
            if !work.isEmpty { return work }
            let (signals, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            self.onWork { continuation.yield() }
            for await _ in signals { break }
        }
        return LinkWork()
    }

    /// The upstream has these messages, as far as the guarantee asks it to say so.
    public func confirm(_ tickets: ClosedRange<UInt64>) {
        self.host.confirm(tickets)
    }

    /// The upstream will never take this message. It is counted with its reason and not sent again.
    public func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {
        self.host.refuse(ticket, reason)
    }

    /// Hands over what arrived, in order; `whenTaken` runs on any thread once the server has taken all of it.
    ///
    /// That is the moment to acknowledge upstream. Keep at most a few batches under way and read no further until they are taken:
    /// that is how a full server slows its upstream.
    public func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void) {
        self.host.deliver(messages, whenTaken: whenTaken)
    }

    /// The same, returning when the messages are taken.
    public func deliver(_ messages: [IngressMessage]) async {
        await withCheckedContinuation { continuation in
            self.host.deliver(messages) { continuation.resume() }
        }
    }

    /// The upstream accepted or refused a subscription.
    public func interestSettled(_ filter: UpstreamFilter, accepted: Bool) {
        self.host.interestSettled(filter, accepted: accepted)
    }
}

/// What a ``BridgeLink`` calls; the server's bridge host and the test host of LinkspanBridgeTesting implement it.
package protocol BridgeLinkHost: Sendable {
    func connected(_ facts: UpstreamFacts)
    func noted(_ promise: UpstreamPromise)
    func reviewed(_ promises: [UpstreamPromise])
    func onWork(_ wake: @escaping @Sendable () -> Void)
    func takeWork(upTo limit: Int) -> LinkWork
    func confirm(_ tickets: ClosedRange<UInt64>)
    func refuse(_ ticket: UInt64, _ reason: EgressRefusal)
    func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void)
    func interestSettled(_ filter: UpstreamFilter, accepted: Bool)
}
