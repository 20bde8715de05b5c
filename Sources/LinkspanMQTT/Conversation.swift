internal import Glibc
internal import LinkspanBridgeKit

/// One conversation with a broker that accepted us. Lives on one thread, which sleeps in `poll`.
///
/// A turn of its loop: wait, take work and queue it, read, hand over what arrived, write, report what was confirmed, look at the
/// clocks. Work comes before reading because the first work brings the whole interest, by which arrivals of a kept session are judged.
struct Conversation: ~Copyable {
    let plan: ConversationPlan
    let link: BridgeLink
    let signal: WakeSignal
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
    var mayHaveArrivals = false

    private var keptAliveAt: ContinuousClock.Instant
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
    static let keptBatchLimit = 256
    /// Most batches that the server has not taken, unless the broker waits for each.
    static let batchesUnderWayLimit = 16
    /// Most messages that the broker may have under way to us: several batches, so that it goes on sending while our thread waits for a core.
    static let ingressLimit = 1000
    /// Payload bytes of one turn, each way, from which on no further message is added.
    static let batchByteLimit = 1 << 20

    /// Connects, converses, says good-bye. Returns when the task is cancelled.
    static func run(
        plan: ConversationPlan, memory: SessionMemory, link: BridgeLink, signal: WakeSignal
    ) throws(UpstreamError) {
        guard let connected = try Connecting.connect(plan: plan, upstream: link.upstream, signal: signal) else {
            return
        }
        let answer = connected.answer
        let isResumed = plan.keepsSession && answer.isSessionPresent
        let promises = BrokerPromises(plan: plan).atConnect(answer, isReturn: memory.hasConversed)
        if let unusable = promises.first(where: { $0.state == .broken && $0.name == BrokerPromises.maximum }) {
            for promise in promises { link.noted(promise) }
            // The library refuses to send with a QoS that the broker does not take.
            throw UpstreamError(.promise, "\(unusable.name): \(unusable.reason)")
        }
        memory.hasConversed = true
        let startedAt = ContinuousClock.now
        var conversation = Conversation(plan: plan, link: link, signal: signal, connected: connected)
        if isResumed { conversation.strangers.sessionResumed(keeping: memory.keptFilters) }
        defer { memory.keptFilters = conversation.strangers.keptFilters(beside: conversation.filters.active) }
        do {
            try conversation.converse(UpstreamFacts(resumedSession: isResumed, promises: promises))
        } catch {
            conversation.reportLastWords()
            throw memory.judge(error, after: .now - startedAt, clientID: plan.clientID)
        }
    }

    private init(plan: ConversationPlan, link: BridgeLink, signal: WakeSignal, connected: consuming Connected) {
        let answer = connected.answer
        self.plan = plan
        self.promises = BrokerPromises(plan: plan)
        self.filters = TopicFilters(unshared: plan.unsharedNames)
        self.link = link
        self.signal = signal
        self.handle = connected.handle
        self.now = .now
        self.keptAliveAt = self.now
        self.writableSince = self.now
        self.batches = BatchesUnderWay(signal: signal, limit: plan.keepsSession ? 1 : Self.batchesUnderWayLimit)
        self.windowLimit = plan.qos == 0 ? plan.window : min(plan.window, max(1, answer.receiveMaximum ?? 65535))
        let keepalive = answer.keepalive.flatMap { $0 == 0 ? nil : min($0, Int(plan.keepalive)) } ?? Int(plan.keepalive)
        self.deafnessLimit = .seconds(keepalive) / 2
    }

    private mutating func converse(_ facts: UpstreamFacts) throws(UpstreamError) {
        let signal = self.signal
        self.link.connected(facts)
        self.link.onWork { signal.raise() }
        while !signal.isCancelled {
            let ready = self.waitForEvents()
            self.now = .now
            if ready.isSignalled {
                signal.clear()
                self.mayHaveWork = true
            }
            self.noteTaken()
            do throws(MosquittoError) {
                try self.sendWork()
                if self.mayRead, ready.isReadable || self.mayHaveArrivals { try self.receive() }
                if self.mayWrite, self.handle.wantsWrite { try self.write() }
                if self.now - self.keptAliveAt >= .seconds(1) {
                    self.keptAliveAt = self.now
                    try self.handle.keepAlive()
                }
            } catch {
                throw self.loss(error)
            }
            self.takeAnswers()
            try self.reportPublished()
            try self.checkConnection()
        }
        self.sayGoodbye()
    }

