internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// Owns a share of the channels: gives each one total order, and knows which loops, bridges and observers want it.
///
/// Everything that enters one channel passes here, one message after the other, on one loop. What one turn brought is framed as it
/// comes and handed on once at the end of the turn: one batch for each loop with subscribers, one for each bridge.
///
/// Channels that nobody uses are forgotten. Their counters go with them, yet no identity is ever given out twice: a channel that is made
/// after one was forgotten counts from 1 in an epoch that is newer than any forgotten one. Receivers treat it like a restart.
final class ChannelOwner {
    let context: ServerContext
    private let loop: Int
    @exclusivity(unchecked) private var names = NameTable()
    @exclusivity(unchecked) private(set) var channels: ContiguousArray<OwnedChannel?> = []
    var nextEpoch: UInt64
    private var sweepThreshold: Int
    private var observers: [any BrokerObserver] = []
    /// What is missing in channels here, and what receivers elsewhere are to be told; see ChannelOwner+Gaps.swift.
    var gaps: OwnerGaps

    // What this turn brought.
    @exclusivity(unchecked) private var dirty: ContiguousArray<Int32> = []
    private var departures: [Departure] = []
    private var departureBytes: ByteBuffer?
    @exclusivity(unchecked) private var pool = FrameBlockPool()
    private var writer: FormWriter

    /// A message that leaves for bridges or observers at the end of the turn.
    private struct Departure {
        var channel: OwnedChannel
        var start: Int
        var count: Int
        var header: EnvelopeHeader?
        var arrival: BridgeIndex?
        var raisesEvent: Bool
        /// Who waits for what becomes of it.
        var receipt: EgressReceipt?
    }

    init(context: ServerContext, loop: Int) {
        self.context = context
        self.loop = loop
        self.nextEpoch = context.epoch
        self.sweepThreshold = context.ownedChannelLimit
        self.writer = FormWriter(context: context, counters: context.counters[loop])
        self.gaps = OwnerGaps(loop: loop)
    }

    var channelCount: Int { self.names.count }

    // MARK: Publishing

    /// - Parameter data: validated JSON; empty for a publish without data.
    func publish(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash, data: UnsafeRawBufferPointer, turn: Turn) {
        let number = self.number(of: name, hash: hash, now: turn.now)
        let channel = self.channels[number].unsafelyUnwrapped
        channel.lastUsed = turn.now
        let sequence = channel.nextSequence()
        self.frame(data, channel: channel, number: number)
        guard !channel.routes.isEmpty || !self.observers.isEmpty else { return }
        let origin = Origin(instance: self.context.instance, epoch: channel.epoch, sequence: sequence)
        let header = EnvelopeHeader(origin: origin, hops: self.context.ownHops, acceptedAt: turn.wallClock)
        self.depart(channel, data: data, header: header, arrival: nil, raisesEvent: true)
    }

    /// The same, for somebody who waits for what becomes of the message at its bridges.
    func publish(
        _ name: UnsafeRawBufferPointer, hash: NameTable.Hash, data: UnsafeRawBufferPointer, receipt: EgressReceipt,
        turn: Turn
    ) {
        let count = self.departures.count
        self.publish(name, hash: hash, data: data, turn: turn)
        guard self.departures.count > count, let origin = self.departures[count].header?.origin else { return }
        receipt.numbered(origin)
        self.departures[count].receipt = receipt
    }

    func handle(_ batch: OwnerBatch, turn: Turn) {
        for request in batch.requests {
            let name = UnsafeRawBufferPointer(start: batch.bytes.base + request.nameStart, count: request.nameCount)
            switch request.kind {
            case .publish:
                let data = UnsafeRawBufferPointer(
                    start: batch.bytes.base + request.nameStart + request.nameCount, count: request.dataCount)
                self.publish(name, hash: request.hash, data: data, turn: turn)
            case .publishForReceipt(let index):
                let data = UnsafeRawBufferPointer(
                    start: batch.bytes.base + request.nameStart + request.nameCount, count: request.dataCount)
                self.publish(
                    name, hash: request.hash, data: data, receipt: batch.receipts[Int(index)], turn: turn)
            case .join(let channel):
                self.join(name, hash: request.hash, loop: batch.source, channel: channel, turn: turn)
            case .leave(let form):
                self.leave(name, hash: request.hash, loop: batch.source, form: form, turn: turn)
            }
        }
    }

