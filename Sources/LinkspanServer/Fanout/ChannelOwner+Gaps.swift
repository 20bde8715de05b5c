internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore

/// What one owner knows about missing messages, its own and those of others.
struct OwnerGaps {
    var watch: GapWatch
    /// Channels in which something is missing, by number, with the time when something is due there.
    private(set) var awaited: [Int: NIODeadline] = [:]
    /// Of messages that had to wait and were delivered in this turn.
    var delivered: [BridgeIndex: IngressTally] = [:]
    /// Channels from which something left and that receivers were not told of since.
    var unmarked: [OwnedChannel] = []
    private var terms: [BridgeIndex: GapTerms] = [:]

    init(loop: Int) {
        // Owners count apart, so that an id means one gap of the instance.
        self.watch = GapWatch(firstID: UInt64(loop) << 48 + 1)
    }

    var hasNews: Bool { self.watch.hasEvents || !self.delivered.isEmpty }

    /// When something is due; nil when nothing is missing.
    var nextDeadline: NIODeadline? { self.awaited.values.min() }

    func isAwaited(_ number: Int) -> Bool { !self.awaited.isEmpty && self.awaited[number] != nil }

    mutating func await(_ number: Int, until deadline: NIODeadline?) {
        self.awaited[number] = deadline
    }

    mutating func terms(of bridge: BridgeIndex, _ plane: (any BridgePlane)?) -> GapTerms {
        if let known = self.terms[bridge] { return known }
        let terms = plane?.gapTerms(for: bridge) ?? GapTerms()
        self.terms[bridge] = terms
        return terms
    }

    @inline(__always)
    mutating func noteDeparture(of channel: OwnedChannel, _ header: EnvelopeHeader?, arrival: BridgeIndex?) {
        if let arrival, let header { channel.noteTransit(header.origin, from: arrival) }
        guard !channel.isUnmarked else { return }
        channel.isUnmarked = true
        self.unmarked.append(channel)
    }
}

extension ChannelOwner {
    // MARK: What is missing here

    /// A message that shows a gap, fills one, or comes while others wait.
    func arriveOutOfOrder(
        _ envelope: HeldEnvelope, _ verdict: SequenceVerdict?, channel: OwnedChannel, number: Int, turn: Turn,
        tally: inout IngressTally
    ) {
        guard var windows = channel.windows, let verdict else { return }
        channel.windows = nil
        let header = envelope.header
        let sender = header.hops.last ?? header.origin.instance
        windows.book(
            verdict, of: header.origin, self.context(channel, envelope.bridge, sender: sender, turn), &self.gaps.watch)
        if let known = channel.groupWindows { windows.settle(known, upTo: header.origin, &self.gaps.watch) }
        if verdict == .late { tally.late += 1 }
        var delivered: [HeldEnvelope] = []
        if windows.mustWait(header.origin) {
            windows.hold(envelope, &self.gaps.watch)
            tally.held += 1
        } else {
            tally.delivered += 1
            delivered.append(envelope)
        }
        let released = self.release(&windows, number: number, at: turn.now)
        channel.windows = windows
        self.deliver(delivered + released, channel: channel, number: number)
    }

    /// A message that this instance, or another, asked for.
    func arriveRepaired(
        _ name: UnsafeRawBufferPointer, hash: NameTable.Hash, header: EnvelopeHeader?, data: UnsafeRawBufferPointer,
        from bridge: BridgeIndex, hopLimit: Int, turn: Turn, tally: inout IngressTally
    ) {
        guard let header, let number = self.find(name, hash: hash),
            self.channels[number]?.windows?.isMissing(header.origin) == true
        else { return tally.duplicate += 1 }
        let late = tally.late
        self.arrive(
            name, hash: hash, header: header, data: data, from: bridge, hopLimit: hopLimit, turn: turn, tally: &tally)
        tally.repaired += tally.late - late
    }

    /// An instance says how far it got; what did not come of that is missing.
    func marked(_ marks: [SequenceMark], sender: InstanceID, from bridge: BridgeIndex, turn: Turn) {
        guard sender != self.context.instance else { return }
        for mark in marks where mark.origin.instance != self.context.instance {
            var name = mark.channel.string
            let hash = NameTable.Hash(mark.channel)
            guard let number = name.withUTF8({ self.find(UnsafeRawBufferPointer($0), hash: hash) }),
                let channel = self.channels[number], var windows = channel.windows,
                channel.hasSubscribers || self.gaps.terms(of: bridge, self.context.bridgePlane).listensAlways
            else { continue }
            channel.windows = nil
            windows.mark(
                mark.origin, isDirect: sender == mark.origin.instance,
                self.context(channel, bridge, sender: sender, turn), &self.gaps.watch)
            if let known = channel.groupWindows { windows.settle(known, upTo: mark.origin, &self.gaps.watch) }
            let released = self.release(&windows, number: number, at: turn.now)
            channel.windows = windows
            self.deliver(released, channel: channel, number: number)
        }
    }