    /// While acknowledgements are withheld nothing may be written: the library's queue has them already.
    var mayWrite: Bool { !(self.plan.keepsSession && self.batches.count > 0) }

    var ingressBatchLimit: Int { self.plan.keepsSession ? Self.keptBatchLimit : Self.batchLimit }

    /// Reading on while acknowledgements are withheld would only add to them.
    var mayRead: Bool { !self.batches.isFull }

    /// What to wait for at the connection.
    var events: Int32 { (self.mayRead ? POLLIN : 0) | (self.mayWrite && self.handle.wantsWrite ? POLLOUT : 0) }

    private func waitForEvents() -> PollResult {
        // Work that may be waiting raises no further signal: sleeping here would lose it until the next one.
        let mustHurry =
            (self.hasRoom && (self.mayHaveWork || self.hasPending)) || (self.mayRead && self.mayHaveArrivals)
        return PollResult.wait(
            signal: self.signal, descriptor: self.handle.descriptor, events: self.events,
            timeout: mustHurry ? .zero : .seconds(1) - (.now - self.keptAliveAt))
    }

    private mutating func write() throws(MosquittoError) {
        let isBurst = self.queuedCount > 1
        self.queuedCount = 0
        try self.handle.write(isBurst: isBurst)
    }

    mutating func noteTaken() {
        let wasWithholding = !self.mayWrite
        self.batches.noteTaken()
        if wasWithholding, self.mayWrite { self.writableSince = self.now }
    }

    private func checkConnection() throws(UpstreamError) {
        if self.handle.descriptor < 0 { throw self.loss(MosquittoError(MosquittoError.Code.lost)) }
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
    private func loss(_ error: MosquittoError) -> UpstreamError {
        if let reason = self.handle.inbox.disconnectReason, reason >= 0x80 { return ReasonCode.disconnection(reason) }
        return switch error.code {
        case MosquittoError.Code.keepalive: UpstreamError(.silent, "\(error)")
        case 2, MosquittoError.Code.malformedText, 21, 22: UpstreamError(.protocolViolation, "\(error)")
        default: UpstreamError(.lost, "\(error)")
        }
    }

    /// Hands over and reports what the broker said before the conversation failed.
    private mutating func reportLastWords() {
        self.handOverArrivals()
        // The conversation has its reason to end already.
        try? self.reportPublished()
    }

    /// Lets the server finish taking what arrived, acknowledges it, and disconnects, all within ``farewellLimit`` or ``leavingLimit``.
    private mutating func sayGoodbye() {
        let deadline = ContinuousClock.now + (self.plan.group == nil ? Self.farewellLimit : Self.leavingLimit)
        self.noteTaken()
        while !self.mayWrite, .now < deadline {
            let ready = PollResult.wait(signal: self.signal, descriptor: -1, events: 0, timeout: deadline - .now)
            if ready.isSignalled { self.signal.clear() }
            self.noteTaken()
        }
        // What the server has not taken must not be acknowledged; without a good-bye the broker will send it again.
        guard self.mayWrite else { return }
        do {
            try self.leaveGroup(until: deadline)
            guard self.mayWrite else { return }
            try self.handle.disconnect()
            while self.handle.descriptor >= 0, .now < deadline {
                try self.handle.write()
                if self.handle.descriptor < 0 { break }
                _ = PollResult.wait(
                    signal: self.signal, descriptor: self.handle.descriptor, events: POLLOUT, timeout: deadline - .now)
            }
            try self.reportPublished()
        } catch {
            // The broker notices a connection that ends without DISCONNECT as well.
        }
    }
}