    func handle(_ injection: Injection, turn: Turn) {
        var tally = IngressTally()
        let isShared = self.isShared(injection.source)
        for message in injection.messages {
            var name = message.envelope.channel.string
            name.withUTF8 { name in
                let name = UnsafeRawBufferPointer(name)
                message.envelope.data.withUnsafeReadableBytes { data in
                    switch injection.source {
                    case .exchange:
                        self.publish(name, hash: message.hash, data: data, turn: turn)
                    case .exchangeForReceipt(let receipt):
                        self.publish(name, hash: message.hash, data: data, receipt: receipt, turn: turn)
                    case .library:
                        let number = self.number(of: name, hash: message.hash, now: turn.now)
                        self.frame(data, channel: self.channels[number].unsafelyUnwrapped, number: number)
                    case .bridge(let bridge, let hopLimit, _) where isShared:
                        self.arriveShared(
                            name, hash: message.hash, header: message.envelope.header, data: data, from: bridge,
                            hopLimit: hopLimit, turn: turn, tally: &tally)
                    case .bridge(let bridge, let hopLimit, _):
                        self.arrive(
                            name, hash: message.hash, header: message.envelope.header, data: data, from: bridge,
                            hopLimit: hopLimit, turn: turn, tally: &tally)
                    case .repair(let bridge, let hopLimit, _):
                        self.arriveRepaired(
                            name, hash: message.hash, header: message.envelope.header, data: data, from: bridge,
                            hopLimit: hopLimit, turn: turn, tally: &tally)
                    }
                }
            }
        }
        if let progress = injection.source.progress { turn.whenDone(progress, tally) }
    }

    func arrive(
        _ name: UnsafeRawBufferPointer, hash: NameTable.Hash, header: EnvelopeHeader?, data: UnsafeRawBufferPointer,
        from bridge: BridgeIndex, hopLimit: Int, turn: Turn, tally: inout IngressTally
    ) {
        let number = self.number(of: name, hash: hash, now: turn.now)
        let channel = self.channels[number].unsafelyUnwrapped
        channel.lastUsed = turn.now
        // A raw message has no identity to judge by, and never leaves again: every instance has it.
        guard let header else {
            tally.delivered += 1
            self.frame(data, channel: channel, number: number)
            return
        }
        guard self.passes(header, hopLimit: hopLimit, &tally) else { return }
        if channel.windows == nil { channel.windows = OriginWindows() }
        let evicted = channel.windows?.evictedCount
        let verdict = channel.windows?.judge(header.origin, isDirect: header.hops.count == 1, at: turn.now)
        if channel.windows?.evictedCount != evicted { self.context.counters[self.loop].originsForgotten.add(1) }
        switch verdict {
        case .duplicate:
            tally.duplicate += 1
            return
        case let verdict? where channel.groupWindows?.contains(header.origin) == true:
            return self.arriveAgain(header, verdict, from: bridge, channel: channel, number: number, turn: turn, &tally)
        case .fresh(gap: nil) where channel.windows?.waitingCount == 0: break
        case .fresh, .late:
            return self.arriveOutOfOrder(
                HeldEnvelope(header: header, data: ByteBuffer(bytes: data), bridge: bridge), verdict, channel: channel,
                number: number, turn: turn, tally: &tally)
        case nil: break
        }
        tally.delivered += 1
        self.deliverArrival(data, header: header, from: bridge, channel: channel, number: number)
    }

    /// Counts what may not pass.
    func passes(_ header: EnvelopeHeader, hopLimit: Int, _ tally: inout IngressTally) -> Bool {
        switch self.context.hopGuard.judge(header, limit: hopLimit) {
        case .passes: return true
        case .looped:
            if self.isOfNamesake(header) { return true }
            tally.looped += 1
        case .tooManyHops:
            tally.tooManyHops += 1
        }
        return false
    }

    /// Whether another living instance that wrongly has our id sent this to the upstream itself: our clients would miss it. What an earlier run
    /// of ours had sent, and everything that took another way, may be a loop.
    private func isOfNamesake(_ header: EnvelopeHeader) -> Bool {
        header.hops.count == 1 && header.origin.instance == self.context.instance
            && header.acceptedAt > self.context.epoch
            && !(self.context.epoch...self.nextEpoch).contains(header.origin.epoch)
    }

    /// To the subscribers here, and onward where a rule says so.
    func deliverArrival(
        _ data: UnsafeRawBufferPointer, header: EnvelopeHeader, from bridge: BridgeIndex, channel: OwnedChannel,
        number: Int
    ) {
        self.frame(data, channel: channel, number: number)
        if channel.routes.contains(where: { $0.carriesOn(from: bridge) }),
            header.origin.instance != self.context.instance
        {
            self.depart(channel, data: data, header: header, arrival: bridge, raisesEvent: false)
        }
    }

