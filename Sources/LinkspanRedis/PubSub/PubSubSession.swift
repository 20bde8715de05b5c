internal import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix

/// One conversation over Pub/Sub: two connections, because a connection that has subscribed may send nothing else.
///
/// Confined to its event loop. Ends when either connection ends.
final class PubSubSession {
    private let link: BridgeLink
    private let options: RedisOptions
    private let eventLoop: any EventLoop
    private var done: EventLoopPromise<Void>?
    private var egress: ReplyHandler<EgressRole>!
    private var subscriptions: ReplyHandler<SubscriptionRole>!
    private var facts: [UpstreamFacts] = []
    private var remaining = 2
    private var error: UpstreamError?
    private var deadline: Scheduled<Void>?
    private var isLeaving = false

    private var isUp: Bool { self.facts.count == 2 && self.error == nil && !self.isLeaving }

    init(link: BridgeLink, options: RedisOptions, eventLoop: any EventLoop) {
        self.link = link
        self.options = options
        self.eventLoop = eventLoop
    }

    /// Connects; the future completes when the conversation is over and fails with ``UpstreamError`` when it did not end by ``leave()``.
    func start() -> EventLoopFuture<Void> {
        if self.isLeaving { return self.eventLoop.makeSucceededVoidFuture() }
        let transport: Transport
        do throws(UpstreamError) {
            transport = try Transport(url: self.link.upstream, options: self.options, eventLoop: self.eventLoop)
        } catch {
            return self.eventLoop.makeFailedFuture(error)
        }
        let done = self.eventLoop.makePromise(of: Void.self)
        self.done = done
        let window = EgressWindow(messageLimit: self.options.window, byteLimit: 1 << 20)
        self.egress = self.handler(
            EgressRole(
                link: self.link, window: window, encode: { $1.writePublish(name: $0.name, payload: $0.payload) },
                repliesCompleted: { [unowned self] in self.pump() }),
            name: "the command connection to \(self.link.upstream)")
        self.egress.role.connection = self.egress
        self.subscriptions = self.handler(
            SubscriptionRole(link: self.link, eventLoop: self.eventLoop),
            name: "the subscription connection to \(self.link.upstream)")
        self.subscriptions.role.connection = self.subscriptions
        let limit = self.options.connectTimeout
        self.deadline = self.eventLoop.assumeIsolated().scheduleTask(in: limit) {
            self.end(
                UpstreamError(
                    .unreachable, "\(self.link.upstream) did not let us in within \(Double(limit.nanoseconds) / 1e9) s")
            )
        }
        transport.connect(self.egress, name: "\(self.link.upstream)")
        transport.connect(self.subscriptions, name: "\(self.link.upstream)")
        return done.futureResult
    }

    /// Ends in order: what was sent is answered first, for at most a second.
    func leave() {
        guard !self.isLeaving, self.remaining > 0 else { return }
        self.isLeaving = true
        // A cancellation may overtake the start.
        if self.done == nil { return }
        self.deadline?.cancel()
        self.deadline = self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { self.end(nil) }
        self.subscriptions.end(nil)
        self.egress.leave()
    }

    /// Takes what there is to do, as far as there is room.
    func pump() {
        while self.isUp {
            let room = min(self.egress.role.room, Self.takeLimit)
            if room == 0 { return }
            let work = self.link.takeWork(upTo: room)
            if !work.interest.isEmpty { self.subscriptions.role.interestChanged(work.interest) }
            if !work.egress.isEmpty { self.egress.role.send(work.egress) }
            if work.egress.count < room { return }
        }
    }

    /// Most messages taken at once: the limit of the window in bytes is looked at between.
    private static let takeLimit = 512

    private func handler<Role>(_ role: Role, name: String) -> ReplyHandler<Role> {
        ReplyHandler(
            role: role, name: name, login: self.options.login(),
            liveness: Liveness(interval: self.options.pingInterval, timeout: self.options.pingTimeout, now: .now()),
            isOpen: { [unowned self] in self.opened($0) }, ended: { [unowned self] in self.ended($0) })
    }

    private func opened(_ facts: UpstreamFacts) {
        self.facts.append(facts)
        guard self.isUp else { return }
        self.deadline?.cancel()
        self.link.connected(facts)
        // The host keeps this closure until the next conversation, which must not keep this one alive.
        let session = NIOLoopBound(Weak(self), eventLoop: self.eventLoop)
        self.link.onWork { [eventLoop] in
            eventLoop.execute { session.value.object?.pump() }
        }
        self.pump()
    }

    private func end(_ error: UpstreamError?) {
        self.egress.end(error)
        self.subscriptions.end(error)
    }

    private func ended(_ error: UpstreamError?) {
        self.remaining -= 1
        if self.error == nil { self.error = error }
        guard self.remaining == 0 else {
            // One connection is of no use without the other. After a good-bye the other one ends by itself.
            if !self.isLeaving { self.end(error) }
            return
        }
        self.deadline?.cancel()
        if let error = self.error, !self.isLeaving { self.done?.fail(error) } else { self.done?.succeed() }
    }
}

@available(*, unavailable)
extension PubSubSession: Sendable {}

private final class Weak<Object: AnyObject> {
    weak var object: Object?

    init(_ object: Object) {
        self.object = object
    }
}
