internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// Runs one bridge: what the channel owners hand it, what its conversation takes, and its account of both.
///
/// Owners, the bridge's thread and status readers meet in three locks: one for egress and interest, one for ingress, one for gaps. None is held while foreign code
/// runs or another is taken.
final class BridgeRunner: Sendable {
    let plan: BridgePlan
    let clock: HostClock
    /// Whether an upstream's address accepts connections.
    let reach: @Sendable (UpstreamURL) async -> Bool
    let logger: Logger
    let hopGuard: HopGuard
    let life: InstanceLife
    private let pressure: BackPressure

    let egress: Mutex<EgressState>
    let ingress: Mutex<IngressState>
    let gaps: Mutex<GapState>
    /// Finds the bridges for repair; set once, by ``BridgeHost``.
    let ways = Mutex<RepairWays?>(nil)
    let codec: EnvelopeCodec
    /// Nil where nobody would read it.
    let journalFile: JournalFile?

    init(
        plan: BridgePlan, settings: LinkspanSettings, life: InstanceLife, pressure: BackPressure, clock: HostClock,
        reach: @escaping @Sendable (UpstreamURL) async -> Bool, logger: Logger
    ) {
        self.plan = plan
        self.life = life
        self.journalFile = plan.keepsOccupancy ? plan.journalPath.map { JournalFile($0) } : nil
        self.pressure = pressure
        self.clock = clock
        self.reach = reach
        var logger = logger
        logger[metadataKey: LogKey.bridge] = "\(plan.rule.name)"
        self.logger = logger
        self.hopGuard = HopGuard(instance: settings.instance.id)
        self.codec = EnvelopeCodec(
            dataLimit: settings.server.limits.messageBytes, jsonDepth: settings.server.limits.jsonDepth)
        self.egress = Mutex(
            EgressState(
                buffer: EgressBuffer(settings: plan.rule.buffer, guarantee: plan.rule.guarantee),
                interest: plan.interestTable(), link: LinkRecord(since: clock.wallMilliseconds()),
                probes: plan.probeTable(life: life), occupancy: plan.occupancyTable(life: life)))
        self.gaps = Mutex(plan.gapState(instance: settings.instance.id))
        self.ingress = Mutex(
            IngressState(
                names: IngressNames(
                    template: plan.template, selector: plan.receives ? plan.selector : nil, control: plan.heardControl))
        )
    }

    /// Changes the egress state, then wakes the bridge if there is work that it waits for.
    @discardableResult
    func update<Result: Sendable>(_ body: (inout EgressState) -> Result) -> Result {
        let (result, wake) = self.updateAsleep(body)
        wake?()
        return result
    }

    /// The same, but leaves it to the caller to wake the bridge.
    private func updateAsleep<Result: Sendable>(
        _ body: (inout EgressState) -> Result
    ) -> (Result, (@Sendable () -> Void)?) {
        let (result, wake, storage, notices) = self.egress.withLock { state in
            let result = body(&state)
            // Under the lock, so that the last word is the latest.
            if let isFull = state.takePressureChange() { self.pressure.set(self.plan.index, isFull) }
            let storage = state.buffer.hasStorageWork ? state.storage : nil
            return (result, state.takeDueWake(), storage, state.buffer.takeNotices())
        }
        storage?.raise()
        for notice in notices { notice.receipt.note(notice.outcome, at: self.plan.index) }
        return (result, wake)
    }

    // MARK: From the channel owners

    /// - Returns: what wakes the bridge; nil when it need not be woken.
    func offer(_ batch: [EgressOffer]) -> (@Sendable () -> Void)? {
        let now = self.clock.now()
        let hopLimit = self.plan.rule.maximumHops
        let (_, wake) = self.updateAsleep { state in
            for offer in batch {
                if state.isStopped {
                    state.buffer.acceptAndDrop(.stopped, receipt: offer.receipt)
                } else if self.hopGuard.leavingHops(offer.header) > hopLimit {
                    state.buffer.acceptAndFilter(receipt: offer.receipt)
                } else if let name = offer.name {
                    state.buffer.append(
                        BufferedEnvelope(
                            name: name, data: offer.data, header: offer.header, acceptedAt: now,
                            receipt: offer.receipt))
                } else {
                    state.buffer.acceptAndDrop(.badName, receipt: offer.receipt)
                }
            }
        }
        self.remember(batch, at: now)
        return wake
    }