    /// Once for each form that somebody reads.
    func frame(_ data: UnsafeRawBufferPointer, channel: OwnedChannel, number: Int) {
        if !channel.listeners.isEmpty { self.tellListeners(data, channel: channel) }
        for index in channel.gatherings.indices where channel.gatherings[index].loops > 0 {
            if channel.gatherings[index].frames == nil {
                channel.gatherings[index].frames = self.pool.take()
                self.dirty.append(Int32(number))
            }
            guard var frames = channel.gatherings[index].frames else { continue }
            let form = channel.gatherings[index].form
            if form == .plain {
                channel.encoder.encodeFrame(data: data.bytes, into: &frames)
            } else {
                let packet = self.writer.put(form, into: frames) {
                    channel.encoder.encodePacket(data: data.bytes, into: &$0)
                }
                if packet == nil { continue }
            }
            channel.gatherings[index].frameCount += 1
        }
    }

    private func tellListeners(_ data: UnsafeRawBufferPointer, channel: OwnedChannel) {
        let data = data.isEmpty ? nil : JSONText(alreadyValid: Array(data))
        for listener in channel.listeners { listener.hear(ExchangeMessage(channel: channel.name, data: data)) }
    }

    func depart(
        _ channel: OwnedChannel, data: UnsafeRawBufferPointer, header: EnvelopeHeader?, arrival: BridgeIndex?,
        raisesEvent: Bool
    ) {
        var bytes = self.departureBytes ?? ByteBuffer()
        self.departureBytes = nil
        let start = bytes.writerIndex
        bytes.writeBytes(data)
        self.departureBytes = bytes
        self.gaps.noteDeparture(of: channel, header, arrival: arrival)
        self.departures.append(
            Departure(
                channel: channel, start: start, count: data.count, header: header, arrival: arrival,
                raisesEvent: raisesEvent))
    }

    // MARK: Subscribing

    func join(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash, loop: Int, channel: ShardChannel, turn: Turn) {
        let number = self.number(of: name, hash: hash, now: turn.now)
        let owned = self.channels[number].unsafelyUnwrapped
        owned.lastUsed = turn.now
        if owned.join(loop: loop, channel: channel) { self.tellSubscribed(owned) }
    }

    private func tellSubscribed(_ owned: OwnedChannel) {
        guard !owned.name.isReserved else { return }
        owned.windows?.rebase()
        self.context.bridgePlane?.channelSubscribed(owned.name)
        for observer in self.observers { observer.channelSubscribed(owned.name) }
    }

    func leave(
        _ name: UnsafeRawBufferPointer, hash: NameTable.Hash, loop: Int, form: FrameForm = .plain, turn: Turn
    ) {
        guard let number = self.names.find(name, hash: hash), let owned = self.channels[number] else { return }
        owned.lastUsed = turn.now
        if owned.leave(loop: loop, form: form) { self.tellUnsubscribed(owned) }
    }

    private func tellUnsubscribed(_ owned: OwnedChannel) {
        guard !owned.name.isReserved else { return }
        self.context.bridgePlane?.channelUnsubscribed(owned.name)
        for observer in self.observers { observer.channelUnsubscribed(owned.name) }
    }

    /// The server itself subscribes.
    func add(_ listener: ExchangeListener, turn: Turn) {
        var name = listener.channel.string
        let number = name.withUTF8 { utf8 in
            let name = UnsafeRawBufferPointer(utf8)
            return self.number(of: name, hash: NameTable.Hash(name), now: turn.now)
        }
        guard let owned = self.channels[number] else { return }
        owned.lastUsed = turn.now
        if owned.add(listener) { self.tellSubscribed(owned) }
    }

    func remove(_ listener: ExchangeListener) {
        var name = listener.channel.string
        let number = name.withUTF8 { utf8 in
            let name = UnsafeRawBufferPointer(utf8)
            return self.names.find(name, hash: NameTable.Hash(name))
        }
        guard let number, let owned = self.channels[number] else { return }
        if owned.remove(listener) { self.tellUnsubscribed(owned) }
    }

    /// Those that somebody here is subscribed to and that are not our own.
    var subscribedChannels: [ChannelName] {
        self.channels.compactMap { channel in
            guard let channel, channel.hasSubscribers, !channel.name.isReserved else { return nil }
            return channel.name
        }
    }

    /// Hands what has gathered for one channel to its subscribers now, because who they are is about to change.
    func settle(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash, turn: Turn) {
        guard let number = self.names.find(name, hash: hash), let channel = self.channels[number] else { return }
        self.deliver(channel, turn: turn)
    }

    func add(_ observer: any BrokerObserver) {
        self.observers.append(observer)
        // Who watches from now on learns of what is already there, like an adapter that starts late.
        for channel in self.channels {
            guard let channel, channel.hasSubscribers, !channel.name.isReserved else { continue }
            observer.channelSubscribed(channel.name)
        }
    }

    func remove(_ observer: any BrokerObserver) {
        self.observers.removeAll { $0 === observer }
    }

    // MARK: The end of a turn

