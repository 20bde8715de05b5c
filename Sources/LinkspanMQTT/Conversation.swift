internal import LinkspanBridgeKit
internal import NIOCore

/// One conversation with a broker that accepted us. Lives on an event loop, which serves clients as well: nothing here waits.
///
/// A turn: take work and queue it, read, hand over what arrived, write, report what was confirmed, look at the clocks. Work comes before
/// reading because the first work brings the whole interest, by which arrivals of a kept session are judged. What is more than a batch
/// waits until the loop has looked at its clients.
final class Conversation {
    let plan: ConversationPlan
    let link: BridgeLink
    var handle: MosquittoHandle
    /// The time of this turn.
    var now: ContinuousClock.Instant

    // Egress
    var window = PublishWindow<ContinuousClock.Instant>()
    let windowLimit: Int
    var headerText = HeaderText()
    var pending: [EgressMessage] = []
    var pendingIndex = 0
    var mayHaveWork = true
    /// Publishes and acknowledgements that were queued since the last write.
    var queuedCount = 0
    var confirmed = TicketRanges()
    var answers: [(identifier: UInt16, reason: Int32)] = []

    // Interest
    var filters: TopicFilters
    var requests = FilterRequests<ContinuousClock.Instant>()
    var strangers = SessionStrangers()
    var promises: BrokerPromises

    // Ingress
    var batches: BatchesUnderWay
    /// Whether the last read stopped before the socket was empty, or it has filled since; at the start the library may hold what came with the
    /// acceptance.
    var mayHaveArrivals = true

    enum Phase {
        case starting
        case conversing
        /// Leaving: the server has not taken what arrived.
        case settling
        /// Leaving: the broker may still give it turns in its group.
        case leavingGroup
        /// Leaving: the socket has not taken the good-bye.
        case disconnecting
        case over
    }

    /// What the broker has not answered of ``Phase/leavingGroup``.
    var unansweredLeaves: Set<UInt16> = []

    private let memory: SessionMemory
    private let facts: UpstreamFacts
    private let eventLoop: any EventLoop
    private let startedAt: ContinuousClock.Instant
    private var done: EventLoopPromise<Void>?
    var phase = Phase.starting
    private var watch: DescriptorWatch?
    private var clock: Scheduled<Void>?
    private var deadline: Scheduled<Void>?
    /// Since when we may write, after having withheld acknowledgements.
    private var writableSince: ContinuousClock.Instant
    /// Half of the keepalive time in force: so long we may be deaf without the broker giving us up.
    private let deafnessLimit: Duration

    /// Longest time for a broker to answer what we sent, while we listen. Broken networks show earlier by it than by the keepalive.
    static let answerLimit: Duration = .seconds(10)
    /// How long a good-bye may take, and one of a member of a group, which waits for an answer; the host waits for three seconds.
    static let farewellLimit: Duration = .seconds(1)
    static let leavingLimit: Duration = .seconds(2)
    /// Most messages that are queued before they are written, or read before they are handed over: what is behind waits for all of them, half a
    /// millisecond at the pace of the library.
    static let batchLimit = 32
    /// The same of what has to be taken before the broker hears anything of us again: there a batch costs a round through the server.
    static let keptBatchLimit = 64
    /// Most batches that the server has not taken, unless the broker waits for each.
    static let batchesUnderWayLimit = 16
    /// Most messages that the broker may have under way to us: several batches, so that it goes on sending while our loop waits for a core.
    static let ingressLimit = 1000
    /// Payload bytes of one turn, each way, from which on no further message is added.
    static let batchByteLimit = 1 << 20