    /// - Precondition: the rule selects `channel`. The same holds for ``channelUnsubscribed(_:)``.
    func channelSubscribed(_ channel: ChannelName) {
        if self.plan.receives, self.plan.rule.interest == .onDemand {
            let name = self.plan.template.encode(channel)
            self.update { state in
                if let name { state.interest.subscribed(name) } else { state.interest.refuse() }
            }
        }
        self.mirror(.subscribe, of: channel)
    }

    func channelUnsubscribed(_ channel: ChannelName) {
        if self.plan.receives, self.plan.rule.interest == .onDemand, let name = self.plan.template.encode(channel) {
            let now = self.clock.now()
            self.update { state in state.interest.unsubscribed(name, at: now) }
        }
        self.mirror(.unsubscribe, of: channel)
    }

    /// What is due by the clock: lingering interest, messages that got too old, memory that waiting ones share.
    func tick() {
        let now = self.clock.now()
        self.update { state in
            state.interest.expire(at: now)
            if let period = self.plan.renewalPeriod, state.link.state == .up {
                state.interest.renew(every: period, at: now)
            }
            state.buffer.expire(at: now)
            state.buffer.shrink()
            self.queueMarks(&state, at: now)
            state.noteIfIdle()
        }
        self.gaps.withLock { $0.memory?.expire(at: now) }
        self.judgeProbes(at: now)
        self.judgeOccupancy(at: now)
        self.updateJournal()
        // In pieces, since owners wait for the same lock.
        while self.update({ state in state.buffer.detach(upTo: 512) }) {}
    }

    // MARK: From the upstream

    func deliver(
        _ messages: [IngressMessage], to acceptor: any IngressAcceptor, whenTaken: @escaping @Sendable () -> Void
    ) {
        let now = self.clock.now()
        let (batch, control) = self.ingress.withLock { state in self.judge(messages, &state, at: now) }
        if control.isEmpty { return self.hand(over: batch, to: acceptor, whenTaken: whenTaken) }
        let repaired = control.filter { $0.channel == .repair }.flatMap { self.heardRepair($0.payload) }
        let progress = Countdown(2, whenTaken)
        // Both are handed over before anything else arrives here, and marks after the messages that they speak of.
        self.hand(over: batch, to: acceptor) { progress.tick() }
        self.handRepaired(over: repaired, to: acceptor, at: now) { progress.tick() }
        for message in control {
            if message.channel == .marks {
                self.heardMarks(message.payload, acceptor)
            } else {
                self.heard(message, at: now)
            }
        }
    }

    private func hand(
        over batch: [IngressEnvelope], to acceptor: any IngressAcceptor, whenTaken: @escaping @Sendable () -> Void
    ) {
        let count = batch.count
        guard count > 0 else { return whenTaken() }
        acceptor.accept(batch, from: self.plan.index, hopLimit: self.plan.rule.maximumHops) { tally in
            let now = self.clock.now()
            self.ingress.withLock { $0.taken(tally, of: count, at: now) }
            whenTaken()
        }
    }

    private func handRepaired(
        over batch: [IngressEnvelope], to acceptor: any IngressAcceptor, at now: NIODeadline,
        whenTaken: @escaping @Sendable () -> Void
    ) {
        let count = batch.count
        guard count > 0 else { return whenTaken() }
        self.ingress.withLock { $0.handedOver(count, of: count, at: now) }
        acceptor.acceptRepaired(batch, from: self.plan.index, hopLimit: self.plan.rule.maximumHops) { tally in
            let now = self.clock.now()
            self.ingress.withLock { $0.taken(tally, of: count, at: now) }
            whenTaken()
        }
    }

