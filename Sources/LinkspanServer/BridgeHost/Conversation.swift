internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore

/// One run of a bridge, as the bridge sees the host. Once the run has ended its late calls change nothing.
final class Conversation: BridgeLinkHost {
    private let runner: BridgeRunner
    private let acceptor: any IngressAcceptor
    private let number: UInt64
    private let abilities: ProbeTable.Abilities

    init(runner: BridgeRunner, acceptor: any IngressAcceptor, number: UInt64, abilities: ProbeTable.Abilities) {
        self.runner = runner
        self.acceptor = acceptor
        self.number = number
        self.abilities = abilities
    }

    var enforcesPromises: Bool { self.runner.plan.rule.promises == .enforced }

    func connected(_ facts: UpstreamFacts) {
        let now = self.runner.clock.now()
        let wallNow = self.runner.clock.wallMilliseconds()
        let (isFirst, cut) = self.runner.update { state -> (Bool, (@Sendable () -> Void)?) in
            guard state.conversation == self.number, state.link.state == .connecting, state.brokenPromise == nil
            else { return (false, nil) }
            // What the bridge noted on its way here counts as well.
            state.link.promises.note(facts.promises)
            guard self.admits(state.link.promises.promises, &state) else { return (false, state.cut) }
            state.link.enter(.up, at: wallNow)
            state.link.upSince = now
            state.link.facts = facts
            state.link.lastError = nil
            state.link.retryDelay = nil
            state.link.connects += 1
            state.marks.linkRestored(at: now)
            state.probes?.linkUp(self.abilities, at: now)
            state.isProbeDue = state.probes?.isDue(at: now) ?? false
            state.occupancy?.linkUp(at: now)
            return (true, nil)
        }
        cut?()
        guard isFirst else { return }
        self.runner.logConnected(facts)
        for promise in facts.promises where promise.state == .broken { self.runner.logBroken(promise) }
    }

    func noted(_ promise: UpstreamPromise) {
        let isNews = self.runner.update { state -> Bool in
            guard state.conversation == self.number else { return false }
            state.link.promises.note([promise])
            return promise.state == .broken && state.link.state == .up
        }
        if isNews { self.runner.logBroken(promise) }
    }

    func reviewed(_ promises: [UpstreamPromise]) {
        let (news, cut) = self.runner.update { state -> ([UpstreamPromise], (@Sendable () -> Void)?) in
            guard state.conversation == self.number, state.link.state == .up else { return ([], nil) }
            let before = Set(state.link.promises.promises)
            let isAdmitted = self.admits(promises, &state)
            let news = promises.filter { $0.state == .broken && !before.contains($0) }
            return (isAdmitted ? news : [], isAdmitted ? nil : state.cut)
        }
        cut?()
        for promise in news { self.runner.logBroken(promise) }
    }

    func onWork(_ wake: @escaping @Sendable () -> Void) {
        self.runner.update { state in
            if state.conversation == self.number { state.install(wake) }
        }
    }

    func takeWork(upTo limit: Int) -> LinkWork {
        let now = self.runner.clock.now()
        let hopGuard = self.runner.hopGuard
        var work = self.runner.update { state -> LinkWork in
            guard state.conversation == self.number, state.returnsTo == nil, state.brokenPromise == nil else {
                return LinkWork()
            }
            var work = LinkWork(interest: state.interest.takeChanges())
            work.egress.reserveCapacity(min(max(limit, 0), Int(state.buffer.ledger.buffered)))
            if state.isProbeDue, limit > 0, let probe = self.runner.takeProbe(&state, at: now) {
                work.egress.append(probe)
            }
            if limit > work.egress.count, let snapshot = self.runner.takeSnapshot(&state) {
                work.egress.append(snapshot)
            }
            self.runner.takeOwn(&state, upTo: (limit - work.egress.count + 3) / 4, into: &work.egress)
            _ = state.buffer.take(upTo: limit - work.egress.count, at: now) { ticket, envelope in
                work.egress.append(
                    EgressMessage(
                        ticket: ticket, name: envelope.name, payload: envelope.data,
                        header: envelope.header.map { hopGuard.leaving($0) }))
            }
            state.armWake(forMessages: work.egress.count < limit)
            state.noteIfIdle()
            return work
        }
        if !self.runner.plan.bridge.carriesHeader { Self.wrap(&work.egress) }
        return work
    }

    func confirm(_ tickets: ClosedRange<UInt64>) {
        self.settle { state in
            state.buffer.confirm(tickets)
            guard state.probes?.isAwaiting == true else { return }
            state.probes?.confirmed(tickets, at: self.runner.clock.now())
        }
    }

    func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {
        self.settle { state in
            state.buffer.refuse(ticket, reason)
            guard state.probes?.isAwaiting == true else { return }
            state.probes?.refused(ticket, reason, at: self.runner.clock.now())
        }
    }

    func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void) {
        self.runner.deliver(messages, to: self.acceptor, whenTaken: whenTaken)
    }

    func interestSettled(_ filter: UpstreamFilter, accepted: Bool) {
        self.runner.update { state in
            guard state.conversation == self.number else { return }
            state.interest.settled(filter, accepted: accepted)
            self.runner.filterSettled(filter, accepted: accepted, &state)
        }
    }

    private func settle(_ body: (inout EgressState) -> Void) {
        self.runner.update { state in
            guard state.conversation == self.number else { return }
            body(&state)
            state.noteIfIdle()
        }
    }

    /// Puts header and data of each message into one JSON envelope; all envelopes of a batch share one allocation.
    private static func wrap(_ messages: inout [EgressMessage]) {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(
            messages.reduce(0) { sum, message in
                sum + (message.header.map { EnvelopeCodec.encodedBound($0, data: message.payload) } ?? 0)
            })
        var ends: [Int] = []
        ends.reserveCapacity(messages.count)
        for message in messages {
            if let header = message.header { EnvelopeCodec.encode(header, data: message.payload, into: &bytes) }
            ends.append(bytes.writerIndex)
        }
        // Slices are cut only now: one cut earlier would make the next write copy the whole buffer.
        for index in messages.indices where messages[index].header != nil {
            let length = ends[index] - bytes.readerIndex
            if let slice = bytes.readSlice(length: length) { messages[index].payload = slice }
            messages[index].header = nil
        }
    }
}
