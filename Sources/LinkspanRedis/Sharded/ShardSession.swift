internal import LinkspanBridgeKit
internal import NIOCore

/// One conversation with a cluster by sharded Pub/Sub: connections to every node that has slots, and each message and subscription at
/// the node that has its name's slot.
///
/// When a slot gets another owner, the conversation goes on: messages that the old one turned away are sent to the new one, in order,
/// and its subscriptions follow. It ends when a node is lost that has slots.
///
/// Confined to its event loop.
final class ShardSession {
    private let link: BridgeLink
    /// To whose answer the first map is.
    private let transport: Transport
    private let login: Login
    private let options: RedisOptions

    private var eventLoop: any EventLoop { self.transport.eventLoop }
    private var asked: UpstreamURL { self.transport.url }

    private var nodes: [NodeAddress: ShardNode] = [:]
    private var nextNumber = 0
    /// Where messages go.
    private var routes: SlotMap
    /// The node of each number in ``routes``.
    private var routeNodes: [ShardNode?] = []
    /// Where subscriptions are: these may follow a slot at once, messages must wait for those under way.
    private var interest: ShardInterest
    private var window: ShardWindow
    /// To be put in force when all messages under way are answered.
    private var nextRoutes: SlotMap?
    private var isRouting = false
    private var isPausing = false
    private var isPauseOver = false
    private var isResubscribing = false
    private var isAskingForSlots = false
    private var nextAsked = 0
    private var refresh: Scheduled<Void>?
    private var facts = UpstreamFacts()

    private var done: EventLoopPromise<Void>?
    private var isConnected = false
    private var isLeaving = false
    private var error: UpstreamError?
    private var deadline: Scheduled<Void>?

    /// Most bytes sent and not yet answered.
    private static let windowBytes = 1 << 20
    /// Most messages taken at once: the limit of the window in bytes is looked at between.
    private static let takeLimit = 512
    /// Between two attempts while nodes send us to and fro.
    private static let pause = TimeAmount.milliseconds(50)
    /// So many of them, ten seconds, and the nodes will not agree soon.
    private static let roundLimit = 200
    private static let roundsWithoutPause = 2

    init(link: BridgeLink, transport: Transport, map: SlotMap, login: Login, options: RedisOptions) {
        self.link = link
        self.transport = transport
        self.login = login
        self.options = options
        self.routes = map
        self.interest = ShardInterest(map: map)
        self.window = ShardWindow(messageLimit: options.window, byteLimit: Self.windowBytes)
    }

    /// Connects; the future completes when the conversation is over and fails with ``UpstreamError`` when it did not end by ``leave()``.
    func start() -> EventLoopFuture<Void> {
        if self.isLeaving { return self.eventLoop.makeSucceededVoidFuture() }
        let done = self.eventLoop.makePromise(of: Void.self)
        self.done = done
        self.route()
        return done.futureResult
    }

    /// Ends in order: what was sent is answered first, for at most a second.
    func leave() {
        guard !self.isLeaving, self.error == nil else { return }
        self.isLeaving = true
        // A cancellation may overtake the start.
        if self.done == nil { return }
        self.deadline = self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { self.endNodes(nil) }
        self.refresh?.cancel()
        for node in self.nodes.values { node.leave() }
        self.finishIfOver()
    }

    // MARK: Nodes

    /// The node with this address, connecting when it is new.
    private func node(at address: NodeAddress) -> ShardNode? {
        if let node = self.nodes[address] { return node }
        guard self.error == nil, !self.isLeaving else { return nil }
        let node = ShardNode(address, number: self.nextNumber, delegate: self)
        self.nextNumber += 1
        self.nodes[address] = node
        node.connect(
            link: self.link, transport: self.transport.to(address), login: self.login, options: self.options)
        self.limitConnecting(of: node)
        return node
    }

    private func limitConnecting(of node: ShardNode) {
        let limit = self.options.connectTimeout
        self.eventLoop.assumeIsolated().scheduleTask(in: limit) { [weak node, asked] in
            guard let node, !node.isReady else { return }
            node.end(
                UpstreamError(
                    .unreachable,
                    "\(node.address.host):\(node.address.port) of the cluster at \(asked) did not let us in within "
                        + "\(Double(limit.nanoseconds) / 1e9) s"))
        }
    }

    private func fail(_ error: UpstreamError) {
        guard self.error == nil, !self.isLeaving else { return }
        self.error = error
        self.endNodes(error)
        self.finishIfOver()
    }

