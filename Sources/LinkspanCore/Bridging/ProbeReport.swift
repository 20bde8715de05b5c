internal import LinkspanBridgeKit
public import NIOCore

/// What probes have shown of one bridge, at one moment.
public struct ProbeReport: Sendable, Hashable {
    public struct Peer: Sendable, Hashable {
        public var sender: ProbeSender
        /// Start of its run, milliseconds since 1970.
        public var epoch: UInt64
        public var sinceHeard: Duration
        /// Whether we hear it.
        public var heard: ProbeState
        /// Whether it hears us, by its own word; nil when it has not said so.
        public var hears: ProbeState?
        /// From us to it and back, without the time that it took to tell; nil until it heard us.
        public var roundTrip: Duration?
        /// Probes of it that did not come, although later ones did.
        public var missedCount: UInt64
    }

    /// Nil when the rule has no such direction. The same holds for `ingress`.
    public var egress: ProbeState?
    public var ingress: ProbeState?
    /// From sending to the return of the last probe that came back, or to the upstream's answer where none can come back.
    public var roundTrip: Duration?
    public var sentCount: UInt64
    public var returnedCount: UInt64
    public var restartCount: UInt64
    public var ignoredCount: UInt64
    /// What keeps probes from proving anything, for people; nil when nothing does.
    public var obstacle: String?
    /// The other bridges that share the upstream, by instance and name.
    public var peers: [Peer]
    /// Other runs under our own id that were heard lately.
    public var duplicates: [InstanceLife]

    /// Whether everything that the rule does is proven, or could not be.
    public var isGood: Bool {
        [self.egress, self.ingress].allSatisfy { $0 == nil || $0 == .proven || $0 == .assumed }
    }
}

extension ProbeTable {
    public func report(at now: NIODeadline) -> ProbeReport {
        ProbeReport(
            egress: self.abilities.publishes ? self.egressState(at: now) : nil,
            ingress: self.abilities.receives ? self.ingressState(at: now) : nil, roundTrip: self.roundTrip,
            sentCount: self.sentCount, returnedCount: self.returnedCount, restartCount: self.restartCount,
            ignoredCount: self.ignoredCount, obstacle: self.obstacle,
            peers: self.peers.map { self.report($0, $1, at: now) }.sorted {
                ($0.sender.instance.string, $0.sender.bridge) < ($1.sender.instance.string, $1.sender.bridge)
            },
            duplicates: self.strangers.keys.sorted { ($0.epoch, $0.nonce) < ($1.epoch, $1.nonce) })
    }

    private var obstacle: String? {
        if let refusal = self.refusal { return "the upstream refuses probes: \(refusal.rawValue)" }
        return self.isFilterRejected ? "the upstream refused the subscription to probes" : nil
    }

    private func report(_ sender: ProbeSender, _ peer: Peer, at now: NIODeadline) -> ProbeReport.Peer {
        let slack = TimeAmount(peer.settings.every)
        return ProbeReport.Peer(
            sender: sender, epoch: peer.life.epoch, sinceHeard: Duration(now - peer.heardAt),
            heard: self.state(of: peer, at: now),
            // It tells us with its next probe only.
            hears: peer.hearsUsSince.map { self.settings.judge($0 + slack, at: now) }, roundTrip: peer.roundTrip,
            missedCount: peer.missedCount)
    }

    func state(of peer: Peer, at now: NIODeadline) -> ProbeState {
        peer.settings.judge(peer.heardAt, at: now)
    }

    /// Both directions, as far as the bridge has them; a repair request needs the way out also of a rule that only receives.
    func directions(at now: NIODeadline) -> [ProbeState] {
        [self.egressState(at: now)] + (self.abilities.receives ? [self.ingressState(at: now)] : [])
    }

    private func egressState(at now: NIODeadline) -> ProbeState {
        let proof = [self.lastReturn, self.lastEchoed, self.isOnlyAnswered ? self.lastAnswer : nil]
        return self.state(proof, isProvable: self.mayReturn || self.isOnlyAnswered, at: now)
    }

    private func ingressState(at now: NIODeadline) -> ProbeState {
        self.state([self.lastReturn, self.lastHeard], isProvable: self.mayReturn, at: now)
    }

    private func state(_ proofs: [NIODeadline?], isProvable: Bool, at now: NIODeadline) -> ProbeState {
        guard let upSince = self.upSince else { return .broken }
        if let proof = proofs.compactMap(\.self).max() { return self.settings.judge(proof, at: now) }
        guard isProvable else { return .assumed }
        return upSince + TimeAmount(self.settings.deadline) > now ? .suspect : .broken
    }
}

extension ProbeSettings {
    func judge(_ proof: NIODeadline, at now: NIODeadline) -> ProbeState {
        if proof + TimeAmount(self.doubt) >= now { return .proven }
        return proof + TimeAmount(self.deadline) > now ? .suspect : .broken
    }
}
