public import LinkspanBridgeKit
public import NIOCore

/// How often a bridge sends probes, and what their absence means.
public struct ProbeSettings: Sendable, Hashable {
    public var every = Duration.seconds(5)
    /// So long without proof a direction counts as broken, and the conversation begins anew.
    public var deadline = Duration.seconds(15)

    public init() {}

    public init(every: Duration, deadline: Duration) {
        self.every = every
        self.deadline = deadline
    }

    /// So long without proof a direction counts as suspect.
    var doubt: Duration { (self.every + self.deadline) / 2 }
}

/// What is known of one direction of a bridge.
public enum ProbeState: String, Sendable, Hashable, CaseIterable {
    /// A probe has passed of late.
    case proven
    /// The connection stands, and nothing that this bridge may do could prove more.
    case assumed
    /// Proof is late, or has not come yet.
    case suspect
    /// No proof within the deadline, or no connection.
    case broken
}

/// Finds out by probes whether messages really pass: what one bridge sent and got back, and what it hears of the other instances.
///
/// A pure value: time comes in with each call. Memory is bounded by ``peerLimit`` and two further small limits.
public struct ProbeTable: Sendable {
    /// What a bridge can prove, by its rule and its upstream.
    public struct Abilities: Sendable, Hashable {
        /// Whether it may send probes.
        public var sends: Bool
        /// Whether it hears probes, its own included.
        public var receives: Bool
        /// Whether a confirmation of a probe is the upstream's own word.
        public var isAnswered: Bool
        /// Whether the rule itself publishes; a bridge that only receives is never restarted before a probe of its own came back once.
        public var publishes: Bool
        /// Whether it withdraws subscriptions of instances that are gone.
        public var keepsOccupancy = false

        public init(sends: Bool, receives: Bool, isAnswered: Bool, publishes: Bool) {
            self.sends = sends
            self.receives = receives
            self.isAnswered = isAnswered
            self.publishes = publishes
        }
    }

    /// Most other senders remembered; probes of further ones are counted in ``ignoredCount``.
    public static let peerLimit = 256
    /// Probes under way that are remembered.
    private static let sentLimit = 64
    private static let strangerLimit = 16
    /// A conversation that never proved anything is given up to this many times the deadline.
    private static let longestPatience = 32
    /// Until the first proof probes go out faster.
    private static let firstPause = TimeAmount.seconds(1)

    public let life: InstanceLife
    public let bridge: String
    public let settings: ProbeSettings

    public private(set) var sentCount: UInt64 = 0
    public private(set) var returnedCount: UInt64 = 0
    /// Conversations that were ended because nothing came back.
    public private(set) var restartCount: UInt64 = 0
    /// Probes that were no probes, too old, or of senders beyond the limit.
    public private(set) var ignoredCount: UInt64 = 0
    /// From sending to the return of the last probe that came back.
    public private(set) var roundTrip: Duration?

    var abilities: Abilities
    var upSince: NIODeadline?
    var refusal: EgressRefusal?
    var isFilterRejected = false
    var lastReturn: NIODeadline?
    var lastHeard: NIODeadline?
    var lastEchoed: NIODeadline?
    var lastAnswer: NIODeadline?
    var peers: [ProbeSender: Peer] = [:]
    var strangers: [InstanceLife: NIODeadline] = [:]

    private var nextNumber: UInt64 = 1
    private var firstNumber: UInt64 = 1
    private var sent: [Sent] = []
    private var awaited: (ticket: UInt64, at: NIODeadline)?
    private var lastSent: NIODeadline?
    private var isUrgent = false
    /// Since when the oldest probe without proof is under way.
    private var unprovenSince: NIODeadline?
    private var fruitlessRestarts = 0
    private var hasReturned = false

    struct Peer: Sendable, Hashable {
        var life: InstanceLife
        var number: UInt64
        var heardAt: NIODeadline
        var settings: ProbeSettings
        var missedCount: UInt64 = 0
        /// When the newest of our probes was sent that it says it heard.
        var hearsUsSince: NIODeadline?
        var roundTrip: Duration?
    }

    private struct Sent: Sendable {
        var number: UInt64
        var at: NIODeadline
    }

    public init(life: InstanceLife, bridge: String, settings: ProbeSettings, abilities: Abilities) {
        self.life = life
        self.bridge = bridge
        self.settings = settings
        self.abilities = abilities
    }

    private var maySend: Bool { self.abilities.sends && self.refusal == nil }

    /// Whether own probes can come back.
    var mayReturn: Bool { self.maySend && self.abilities.receives }

    /// Whether the upstream's own word on a probe is all the proof there can be.
    var isOnlyAnswered: Bool { self.maySend && !self.abilities.receives && self.abilities.isAnswered }

    // MARK: The link