    private func endNodes(_ error: UpstreamError?) {
        self.confirmAnswered()
        for node in Array(self.nodes.values) { node.end(error) }
    }

    private func finishIfOver() {
        guard self.error != nil || self.isLeaving, self.nodes.values.allSatisfy({ $0.openConnections == 0 }) else {
            return
        }
        self.confirmAnswered()
        self.deadline?.cancel()
        self.refresh?.cancel()
        guard let done = self.done else { return }
        self.done = nil
        if let error = self.error { done.fail(error) } else { done.succeed() }
    }

    private func isNeeded(_ node: ShardNode) -> Bool {
        self.routes.has(node.address) || self.interest.map.has(node.address)
    }

    // MARK: Messages

    private var isUp: Bool { self.isConnected && self.error == nil && !self.isLeaving }

    private var room: Int {
        guard !self.isRouting, self.routeNodes.allSatisfy({ $0?.isWritable ?? true }) else { return 0 }
        return min(self.window.room, Self.takeLimit)
    }

    /// Takes what there is to do, as far as there is room.
    private func pump() {
        while self.isUp {
            let room = self.room
            if room == 0 { return }
            let work = self.link.takeWork(upTo: room)
            if !work.interest.isEmpty { self.perform(self.interest.interestChanged(work.interest)) }
            if !work.egress.isEmpty { self.send(work.egress) }
            if work.egress.count < room { return }
        }
    }

    private func send(_ messages: [EgressMessage]) {
        var drafts = [ByteBuffer?](repeating: nil, count: self.routeNodes.count)
        for message in messages {
            guard let owner = self.routes.owner(of: HashSlot.of(message.name)), let node = self.routeNodes[owner] else {
                return self.fail(UpstreamError(.lost, "no node of the cluster has the slot of a message"))
            }
            var draft = drafts[owner] ?? ByteBuffer()
            drafts[owner] = nil
            let start = draft.writerIndex
            draft.writeShardPublish(name: message.name, payload: message.payload)
            self.window.sent(message, bytes: draft.writerIndex - start, to: node.number)
            drafts[owner] = draft
        }
        for (owner, draft) in drafts.enumerated() {
            if let draft { self.routeNodes[owner]?.write(draft) }
        }
    }

    private func confirmAnswered() {
        self.window.takeConfirmed(self.link.confirm)
    }

    // MARK: Routes

    /// When no message is under way: puts what is known of the slots in force, waits for the nodes that this needs, and sends again what
    /// was sent on.
    private func route() {
        guard self.error == nil, !self.isLeaving, self.window.messages == 0 else { return }
        if let next = self.nextRoutes {
            self.nextRoutes = nil
            self.routes = next
            self.perform(self.interest.mapChanged(next))
        }
        for redirection in self.window.redirections {
            guard self.routes.move(redirection.slot, to: redirection.address) else {
                return self.fail(UpstreamError(.lost, "the cluster has more than \(SlotMap.nodeLimit) nodes"))
            }
        }
        let owners = self.routes.owningNodes
        self.routeNodes = self.routes.nodes.indices.map { index in
            owners.contains(index) ? self.node(at: self.routes.nodes[index]) : nil
        }
        guard self.error == nil else { return }
        guard self.routeNodes.allSatisfy({ $0?.isReady ?? true }) else { return }
        guard self.window.isSettling else { return self.routed() }
        if self.window.redirectRounds >= Self.roundsWithoutPause, !self.isPauseOver { return self.pauseRouting() }
        guard self.window.redirectRounds < Self.roundLimit else {
            return self.fail(UpstreamError(.lost, "the nodes of the cluster do not agree about who has which slot"))
        }
        self.isPauseOver = false
        self.send(self.window.takeRedirected())
        self.routed()
    }

    private func routed() {
        self.isRouting = false
        if !self.isConnected { self.connected() }
        self.pump()
    }

