internal import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix

/// The connection by which messages come in.
protocol IngressRole: ConnectionRole {
    var connection: (any RedisConnection)? { get set }

    /// Redis has let us in. The role says when it is ready for interest, and whether it goes on where an earlier conversation ended.
    func start(whenReady: @escaping (_ resumesSession: Bool) -> Void)

    func interestChanged(_ changes: [InterestChange])
}

/// One conversation: a connection for commands and one for what comes in, because one that has subscribed, or waits for a stream,
/// can do nothing else.
///
/// Confined to its event loop. Ends when either connection ends.
final class LinkSession<Ingress: IngressRole> {
    private let link: BridgeLink
    /// To who was found at the upstream's URL.
    private let transport: Transport
    /// Of the connection for commands, which asks more than the other.
    private let commandLogin: Login
    private let login: Login
    private let options: RedisOptions
    private var done: EventLoopPromise<Void>?
    private var egress: ReplyHandler<EgressRole>!
    private var ingress: ReplyHandler<Ingress>!
    private let makeRoles: (LinkSession) -> (EgressRole, Ingress)
    private var facts: UpstreamFacts?
    private var readyConnections = 0
    private var resumesSession = false
    private var remaining = 2
    private var error: UpstreamError?
    private var deadline: Scheduled<Void>?
    private var isLeaving = false

    private var eventLoop: any EventLoop { self.transport.eventLoop }
    private var server: UpstreamURL { self.transport.url }
    private var isUp: Bool { self.readyConnections == 2 && self.error == nil && !self.isLeaving }

    /// - Parameter makeRoles: called once, at the start; the roles may call ``pump()``, and hold the session weakly or unowned.
    init(
        link: BridgeLink, transport: Transport, commandLogin: Login, login: Login, options: RedisOptions,
        makeRoles: @escaping (LinkSession) -> (EgressRole, Ingress)
    ) {
        self.link = link
        self.transport = transport
        self.commandLogin = commandLogin
        self.login = login
        self.options = options
        self.makeRoles = makeRoles
    }

    /// Connects; the future completes when the conversation is over and fails with ``UpstreamError`` when it did not end by ``leave()``.
    func start() -> EventLoopFuture<Void> {
        if self.isLeaving { return self.eventLoop.makeSucceededVoidFuture() }
        let done = self.eventLoop.makePromise(of: Void.self)
        self.done = done
        let (egress, ingress) = self.makeRoles(self)
        self.egress = self.handler(egress, self.commandLogin, name: "the command connection to \(self.server)") {
            [unowned self] in
            self.facts = $0
            self.connectionReady()
        }
        egress.connection = self.egress
        self.ingress = self.handler(ingress, self.login, name: "the receiving connection to \(self.server)") {
            [unowned self] _ in
            ingress.start { [unowned self] resumesSession in
                self.resumesSession = resumesSession
                self.connectionReady()
            }
        }
        ingress.connection = self.ingress
        let limit = self.options.connectTimeout
        self.deadline = self.eventLoop.assumeIsolated().scheduleTask(in: limit) {
            self.end(
                UpstreamError(
                    .unreachable, "\(self.server) did not let us in within \(Double(limit.nanoseconds) / 1e9) s")
            )
        }
        self.transport.connect(self.egress, name: "\(self.server)")
        self.transport.connect(self.ingress, name: "\(self.server)")
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
        self.ingress.end(nil)
        self.egress.leave()
    }

    /// Takes what there is to do, as far as there is room.
    func pump() {
        while self.isUp {
            let room = min(self.egress.role.room, Self.takeLimit)
            if room == 0 { return }
            let work = self.link.takeWork(upTo: room)
            if !work.interest.isEmpty { self.ingress.role.interestChanged(work.interest) }
            if !work.egress.isEmpty { self.egress.role.send(work.egress) }
            if work.egress.count < room { return }
        }
    }

    /// Most messages taken at once: the limit of the window in bytes is looked at between.
    private static var takeLimit: Int { 512 }

    private func handler<Role>(
        _ role: Role, _ login: Login, name: String, isOpen: @escaping (UpstreamFacts) -> Void
    ) -> ReplyHandler<Role> {
        ReplyHandler(
            role: role, name: name, login: login,
            liveness: Liveness(interval: self.options.pingInterval, timeout: self.options.pingTimeout, now: .now()),
            isOpen: isOpen, ended: { [unowned self] in self.ended($0) })
    }

    private func connectionReady() {
        self.readyConnections += 1
        guard self.isUp, var facts = self.facts else { return }
        self.deadline?.cancel()
        facts.resumedSession = self.resumesSession
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
        self.ingress.end(error)
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
extension LinkSession: Sendable {}