    /// - Returns: what is for the owners, and what the instances tell each other, which is in no ledger.
    private func judge(
        _ messages: [IngressMessage], _ state: inout IngressState, at now: NIODeadline
    ) -> ([IngressEnvelope], [ControlMessage]) {
        var batch: [IngressEnvelope] = []
        var control: [ControlMessage] = []
        batch.reserveCapacity(messages.count)
        for message in messages {
            switch self.judge(message, &state.names) {
            case .success(.envelope(let envelope)): batch.append(IngressEnvelope(envelope))
            case .success(.control(let message)): control.append(message)
            case .failure(let refusal): state.ledger.refused[refusal.reason] += 1
            }
        }
        state.handedOver(batch.count, of: messages.count - control.count, at: now)
        return (batch, control)
    }

    private func judge(_ message: IngressMessage, _ names: inout IngressNames) -> Result<Judged, Refusal> {
        let channel: ChannelName
        switch names.answer(for: message.name) {
        case .channel(let name): channel = name
        case .control(let channel):
            let content = self.codec.decode(message.payload, header: message.header)
            return .success(
                .control(ControlMessage(channel: channel, content: content, payload: message.payload)))
        case .refused(let reason): return .failure(Refusal(reason: reason))
        }
        switch self.codec.decode(message.payload, header: message.header) {
        case .envelope(let header, let data):
            return .success(.envelope(Envelope(channel: channel, data: data, header: header)))
        case .raw(let data): return .success(.envelope(Envelope(channel: channel, data: data, header: nil)))
        case .refused(let reason): return .failure(Refusal(reason: reason))
        }
    }

    private enum Judged {
        case envelope(Envelope)
        case control(ControlMessage)
    }

    private struct Refusal: Error {
        var reason: IngressRefusal
    }

    // MARK: Status

    var status: BridgeStatus {
        let ledger = self.ingress.withLock { $0.ledger }
        let gaps = self.gapStatus
        let now = self.clock.now()
        return self.egress.withLock { state in
            BridgeStatus(
                name: self.plan.rule.name, declaration: self.plan.rule.declaration, kind: self.plan.kind,
                isRequired: self.plan.rule.isRequired,
                state: state.link.state, since: state.link.since,
                upstream: self.plan.urls[state.link.upstream].description,
                facts: state.link.facts, lastError: state.link.lastError, retryDelay: state.link.retryDelay,
                connects: state.link.connects, failures: state.link.failures, egress: state.buffer.ledger,
                ingress: ledger,
                bufferedBytes: state.buffer.usedBytes, interestCount: state.interest.count,
                rejectedFilters: state.interest.rejected.count, refusedInterest: state.interest.refusedCount,
                strayTickets: state.buffer.strayTickets, probe: state.probes?.report(at: now),
                occupancy: state.occupancyReport, storage: state.buffer.storage,
                promises: state.link.promises.promises,
                enforcesPromises: self.plan.rule.promises == .enforced, group: self.plan.rule.group, gaps: gaps)
        }
    }
}

/// What owners and the conversation share.
struct EgressState: Sendable {
    var buffer: EgressBuffer
    var interest: InterestTable
    var link: LinkRecord
    /// Wakes the thread of the disk buffer, while there is one.
    var storage: WakeSignal?
    /// Names the conversation under way; calls of earlier ones are ignored.
    var conversation: UInt64 = 0
    var isStopped = false
    /// Fires when nothing is left to send; set while the host drains.
    var whenIdle: OneShot?
    /// Nil when the rule wants none, or the upstream has no name for them.
    var probes: ProbeTable?
    var isProbeDue = false
    /// The preferred URL that this conversation makes way for; it takes no more messages.
    var returnsTo: Int?
    /// Fires when nothing is under way; set while the bridge makes way for a preferred URL.
    var whenQuiet: OneShot?
    /// Nil unless it hears what others mirror.
    var occupancy: OccupancyTable?
    /// Ends the conversation under way.
    var cut: (@Sendable () -> Void)?
    /// Why the host itself ended it.
    var verdict: ProbeTable.Verdict?
    /// What the upstream that accepted us does not keep, so that it is not used.
    var brokenPromise: UpstreamPromise?
    /// What receivers are to be told of channels that went quiet.
    var marks = MarkBook()
    var own = OwnMessages()