    private func pauseRouting() {
        guard !self.isPausing else { return }
        self.isPausing = true
        self.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPausing = false
            self.isPauseOver = true
            self.route()
        }
    }

    private func connected() {
        self.isConnected = true
        self.link.connected(self.facts)
        // The host keeps this closure until the next conversation, which must not keep this one alive.
        let session = NIOLoopBound(Weak(self), eventLoop: self.eventLoop)
        self.link.onWork { [eventLoop] in
            eventLoop.execute { session.value.object?.pump() }
        }
        self.refresh = self.eventLoop.assumeIsolated().scheduleTask(in: self.options.pingInterval) {
            self.refreshRoutes()
        }
    }

    /// Asks one node after the other who has which slot: a node that was cut off from the rest does not know that another took its place.
    private func refreshRoutes() {
        guard self.isUp else { return }
        self.refresh = self.eventLoop.assumeIsolated().scheduleTask(in: self.options.pingInterval) {
            self.refreshRoutes()
        }
        let known = self.routeNodes.compactMap(\.self)
        guard !known.isEmpty, !self.isAskingForSlots else { return }
        self.nextAsked = (self.nextAsked + 1) % known.count
        let node = known[self.nextAsked]
        self.isAskingForSlots = true
        self.sendAside(["CLUSTER", "SLOTS"], .slots, to: node)
    }

    private func sendAside(_ command: [String], _ aside: ShardWindow.Aside, to node: ShardNode) {
        var buffer = ByteBuffer()
        buffer.writeCommand(command)
        self.window.sent(aside, to: node.number)
        node.write(buffer)
    }

    private func slotsReceived(_ answer: [ReplyValue], from node: ShardNode) {
        self.isAskingForSlots = false
        guard let next = self.routes.updated(answer, askedAt: node.address.host) else { return }
        self.nextRoutes = next
        self.isRouting = true
    }

    // MARK: Subscriptions

    private func perform(_ step: ShardInterest.Step) {
        for settled in step.settled { self.link.interestSettled(settled.filter, accepted: settled.accepted) }
        for command in step.commands { self.node(at: command.node)?.subscribe(command.arguments) }
        if self.interest.isPausing, !self.isResubscribing {
            self.isResubscribing = true
            self.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
                self.isResubscribing = false
                guard self.isUp else { return }
                self.perform(self.interest.pauseOver())
            }
        }
    }
}

extension ShardSession: ShardNodeDelegate {
    func isReady(_ node: ShardNode, _ facts: UpstreamFacts) {
        self.facts = facts
        if self.isRouting || !self.isConnected { self.route() }
    }

    func replyReceived(_ reader: ReplyReader, from node: ShardNode) throws(UpstreamError) {
        let isError = reader.token(at: 0).kind == .error
        let error = isError ? ErrorReply(text: reader.text(at: 0)) : nil
        switch self.window.replyReceived(from: node.number, at: node.address.host, error: error) {
        case .none, .answered(.ping):
            if self.window.isSettling { self.isRouting = true }
        case .answered(.slots):
            self.slotsReceived(reader.values, from: node)
        case .refuse(let ticket, let reason):
            self.link.refuse(ticket, reason)
        case .end(let code):
            self.confirmAnswered()
            throw reader.refusal(code)
        case .unexpected:
            try reader.checkFarewell()
        }
    }

    func repliesCompleted() {
        self.confirmAnswered()
        if self.isRouting { self.route() } else { self.pump() }
    }

    func subscribed(_ name: String, at node: ShardNode) throws(UpstreamError) {
        self.perform(try self.interest.subscribed(name, at: node.address))
    }

    func unsubscribed(_ name: String, at node: ShardNode) {
        self.perform(self.interest.unsubscribed(name, at: node.address))
    }

    func pongReceived(from node: ShardNode) throws(UpstreamError) {
        try self.interest.pongReceived(from: node.address)
    }

    func errorReceived(_ error: ErrorReply, from node: ShardNode) throws(UpstreamError) {
        guard let redirection = Redirection(error.text, from: node.address.host) else {
            return self.perform(try self.interest.errorReceived(error, at: node.address))
        }
        self.perform(try self.interest.redirected(redirection, by: node.address))
    }

    func pingDue(_ connection: ShardNode.Purpose, at node: ShardNode) {
        switch connection {
        case .commands:
            self.sendAside(["PING"], .ping, to: node)
        case .subscriptions:
            self.interest.pingSent(to: node.address)
            node.subscribe(["PING"])
        }
    }

    func connectionEnded(_ error: UpstreamError?, of node: ShardNode) {
        if self.error == nil, !self.isLeaving {
            guard self.isNeeded(node) else {
                // It has left the cluster, or has become a replica and can do nothing for us.
                node.end(nil)
                if node.openConnections == 0 { self.nodes[node.address] = nil }
                return self.perform(self.interest.nodeLost(node.address))
            }
            self.fail(error ?? UpstreamError(.lost, "a connection to a node of \(self.asked) was closed"))
        }
        self.finishIfOver()
    }
}

@available(*, unavailable)
extension ShardSession: Sendable {}
