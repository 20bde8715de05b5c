internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// What one bridge knows of messages that did not come: to this instance, and from it to others.
struct GapState: Sendable {
    var ledger = GapLedger()
    /// Nil when the rule asks for nothing.
    var desk: RepairDesk?
    /// Nil when the rule sends nothing, or remembers nothing of it.
    var memory: RepairMemory?
    /// When ``BridgeRunner/askForRepair()`` runs next.
    var timer: NIODeadline?
    /// Messages given up since the log said so last.
    var unloggedLosses: UInt64 = 0
    var loggedAt: NIODeadline?
}

extension BridgePlan {
    /// Whether it asks for what did not come.
    var asksForRepair: Bool { self.receives && self.rule.repair != nil }

    /// Whether it sends again what others miss.
    var answersRepair: Bool { self.publishes && self.rule.repair != nil }

    /// Whether messages of channels leave by it.
    var publishes: Bool { self.rule.direction != .ingress && self.rule.events.contains(.publish) }

    var gapTerms: GapTerms {
        let listensAlways = self.receives && self.rule.interest == .always
        guard let repair = self.rule.repair else {
            return GapTerms(listensAlways: listensAlways, isShared: self.rule.group != nil)
        }
        return GapTerms(
            hold: repair.hold > .zero ? TimeAmount(repair.hold) : nil, finalAfter: TimeAmount(repair.window),
            listensAlways: listensAlways)
    }

    func gapState(instance: InstanceID) -> GapState {
        GapState(
            desk: self.rule.repair.flatMap { self.asksForRepair ? RepairDesk(instance: instance, settings: $0) : nil },
            memory: self.rule.repair.flatMap { self.answersRepair ? RepairMemory(settings: $0) : nil })
    }

    func controlName(_ control: ControlChannel) -> String? { self.template.encode(control.channel) }
}

extension BridgeRunner {
    // MARK: From the channel owners

    func noteGaps(_ events: [GapEvent]) {
        let now = self.clock.now()
        let (due, losses) = self.gaps.withLock { state -> (NIODeadline?, UInt64?) in
            var random = SystemRandomNumberGenerator()
            for event in events {
                state.ledger.apply(event)
                state.desk?.apply(event, at: now, using: &random)
                if case .final(_, let count) = event { state.unloggedLosses &+= count }
            }
            return (state.desk?.nextDue, state.takeLosses(at: now))
        }
        if let losses {
            self.logger.warning("Messages did not come", metadata: [LogKey.lost: "\(losses)"])
        }
        self.scheduleRepair(at: due)
    }

    /// Messages that had to wait for others were delivered now.
    func settleHeld(_ tally: IngressTally) {
        let now = self.clock.now()
        self.ingress.withLock { $0.taken(tally, of: tally.delivered, at: now) }
    }

    func channelsQuiet(_ marks: [SequenceMark]) {
        let now = self.clock.now()
        self.update { state in
            for mark in marks { state.marks.note(mark, at: now) }
            self.queueMarks(&state, at: now)
        }
    }

    /// Keeps what leaves here in case somebody misses it.
    func remember(_ batch: [EgressOffer], at now: NIODeadline) {
        guard self.plan.answersRepair else { return }
        let hopLimit = self.plan.rule.maximumHops
        let kept = batch.filter { $0.name != nil && self.hopGuard.leavingHops($0.header) <= hopLimit }
        // Memory of its own: what the owners hand over shares storage with all that left in the same turn.
        var bytes = ByteBuffer()
        bytes.reserveCapacity(kept.reduce(0) { $0 + $1.data.readableBytes })
        for offer in kept { bytes.writeImmutableBuffer(offer.data) }
        self.gaps.withLock { state in
            for offer in kept {
                guard let name = offer.name, let data = bytes.readSlice(length: offer.data.readableBytes) else {
                    continue
                }
                state.memory?.remember(name, self.hopGuard.leaving(offer.header), data, at: now)
            }
        }
    }

    // MARK: To the upstream

    /// Lets marks that are due follow the messages that they speak of.
    func queueMarks(_ state: inout EgressState, at now: NIODeadline) {
        guard self.plan.publishes, let name = self.plan.controlName(.marks), !state.marks.isEmpty else { return }
        // Where the upstream keeps messages for who is away, it keeps the marks with them.
        let lifetime: Duration? = self.plan.rule.guarantee == .atLeastOnce ? nil : .seconds(60)
        for _ in 0..<Self.markMessagesAtOnce {
            guard state.link.state == .up, !state.buffer.hasWaiting, state.own.room > 0 else { return }
            let marks = state.marks.takeDue(upTo: MarkMessage.markLimit, at: now)
            guard !marks.isEmpty else { return }
            let json = MarkMessage(sender: self.hopGuard.instance, marks: marks).json
            state.own.append(OwnMessages.Message(name: name, payload: json, lifetime: lifetime))
        }
    }

    private static let markMessagesAtOnce = 4

    /// What waits beside the messages of channels, at most `limit`, under tickets.
    func takeOwn(_ state: inout EgressState, upTo limit: Int, into messages: inout [EgressMessage]) {
        for _ in 0..<max(limit, 0) {
            guard let own = state.own.next() else { return }
            messages.append(
                EgressMessage(
                    ticket: state.buffer.launch(), name: own.name, payload: own.payload, header: nil,
                    lifetime: own.lifetime))
        }
    }

    // MARK: From other instances

    func heardMarks(_ payload: ByteBuffer, _ acceptor: any IngressAcceptor) {
        guard self.plan.rule.group == nil, let message = MarkMessage(payload), message.sender != self.hopGuard.instance
        else { return }
        let marks = message.marks.filter { self.plan.selector.contains($0.channel) && !$0.channel.isReserved }
        if !marks.isEmpty { acceptor.accept(marks, sender: message.sender, from: self.plan.index) }
    }

