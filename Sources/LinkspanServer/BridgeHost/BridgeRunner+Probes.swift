internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// What another instance, or this one, said on a control channel.
struct ControlMessage: Sendable {
    var channel: ControlChannel
    var content: IngressContent
    /// As it came.
    var payload: ByteBuffer
}

extension BridgePlan {
    /// The upstream name of probes; nil when the rule wants none, or when the name would be too long there.
    var probeName: String? {
        self.rule.probe == nil ? nil : self.template.encode(ControlChannel.probe.channel)
    }

    /// What the bridge takes in for itself.
    var heardControl: Set<ControlChannel> {
        var heard: Set<ControlChannel> = self.receives ? [.marks] : []
        if self.rule.repair != nil { heard.insert(.repair) }
        guard self.receives, self.probeName != nil else { return heard }
        heard.insert(.probe)
        return self.keepsOccupancy ? heard.union([.subscribe, .unsubscribe, .occupancy]) : heard
    }

    /// What the bridge asks the upstream for.
    var controlNames: [String] {
        // How far senders got says nothing to who sees a part of it; what comes with the group's messages is passed over.
        let asked = self.rule.group == nil ? self.heardControl : self.heardControl.subtracting([.marks])
        return ControlChannel.allCases.filter(asked.contains).compactMap { self.template.encode($0.channel) }
    }

    func probeTable(life: InstanceLife) -> ProbeTable? {
        guard let settings = self.rule.probe, self.probeName != nil else { return nil }
        return ProbeTable(
            life: life, bridge: self.rule.name, settings: settings,
            abilities: self.abilities(self.bridge, isMute: false))
    }

    func abilities(_ bridge: any Bridge, isMute: Bool) -> ProbeTable.Abilities {
        var abilities = ProbeTable.Abilities(
            sends: !isMute, receives: self.receives, isAnswered: bridge.answersProbes,
            publishes: self.rule.direction != .ingress)
        abilities.keepsOccupancy = self.keepsOccupancy
        return abilities
    }
}

extension BridgeRunner {
    /// The probe that is due, under a ticket; nil when there is none after all.
    func takeProbe(_ state: inout EgressState, at now: NIODeadline) -> EgressMessage? {
        state.isProbeDue = false
        guard let name = self.plan.probeName, state.probes?.isDue(at: now) == true else { return nil }
        let ticket = state.buffer.launch()
        guard let probe = state.probes?.next(ticket: ticket, at: now) else { return nil }
        return EgressMessage(
            ticket: ticket, name: name, payload: probe.json,
            header: probe.header(at: self.clock.wallMilliseconds()), lifetime: probe.deadline)
    }

    func filterSettled(_ filter: UpstreamFilter, accepted: Bool, _ state: inout EgressState) {
        guard state.probes != nil, let name = self.plan.probeName, filter.covers(.exact(name)) else { return }
        state.probes?.filterSettled(accepted: accepted)
        state.isProbeDue = state.probes?.isDue(at: self.clock.now()) ?? false
    }

    func heard(_ message: ControlMessage, at now: NIODeadline) {
        switch message.channel {
        case .probe:
            guard case .envelope(let header, let data) = message.content,
                let probe = Probe(header: header, data: data)
            else { return }
            let finding = self.update { state -> ProbeTable.Finding? in
                let finding = state.probes?.heard(probe, sentAt: header.acceptedAt, at: now) ?? nil
                self.noteLife(of: probe, isNew: finding != nil, &state, at: now)
                return finding
            }
            if let finding { self.log(finding) }
        case .subscribe: self.heardOccupancy(.subscribe, message.content, at: now)
        case .unsubscribe: self.heardOccupancy(.unsubscribe, message.content, at: now)
        case .occupancy: self.heardSnapshot(message.content, at: now)
        case .marks, .repair: break
        }
    }

    /// Looks at the clock: sends the next probe, and ends a conversation through which nothing passes.
    func judgeProbes(at now: NIODeadline) {
        let isExcused = self.ingress.withLock { state in
            state.untakenSince.map { $0 + Self.takingLimit <= now } ?? false
        }
        let cut = self.update { state -> (@Sendable () -> Void)? in
            guard state.probes != nil else { return nil }
            let verdict = state.probes?.tick(at: now, isExcused: isExcused)
            state.isProbeDue = state.probes?.isDue(at: now) ?? false
            guard let verdict else { return nil }
            state.verdict = verdict
            defer { state.cut = nil }
            return state.cut
        }
        cut?()
    }

    /// Owners that take nothing for so long are what keeps probes from coming through, not the upstream.
    private static let takingLimit = TimeAmount.seconds(1)

    func takeVerdict() -> ProbeTable.Verdict? {
        self.update { state in
            defer { state.verdict = nil }
            return state.verdict
        }
    }

    private func log(_ finding: ProbeTable.Finding) {
        switch finding {
        case .duplicate(let life):
            self.logger.error(
                "Another instance uses this instance's id; give each its own",
                metadata: [LogKey.instance: "\(life.instance)", LogKey.epoch: "\(life.epoch)"])
        case .newPeer(let sender):
            self.logger.debug(
                "Heard another instance",
                metadata: [LogKey.instance: "\(sender.instance)", LogKey.peerBridge: "\(sender.bridge)"])
        }
    }
}
