internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore

/// What became of mirrored subscriptions of instances that died.
public struct OccupancyReport: Sendable, Hashable {
    /// Other instances that are known, and what they are subscribed to.
    public var instanceCount: Int
    public var entryCount: Int
    /// Subscriptions that this instance withdrew for others.
    public var withdrawnCount: UInt64
    /// Own subscriptions that were told once more.
    public var repeatedCount: UInt64
    /// Subscriptions of others for which there was no room.
    public var ignoredCount: UInt64
}

extension BridgePlan {
    /// So long after its last sign of life an instance's subscriptions hold; nil without signs of life.
    var lease: Duration? { self.probeName == nil ? nil : self.rule.probe.map { $0.deadline * 2 } }

    /// Whether it hears what the others mirror, and so can withdraw what they no longer can.
    var keepsOccupancy: Bool {
        self.receives && self.lease != nil && self.rule.events.isSuperset(of: [.subscribe, .unsubscribe])
    }

    /// Whether both are at one upstream, under the same names.
    func hears(like other: BridgePlan) -> Bool {
        self.urls == other.urls && self.kind == other.kind
            && self.controlName(.unsubscribe) == other.controlName(.unsubscribe)
    }

    func occupancyTable(life: InstanceLife) -> OccupancyTable? {
        guard self.keepsOccupancy, let lease = self.lease else { return nil }
        return OccupancyTable(own: life, lease: lease, turn: self.occupancyTurn)
    }
}

extension BridgeRunner {
    /// Tells the upstream who listens here.
    func mirror(_ kind: OccupancyEvent.Kind, of channel: ChannelName) {
        let isMirrored = self.plan.rule.events.contains(kind == .subscribe ? .subscribe : .unsubscribe)
        guard isMirrored else { return }
        let event = OccupancyEvent(
            kind, channel, of: self.life.instance, epoch: self.plan.lease == nil ? nil : self.life.epoch,
            lease: self.plan.lease)
        let envelope = self.envelope(of: event)
        self.update { state in
            switch kind {
            case .subscribe: state.occupancy?.subscribed(channel)
            case .unsubscribe: state.occupancy?.unsubscribed(channel)
            }
            state.append(envelope)
        }
    }

    /// What is due by the clock: withdrawals, and own subscriptions that are told again.
    func judgeOccupancy(at now: NIODeadline) {
        guard self.plan.keepsOccupancy else { return }
        let events = self.update { $0.occupancy?.tick(at: now) ?? [] }
        self.send(events)
    }

    /// The next part of who listens here, for instances that came later.
    func takeSnapshot(_ state: inout EgressState) -> EgressMessage? {
        guard let snapshot = state.occupancy?.takeSnapshot(), let lease = self.plan.lease,
            let name = self.plan.template.encode(ControlChannel.occupancy.channel)
        else { return nil }
        return EgressMessage(
            ticket: state.buffer.launch(), name: name, payload: snapshot.json, header: nil, lifetime: lease)
    }

    func noteLife(of probe: Probe, isNew: Bool, _ state: inout EgressState, at now: NIODeadline) {
        state.occupancy?.signOfLife(of: probe.life, keepsTable: probe.keepsOccupancy, at: now)
        if isNew, probe.keepsOccupancy { state.occupancy?.peerCame() }
    }

    func heardOccupancy(_ kind: OccupancyEvent.Kind, _ content: IngressContent, at now: NIODeadline) {
        guard let data = content.data, let event = OccupancyEvent(kind, data) else { return }
        let answer = self.update { $0.occupancy?.heard(event, at: now) ?? nil }
        if let answer { self.send([answer]) }
    }

    func heardSnapshot(_ content: IngressContent, at now: NIODeadline) {
        guard let data = content.data, let snapshot = OccupancySnapshot(data) else { return }
        self.update { $0.occupancy?.heard(snapshot, at: now) }
    }

    private func send(_ events: [OccupancyEvent]) {
        guard !events.isEmpty else { return }
        let envelopes = events.map { self.envelope(of: $0) }
        self.update { state in
            for envelope in envelopes { state.append(envelope) }
        }
    }

    /// Raw on purpose: services that want it need know nothing of Linkspan. Nil when the name cannot be expressed there.
    private func envelope(of event: OccupancyEvent) -> BufferedEnvelope? {
        self.plan.template.encode(event.kind.control.channel).map { name in
            BufferedEnvelope(
                name: name, data: event.json(at: self.clock.wallMilliseconds()), header: nil,
                acceptedAt: self.clock.now())
        }
    }
}

extension EgressState {
    fileprivate mutating func append(_ envelope: BufferedEnvelope?) {
        if self.isStopped {
            self.buffer.acceptAndDrop(.stopped)
        } else if let envelope {
            self.buffer.append(envelope)
        } else {
            self.buffer.acceptAndDrop(.badName)
        }
    }

    var occupancyReport: OccupancyReport? {
        self.occupancy.map { table in
            OccupancyReport(
                instanceCount: table.instanceCount, entryCount: table.entryCount,
                withdrawnCount: table.withdrawnCount, repeatedCount: table.repeatedCount,
                ignoredCount: table.ignoredCount)
        }
    }
}

extension IngressContent {
    fileprivate var data: ByteBuffer? {
        switch self {
        case .envelope(_, let data), .raw(let data): data
        case .refused: nil
        }
    }
}