    /// - Returns: messages that were sent again, for the owners.
    func heardRepair(_ payload: ByteBuffer) -> [IngressEnvelope] {
        guard self.plan.rule.repair != nil else { return [] }
        switch RepairMessage(payload) {
        case .request(let request) where request.sender == self.hopGuard.instance:
            guard request.requester != self.hopGuard.instance else { return [] }
            self.ways.withLock { $0 }?.answer(request, self.plan.index)
            return []
        case .request(let request):
            let now = self.clock.now()
            self.gaps.withLock { state in
                var random = SystemRandomNumberGenerator()
                state.desk?.overheard(request, at: now, using: &random)
            }
            return []
        case .answer(let sender, let messages):
            guard self.plan.asksForRepair, sender != self.hopGuard.instance else { return [] }
            return messages.compactMap { self.envelope($0) }
        case nil: return []
        }
    }

    private func envelope(_ message: RepairedMessage) -> IngressEnvelope? {
        guard self.plan.selector.contains(message.channel), !message.channel.isReserved,
            case .envelope(let header, let data) = self.codec.decode(message.data, header: message.header)
        else { return nil }
        return IngressEnvelope(Envelope(channel: message.channel, data: data, header: header))
    }

    /// Sends again what is remembered of a request, as far as there is room and the requester has not had its share.
    func answer(_ request: RepairRequest) {
        guard let name = self.plan.controlName(.repair), let lifetime = self.plan.rule.repair?.window else { return }
        let now = self.clock.now()
        let room = self.egress.withLock { $0.link.state == .up ? $0.own.room : 0 }
        // JSON takes more than memory: identities are written out.
        guard room > 0 else { return }
        let messages = self.gaps.withLock { state in
            state.memory?.answer(request, byteLimit: room / 2, at: now) { self.plan.template.encode($0) }
        }
        guard let messages, !messages.isEmpty else { return }
        let answers = RepairMessage.json(sender: self.hopGuard.instance, messages)
        self.update { state in
            guard state.link.state == .up else { return }
            for json in answers {
                state.own.append(OwnMessages.Message(name: name, payload: json, lifetime: lifetime))
            }
        }
    }

    // MARK: Asking

    private func scheduleRepair(at due: NIODeadline?) {
        guard let due else { return }
        let isNext = self.gaps.withLock { state in
            if let timer = state.timer, timer <= due { return false }
            state.timer = due
            return true
        }
        guard isNext else { return }
        let pause = max(due - self.clock.now(), .zero)
        Task {
            try? await self.clock.sleep(.nanoseconds(pause.nanoseconds))
            self.askForRepair()
        }
    }

    private func askForRepair() {
        let now = self.clock.now()
        let (requests, next) = self.gaps.withLock { state -> ([RepairRequest], NIODeadline?) in
            state.timer = nil
            var random = SystemRandomNumberGenerator()
            let requests = state.desk?.takeDue(at: now, using: &random) ?? []
            return (requests, state.desk?.nextDue)
        }
        let ways = requests.isEmpty ? nil : self.ways.withLock { $0 }
        for request in requests { ways?.ask(request, self.plan.index) }
        if self.egress.withLock({ !$0.isStopped }) { self.scheduleRepair(at: next) }
    }

    /// Sends a request; false when the upstream is not there.
    func ask(_ request: RepairRequest) -> Bool {
        guard self.plan.asksForRepair, let name = self.plan.controlName(.repair) else { return false }
        let lifetime = self.plan.rule.repair?.window
        return self.update { state in
            guard state.link.state == .up else { return false }
            return state.own.append(
                OwnMessages.Message(name: name, payload: RepairMessage.json(request), lifetime: lifetime))
        }
    }

    /// The part of a request that this bridge can ask for as well.
    func share(of request: RepairRequest) -> RepairRequest? {
        let wants = request.wants.filter { self.plan.selector.contains($0.channel) }
        return wants.isEmpty
            ? nil : RepairRequest(requester: request.requester, sender: request.sender, wants: wants)
    }

    // MARK: Status

    var gapStatus: GapStatus {
        let skipped = self.egress.withLock { $0.marks.skippedCount }
        return self.gaps.withLock { state in
            GapStatus(
                counts: state.ledger.counts, records: state.ledger.records, skippedMarks: skipped,
                repair: self.plan.rule.repair.map { _ in
                    RepairStatus(
                        rememberedMessages: state.memory?.count ?? 0, rememberedBytes: state.memory?.usedBytes ?? 0,
                        answered: state.memory?.answeredCount ?? 0, unknown: state.memory?.unknownCount ?? 0,
                        denied: state.memory?.deniedCount ?? 0, unasked: state.desk?.unaskedCount ?? 0)
                })
        }
    }
}

extension GapState {
    /// Seconds between two words of the log about messages that did not come.
    private static let logPause = TimeAmount.seconds(10)

    fileprivate mutating func takeLosses(at now: NIODeadline) -> UInt64? {
        guard self.unloggedLosses > 0, self.loggedAt.map({ $0 + Self.logPause <= now }) ?? true else { return nil }
        self.loggedAt = now
        defer { self.unloggedLosses = 0 }
        return self.unloggedLosses
    }
}

/// Runs a call when it was told so a number of times.
final class Countdown: Sendable {
    private let left: Atomic<Int>
    private let body: @Sendable () -> Void

    init(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        self.left = Atomic(count)
        self.body = body
    }

    func tick() {
        if self.left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 { self.body() }
    }
}