    func endTurn(_ turn: Turn) {
        for number in self.dirty {
            if let channel = self.channels[Int(number)] { self.deliver(channel, turn: turn) }
        }
        self.dirty.removeAll(keepingCapacity: true)
        if !self.departures.isEmpty { self.sendDepartures(turn) }
        if self.gaps.hasNews { self.reportGaps() }
    }

    /// Blocks come back when the shard of this loop has written them.
    func reclaim(_ block: FrameBlock) {
        self.pool.give(block)
    }

    private func deliver(_ channel: OwnedChannel, turn: Turn) {
        for index in channel.gatherings.indices {
            guard let frames = channel.gatherings[index].frames else { continue }
            let frameCount = channel.gatherings[index].frameCount
            channel.gatherings[index].frames = nil
            channel.gatherings[index].frameCount = 0
            self.deliver(frames, frameCount: frameCount, channel.gatherings[index].form, of: channel, turn: turn)
        }
    }

    private func deliver(
        _ frames: FrameBlock, frameCount: Int, _ form: FrameForm, of channel: OwnedChannel, turn: Turn
    ) {
        var isHere = false
        for audience in channel.audience where audience.channel.form == form {
            if audience.loop == self.loop {
                isHere = true
                turn.deliverHere(audience.channel, frames, frameCount: frameCount)
            } else {
                turn.deliver(audience.channel, frames, frameCount: frameCount, to: audience.loop)
            }
        }
        if !isHere { self.pool.give(frames) }
    }

    private func sendDepartures(_ turn: Turn) {
        let bytes = self.departureBytes ?? ByteBuffer()
        self.departureBytes = nil
        var offers: [BridgeIndex: [EgressOffer]] = [:]
        for departure in self.departures {
            let data = bytes.getSlice(at: departure.start, length: departure.count) ?? ByteBuffer()
            if departure.raisesEvent {
                let envelope = Envelope(channel: departure.channel.name, data: data, header: departure.header)
                for observer in self.observers { observer.published(envelope) }
            }
            guard let header = departure.header else { continue }
            for route in departure.channel.routes {
                if let arrival = departure.arrival, !route.carriesOn(from: arrival) { continue }
                offers[route.bridge, default: []].append(
                    EgressOffer(name: route.name, data: data, header: header, receipt: departure.receipt))
            }
        }
        self.departures.removeAll(keepingCapacity: true)
        for (bridge, batch) in offers {
            if let wake = self.context.bridgePlane?.offer(batch, to: bridge) { turn.wakes.append(wake) }
        }
    }

    // MARK: Channels

    func find(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash) -> Int? { self.names.find(name, hash: hash) }

    func number(of name: UnsafeRawBufferPointer, hash: NameTable.Hash, now: NIODeadline) -> Int {
        if let number = self.names.find(name, hash: hash) { return number }
        if self.names.count >= self.sweepThreshold { self.forget(idleSince: now, windowsIdleSince: .distantPast) }
        let number = self.names.insert(name, hash: hash)
        while self.channels.count <= number { self.channels.append(nil) }
        let channel = ChannelName(String(decoding: name, as: UTF8.self))
        let routes = channel.isReserved ? [] : self.context.bridgePlane?.egressRoutes(for: channel) ?? []
        self.channels[number] = OwnedChannel(name: channel, epoch: self.nextEpoch, routes: routes, now: now)
        self.context.counters[self.loop].channels.set(self.names.count)
        return number
    }

    /// Forgets channels without subscribers that were last used before `deadline`, and what other instances published long ago.
    func forget(idleSince deadline: NIODeadline, windowsIdleSince windowDeadline: NIODeadline) {
        var forgotten = 0
        for number in self.channels.indices {
            guard let channel = self.channels[number] else { continue }
            guard !channel.hasSubscribers, channel.lastUsed < deadline, !self.gaps.isAwaited(number) else {
                channel.windows?.forget(idleSince: windowDeadline)
                channel.groupWindows?.forget(idleSince: windowDeadline)
                continue
            }
            self.nextEpoch = max(self.nextEpoch, channel.lastEpoch + 1)
            self.channels[number] = nil
            self.names.remove(number)
            forgotten += 1
        }
        // Channels in use cannot be forgotten; looking through them again for every new one would cost more than they do.
        self.sweepThreshold = max(self.context.ownedChannelLimit, self.names.count * 2)
        self.context.counters[self.loop].channelsForgotten.add(forgotten)
        self.context.counters[self.loop].channels.set(self.names.count)
    }
}

extension EgressRoute {
    /// What came by one bridge never leaves by it, and by another only where that one's `transit` names the first.
    func carriesOn(from arrival: BridgeIndex) -> Bool {
        self.bridge != arrival && arrival.value < 64 && self.transit & (1 << UInt64(arrival.value)) != 0
    }
}

@available(*, unavailable)
extension ChannelOwner: Sendable {}