    /// - Precondition: on `eventLoop`.
    init(
        plan: ConversationPlan, memory: SessionMemory, link: BridgeLink, eventLoop: any EventLoop,
        connected: consuming Connected, facts: UpstreamFacts
    ) {
        let answer = connected.answer
        self.facts = facts
        self.plan = plan
        self.memory = memory
        self.link = link
        self.eventLoop = eventLoop
        self.promises = BrokerPromises(plan: plan)
        self.filters = TopicFilters(unshared: plan.unsharedNames)
        self.handle = connected.handle
        self.now = .now
        self.startedAt = self.now
        self.writableSince = self.now
        let itself = NIOLoopBound(Weak<Conversation>(), eventLoop: eventLoop)
        self.batches = BatchesUnderWay(limit: plan.keepsSession ? 1 : Self.batchesUnderWayLimit) {
            eventLoop.execute { itself.value.object?.turn() }
        }
        self.windowLimit = plan.qos == 0 ? plan.window : min(plan.window, max(1, answer.receiveMaximum ?? 65535))
        let keepalive = answer.keepalive.flatMap { $0 == 0 ? nil : min($0, Int(plan.keepalive)) } ?? Int(plan.keepalive)
        self.deafnessLimit = .seconds(keepalive) / 2
        itself.value.object = self
    }

    /// Begins to converse; the future completes when that is over, and fails with ``UpstreamError`` when it did not end by ``leave()``.
    func start() -> EventLoopFuture<Void> {
        guard self.phase == .starting else { return self.eventLoop.makeSucceededVoidFuture() }
        self.phase = .conversing
        let done = self.eventLoop.makePromise(of: Void.self)
        self.done = done
        if self.facts.resumedSession { self.strangers.sessionResumed(keeping: self.memory.keptFilters) }
        do throws(IOError) {
            self.watch = try DescriptorWatch(self.handle.descriptor, on: self.eventLoop, logger: self.link.logger) {
                [unowned self] ready in
                if ready.contains(.readable) { self.mayHaveArrivals = true }
                self.turn()
            }
        } catch {
            self.end(Self.unwatched(error))
            return done.futureResult
        }
        self.link.connected(self.facts)
        // The host keeps this closure until the next conversation, which must not keep this one alive.
        let itself = NIOLoopBound(Weak(self), eventLoop: self.eventLoop)
        self.link.onWork { [eventLoop] in
            eventLoop.execute { itself.value.object?.workCame() }
        }
        self.startClock()
        self.turn()
        return done.futureResult
    }