    /// A conversation began; only what happens in it proves anything.
    public mutating func linkUp(_ abilities: Abilities, at now: NIODeadline) {
        self.linkDown()
        self.abilities = abilities
        self.upSince = now
        self.firstNumber = self.nextNumber
        self.isUrgent = true
    }

    public mutating func linkDown() {
        self.upSince = nil
        self.refusal = nil
        self.isFilterRejected = false
        self.lastReturn = nil
        self.lastHeard = nil
        self.lastEchoed = nil
        self.lastAnswer = nil
        self.lastSent = nil
        self.sent.removeAll(keepingCapacity: true)
        self.awaited = nil
        self.unprovenSince = nil
    }

    /// The upstream's word on the subscription to probes.
    public mutating func filterSettled(accepted: Bool) {
        self.isFilterRejected = !accepted
        // Whatever was sent before may have found nobody listening.
        if accepted, self.lastReturn == nil { self.isUrgent = true }
    }

    // MARK: Sending

    /// Whether a probe should go out.
    public func isDue(at now: NIODeadline) -> Bool {
        guard self.upSince != nil, self.maySend else { return false }
        guard !self.isUrgent, let lastSent = self.lastSent else { return true }
        let every = TimeAmount(self.settings.every)
        return lastSent + (self.hasProof ? every : min(every, Self.firstPause)) <= now
    }

    private var hasProof: Bool { self.lastReturn != nil || (!self.abilities.receives && self.lastAnswer != nil) }

    /// The next probe, which leaves now.
    public mutating func next(ticket: UInt64, at now: NIODeadline) -> Probe {
        let number = self.nextNumber
        self.nextNumber += 1
        self.sentCount += 1
        self.isUrgent = false
        self.lastSent = now
        if self.sent.count >= Self.sentLimit { self.sent.removeFirst() }
        self.sent.append(Sent(number: number, at: now))
        if self.unprovenSince == nil { self.unprovenSince = now }
        if self.awaited == nil { self.awaited = (ticket, now) }
        return Probe(
            life: self.life, bridge: self.bridge, number: number, every: self.settings.every,
            deadline: self.settings.deadline, keepsOccupancy: self.abilities.keepsOccupancy,
            seen: self.sightings(at: now))
    }

    private func sightings(at now: NIODeadline) -> [ProbeSighting] {
        self.peers.filter { self.state(of: $0.value, at: now) != .broken }
            .sorted { $0.value.heardAt > $1.value.heardAt }
            .prefix(Probe.sightingLimit)
            .map { sender, peer in
                ProbeSighting(
                    sender: sender, epoch: peer.life.epoch, number: peer.number, age: Duration(now - peer.heardAt))
            }
    }

    /// Whether the upstream has a probe of which it said nothing yet.
    public var isAwaiting: Bool { self.awaited != nil }

    /// The upstream confirmed these tickets; those of other messages are ignored.
    public mutating func confirmed(_ tickets: ClosedRange<UInt64>, at now: NIODeadline) {
        guard let awaited = self.awaited, tickets.contains(awaited.ticket) else { return }
        self.awaited = nil
        guard self.abilities.isAnswered else { return }
        self.lastAnswer = now
        if !self.abilities.receives {
            self.roundTrip = Duration(now - awaited.at)
            self.proofCame(ofProbesUntil: .max)
        }
    }

    /// The upstream will not take probes; none is sent any more in this conversation.
    public mutating func refused(_ ticket: UInt64, _ reason: EgressRefusal, at now: NIODeadline) {
        guard let awaited = self.awaited, awaited.ticket == ticket else { return }
        // Nobody to take it is an answer too, and one that a bridge which only sends has to expect.
        guard reason != .unroutable else { return self.confirmed(ticket...ticket, at: now) }
        self.awaited = nil
        self.refusal = reason
        self.unprovenSince = nil
    }

    private mutating func proofCame(ofProbesUntil number: UInt64) {
        self.hasReturned = true
        self.fruitlessRestarts = 0
        self.unprovenSince = self.sent.first { $0.number > number }?.at
    }

    // MARK: Hearing

    /// What a probe that arrived has shown.
    public enum Finding: Sendable, Hashable {
        /// Another run under our own id is at work; told once for each.
        case duplicate(InstanceLife)
        /// An instance, or a new run of it, that was not known here.
        case newPeer(ProbeSender)
    }

    /// - Parameter sentAt: by the sender's clock, milliseconds since 1970.
    public mutating func heard(_ probe: Probe, sentAt: UInt64, at now: NIODeadline) -> Finding? {
        guard probe.life.instance != self.life.instance else { return self.heardOwn(probe, sentAt: sentAt, at: now) }
        self.lastHeard = now
        let isNew = self.note(probe, at: now)
        for sighting in probe.seen where sighting.sender.instance == self.life.instance {
            self.note(sighting, by: probe.sender, at: now)
        }
        return isNew ? .newPeer(probe.sender) : nil
    }