    /// A message that a bridge brings of which another, shared with other instances, had brought a copy.
    func arriveAgain(
        _ header: EnvelopeHeader, _ verdict: SequenceVerdict, from bridge: BridgeIndex, channel: OwnedChannel,
        number: Int, turn: Turn, _ tally: inout IngressTally
    ) {
        tally.duplicate += 1
        guard verdict != .fresh(gap: nil), var windows = channel.windows else { return }
        channel.windows = nil
        let sender = header.hops.last ?? header.origin.instance
        windows.book(
            verdict, of: header.origin, self.context(channel, bridge, sender: sender, turn), &self.gaps.watch)
        if let known = channel.groupWindows { windows.settle(known, upTo: header.origin, &self.gaps.watch) }
        let released = self.release(&windows, number: number, at: turn.now)
        channel.windows = windows
        self.deliver(released, channel: channel, number: number)
    }

    /// What is due by the clock: messages that waited long enough, gaps that are given up.
    func gapsDue(_ turn: Turn) {
        for (number, deadline) in self.gaps.awaited where deadline <= turn.now {
            guard let channel = self.channels[number], var windows = channel.windows else {
                self.gaps.await(number, until: nil)
                continue
            }
            channel.windows = nil
            let released = self.release(&windows, number: number, at: turn.now)
            channel.windows = windows
            self.deliver(released, channel: channel, number: number)
        }
    }

    /// Takes out what waits for nothing any more, and notes when to look again.
    private func release(_ windows: inout OriginWindows, number: Int, at now: NIODeadline) -> [HeldEnvelope] {
        var released: [HeldEnvelope] = []
        windows.release(at: now, &self.gaps.watch) { released.append($0) }
        for envelope in released { self.gaps.delivered[envelope.bridge, default: IngressTally()].delivered += 1 }
        self.gaps.await(number, until: windows.nextDeadline)
        return released
    }

    private func deliver(_ envelopes: [HeldEnvelope], channel: OwnedChannel, number: Int) {
        for envelope in envelopes {
            envelope.data.withUnsafeReadableBytes { data in
                self.deliverArrival(
                    data, header: envelope.header, from: envelope.bridge, channel: channel, number: number)
            }
        }
    }

    /// At the end of a turn.
    func reportGaps() {
        for (bridge, events) in self.gaps.watch.takeEvents() {
            self.context.bridgePlane?.noteGaps(events, of: bridge)
        }
        for (bridge, tally) in self.gaps.delivered { self.context.bridgePlane?.settleHeld(tally, of: bridge) }
        self.gaps.delivered.removeAll(keepingCapacity: true)
    }

    private func context(
        _ channel: OwnedChannel, _ bridge: BridgeIndex, sender: InstanceID, _ turn: Turn
    ) -> GapContext {
        GapContext(
            channel: channel.name, bridge: bridge, sender: sender,
            terms: self.gaps.terms(of: bridge, self.context.bridgePlane), now: turn.now, wallClock: turn.wallClock)
    }

    // MARK: What receivers elsewhere are told

    /// How long nothing may have left a channel before receivers are told its last number.
    static let quietTime = TimeAmount.seconds(1)

    /// Tells the bridges which channels went quiet, and with which number.
    func markQuiet(at now: NIODeadline) {
        guard !self.gaps.unmarked.isEmpty else { return }
        var marks: [BridgeIndex: [SequenceMark]] = [:]
        var busy: [OwnedChannel] = []
        for channel in self.gaps.unmarked {
            guard channel.lastUsed + Self.quietTime <= now else {
                busy.append(channel)
                continue
            }
            channel.isUnmarked = false
            for (bridge, origin) in channel.takeMarks(instance: self.context.instance) {
                marks[bridge, default: []].append(SequenceMark(channel: channel.name, origin: origin))
            }
        }
        self.gaps.unmarked = busy
        for (bridge, marks) in marks { self.context.bridgePlane?.channelsQuiet(marks, on: bridge) }
    }
}