    /// Lets the server finish taking what arrived, acknowledges it, and disconnects, all within ``farewellLimit`` or ``leavingLimit``.
    func leave() {
        switch self.phase {
        case .starting:
            self.phase = .over
        case .conversing:
            self.phase = .settling
            let limit = self.plan.group == nil ? Self.farewellLimit : Self.leavingLimit
            self.deadline = self.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limit)) { self.end(nil) }
            self.turn()
        case .settling, .leavingGroup, .disconnecting, .over:
            return
        }
    }

    private func workCame() {
        self.mayHaveWork = true
        self.turn()
    }

    /// Sends pings, and looks at what nothing but the time tells.
    private func startClock() {
        self.clock = self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) {
            self.startClock()
            do throws(MosquittoError) {
                try self.handle.keepAlive()
            } catch {
                return self.failed(self.loss(error))
            }
            // A record of TLS may hold more than the library has taken, which no descriptor tells.
            self.mayHaveArrivals = true
            self.turn()
        }
    }

    private func turn() {
        do throws(UpstreamError) {
            switch self.phase {
            case .starting, .over: return
            case .conversing: try self.converse()
            case .settling, .leavingGroup, .disconnecting: try self.sayGoodbye()
            }
            if self.phase != .over { try self.awaitNext() }
        } catch {
            self.failed(error)
        }
    }

    private func converse() throws(UpstreamError) {
        self.now = .now
        self.noteTaken()
        do throws(MosquittoError) {
            try self.sendWork()
            if self.mayRead, self.mayHaveArrivals { try self.receive() }
            if self.mayWrite, self.handle.wantsWrite { try self.write() }
        } catch {
            throw self.loss(error)
        }
        self.takeAnswers()
        try self.reportPublished()
        try self.checkClocks()
    }

    /// Asks for the next turn.
    private func awaitNext() throws(UpstreamError) {
        // The number of a descriptor that the library has closed may be another file's by now.
        if self.handle.descriptor < 0 { throw self.loss(MosquittoError(MosquittoError.Code.lost)) }
        let reads = self.mayRead && (self.phase == .conversing || self.phase == .leavingGroup)
        var wishes: DescriptorWatch.Readiness = []
        if reads, !self.mayHaveArrivals { wishes.insert(.readable) }
        if self.mayWrite, self.handle.wantsWrite { wishes.insert(.writable) }
        do throws(IOError) {
            try self.watch?.arm(wishes)
        } catch {
            throw Self.unwatched(error)
        }
        // Work that may be waiting wakes nobody again: sleeping here would lose it until the next one.
        let hasWork = self.phase == .conversing && self.hasRoom && (self.mayHaveWork || self.hasPending)
        if hasWork || reads && self.mayHaveArrivals { self.watch?.callSoon() }
    }

    /// While acknowledgements are withheld nothing may be written: the library's queue has them already.
    var mayWrite: Bool { !(self.plan.keepsSession && self.batches.count > 0) }

    var ingressBatchLimit: Int { self.plan.keepsSession ? Self.keptBatchLimit : Self.batchLimit }

    /// Reading on while acknowledgements are withheld would only add to them.
    var mayRead: Bool { !self.batches.isFull }

    private func write() throws(MosquittoError) {
        let isBurst = self.queuedCount > 1
        self.queuedCount = 0
        try self.handle.write(isBurst: isBurst)
    }

    func noteTaken() {
        let wasWithholding = !self.mayWrite
        self.batches.noteTaken()
        if wasWithholding, self.mayWrite { self.writableSince = self.now }
    }

    private func checkClocks() throws(UpstreamError) {
        if let oldest = self.batches.oldest, self.now - oldest > self.deafnessLimit {
            throw UpstreamError(
                .stalled,
                "the server has not taken what arrived for \(self.deafnessLimit); the broker would give us up next")
        }
        guard self.mayWrite else { return }
        for sentAt in [self.window.oldest, self.requests.oldest] {
            guard let sentAt, self.now - max(sentAt, self.writableSince) > Self.answerLimit else { continue }
            throw UpstreamError(.stalled, "the broker has not answered for \(Self.answerLimit)")
        }
    }

    /// What a failed call of the library says about the upstream.
    func loss(_ error: MosquittoError) -> UpstreamError {
        if let reason = self.handle.inbox.disconnectReason, reason >= 0x80 { return ReasonCode.disconnection(reason) }
        return switch error.code {
        case MosquittoError.Code.keepalive: UpstreamError(.silent, "\(error)")
        case 2, MosquittoError.Code.malformedText, 21, 22: UpstreamError(.protocolViolation, "\(error)")
        default: UpstreamError(.lost, "\(error)")
        }
    }

    /// Hands over and reports what the broker said before the conversation failed.
    private func reportLastWords() {
        self.handOverArrivals()
        // The conversation has its reason to end already.
        try? self.reportPublished()
    }

    private static func unwatched(_ error: IOError) -> UpstreamError {
        UpstreamError(.lost, "cannot watch the connection: \(error)")
    }

    /// After a good-bye nobody asks why: the broker notices a connection that ends without DISCONNECT as well.
    private func failed(_ error: UpstreamError) {
        guard self.phase == .conversing else { return self.end(nil) }
        self.reportLastWords()
        self.end(self.memory.judge(error, after: .now - self.startedAt, clientID: self.plan.clientID))
    }

    func end(_ error: UpstreamError?) {
        if self.phase == .over { return }
        self.phase = .over
        self.watch?.close()
        self.watch = nil
        self.clock?.cancel()
        self.deadline?.cancel()
        self.memory.keptFilters = self.strangers.keptFilters(beside: self.filters.active)
        if let error { self.done?.fail(error) } else { self.done?.succeed() }
    }
}

@available(*, unavailable)
extension Conversation: Sendable {}