    private mutating func heardOwn(_ probe: Probe, sentAt: UInt64, at now: NIODeadline) -> Finding? {
        guard probe.life == self.life else { return self.heardDuplicate(probe.life, sentAt: sentAt, at: now) }
        // Another bridge of ours over the same upstream proves nothing about this one.
        guard probe.bridge == self.bridge else { return nil }
        guard probe.number >= self.firstNumber, self.upSince != nil else {
            self.ignoredCount += 1
            return nil
        }
        self.returnedCount += 1
        self.lastReturn = now
        if let sent = self.sent.first(where: { $0.number == probe.number }) { self.roundTrip = Duration(now - sent.at) }
        self.proofCame(ofProbesUntil: probe.number)
        return nil
    }

    /// What an upstream had kept of an earlier run of ours is old news; another run that is alive now is not.
    private mutating func heardDuplicate(_ other: InstanceLife, sentAt: UInt64, at now: NIODeadline) -> Finding? {
        guard other.epoch >= self.life.epoch || sentAt > self.life.epoch else {
            self.ignoredCount += 1
            return nil
        }
        let isKnown = self.strangers[other] != nil
        if !isKnown, self.strangers.count >= Self.strangerLimit,
            let oldest = self.strangers.min(by: { $0.value < $1.value })
        {
            self.strangers[oldest.key] = nil
        }
        self.strangers[other] = now
        return isKnown ? nil : .duplicate(other)
    }

    /// - Returns: whether this run of it was not known.
    private mutating func note(_ probe: Probe, at now: NIODeadline) -> Bool {
        let settings = ProbeSettings(every: probe.every, deadline: max(probe.deadline, probe.every))
        // An older run is what an upstream had kept, unless the newer one is gone: then a clock was set back.
        if var peer = self.peers[probe.sender],
            probe.life == peer.life || probe.life.epoch <= peer.life.epoch && self.state(of: peer, at: now) != .broken
        {
            guard probe.life == peer.life, probe.number > peer.number else {
                self.ignoredCount += 1
                return false
            }
            peer.missedCount += probe.number - peer.number - 1
            peer.number = probe.number
            peer.heardAt = now
            peer.settings = settings
            self.peers[probe.sender] = peer
            return false
        }
        guard self.peers[probe.sender] != nil || self.peers.count < Self.peerLimit else {
            self.ignoredCount += 1
            return false
        }
        self.peers[probe.sender] = Peer(life: probe.life, number: probe.number, heardAt: now, settings: settings)
        return true
    }

    private mutating func note(_ sighting: ProbeSighting, by sender: ProbeSender, at now: NIODeadline) {
        guard sighting.sender.bridge == self.bridge, sighting.epoch == self.life.epoch,
            let sent = self.sent.first(where: { $0.number == sighting.number })
        else { return }
        self.lastEchoed = max(self.lastEchoed ?? sent.at, sent.at)
        self.peers[sender]?.hearsUsSince = sent.at
        let away = Duration(now - sent.at)
        if sighting.age <= away { self.peers[sender]?.roundTrip = away - sighting.age }
    }

    // MARK: Time

    /// Why the conversation has to begin anew.
    public struct Verdict: Sendable, Hashable {
        public var silence: Duration
    }

    /// Forgets who has been silent for long, and judges the conversation.
    ///
    /// - Parameter isExcused: nothing could have come back since the server itself has not taken what arrived; the wait begins anew.
    public mutating func tick(at now: NIODeadline, isExcused: Bool = false) -> Verdict? {
        self.forgetOld(at: now)
        if isExcused, self.unprovenSince != nil { self.unprovenSince = now }
        guard self.upSince != nil, let since = self.silentSince, self.hasReturned || self.abilities.publishes else {
            return nil
        }
        let patience = self.settings.deadline * min(1 << min(self.fruitlessRestarts, 8), Self.longestPatience)
        guard since + TimeAmount(patience) <= now else { return nil }
        self.restartCount += 1
        self.fruitlessRestarts += 1
        return Verdict(silence: Duration(now - since))
    }

    /// Nil while there is nothing to miss.
    private var silentSince: NIODeadline? {
        if self.mayReturn || self.isOnlyAnswered { return self.unprovenSince }
        // Who only listens misses the others, if there were any in this conversation.
        return self.maySend ? nil : self.lastHeard
    }

    private mutating func forgetOld(at now: NIODeadline) {
        let horizon = now - TimeAmount(max(self.settings.deadline * 20, .seconds(60)))
        self.peers = self.peers.filter { $0.value.heardAt > horizon }
        self.strangers = self.strangers.filter { $0.value > horizon }
    }
}