    private var wake: (@Sendable () -> Void)?
    private var wakesForMessages = false
    private var wakesForInterest = false
    private var isPressing = false

    init(
        buffer: EgressBuffer, interest: InterestTable, link: LinkRecord, probes: ProbeTable?,
        occupancy: OccupancyTable?
    ) {
        self.buffer = buffer
        self.interest = interest
        self.link = link
        self.probes = probes
        self.occupancy = occupancy
    }

    mutating func install(_ wake: @escaping @Sendable () -> Void) {
        self.wake = wake
        self.wakesForMessages = true
        self.wakesForInterest = true
    }

    /// The bridge looked: it wants to hear of interest again, and of messages unless it stopped at its own limit.
    mutating func armWake(forMessages: Bool) {
        self.wakesForMessages = forMessages
        self.wakesForInterest = true
    }

    /// The wake to call now, at most once until the bridge looks again.
    mutating func takeDueWake() -> (@Sendable () -> Void)? {
        let hasMessages =
            self.buffer.hasWaiting || self.isProbeDue || self.occupancy?.hasSnapshot == true || !self.own.isEmpty
        guard self.wakesForMessages && hasMessages || self.wakesForInterest && self.interest.hasChanges
        else { return nil }
        self.wakesForMessages = false
        self.wakesForInterest = false
        return self.wake
    }

    /// Whether publishers should be held back, when that has changed.
    mutating func takePressureChange() -> Bool? {
        guard self.isPressing != self.buffer.isBlocking else { return nil }
        self.isPressing = self.buffer.isBlocking
        return self.isPressing
    }

    mutating func conversationEnded() {
        self.conversation += 1
        self.wake = nil
        self.wakesForMessages = false
        self.wakesForInterest = false
        self.buffer.linkLost()
        self.interest.linkLost()
        self.probes?.linkDown()
        self.isProbeDue = false
        self.returnsTo = nil
        self.whenQuiet?.fire()
        self.whenQuiet = nil
        self.own.removeAll()
        self.cut = nil
        self.brokenPromise = nil
        self.whenIdle?.fire()
    }

    func noteIfIdle() {
        if self.buffer.isSettled { self.whenIdle?.fire() }
        if self.buffer.ledger.inFlight == 0 { self.whenQuiet?.fire() }
    }
}

struct IngressState: Sendable {
    var names: IngressNames
    var ledger = IngressLedger()
    /// Since when the owners have taken nothing of what they hold; nil while they hold nothing.
    private(set) var untakenSince: NIODeadline?

    init(names: IngressNames) {
        self.names = names
    }

    mutating func handedOver(_ count: Int, of received: Int, at now: NIODeadline) {
        self.ledger.received += UInt64(received)
        self.ledger.held += UInt64(count)
        if count > 0, self.untakenSince == nil { self.untakenSince = now }
    }

    mutating func taken(_ tally: IngressTally, of count: Int, at now: NIODeadline) {
        self.ledger.settle(tally, of: count)
        self.untakenSince = self.ledger.held > 0 ? now : nil
    }
}

/// How a bridge stands with its upstream.
struct LinkRecord: Sendable {
    private(set) var state = BridgeState.stopped
    private(set) var since: UInt64
    var upstream = 0
    var facts: UpstreamFacts?
    var promises = PromiseRecord()
    var lastError: String?
    var retryDelay: Duration?
    var connects: UInt64 = 0
    var failures: UInt64 = 0
    /// Monotonic; nil unless up.
    var upSince: NIODeadline?

    init(since: UInt64) {
        self.since = since
    }

    mutating func enter(_ state: BridgeState, at milliseconds: UInt64) {
        self.state = state
        self.since = milliseconds
    }
}
