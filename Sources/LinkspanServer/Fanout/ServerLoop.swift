internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// One event loop of the server: its shard of the connections, its share of the channels, and what it exchanges with the other loops.
///
/// Work gathers during a turn, which is everything that one wake-up of the loop brought, and leaves at its end: requests to other
/// owners first, then deliveries, then answers, so that an answer never precedes what it answers for.
final class ServerLoop {
    let context: ServerContext
    let index: Int
    let eventLoop: any EventLoop
    let shard: Shard
    let owner: ChannelOwner
    let turn: Turn
    let inbox: LoopInbox
    @exclusivity(unchecked) private(set) var program: Program
    @exclusivity(unchecked) private var outboxes: ContiguousArray<OwnerBatch?>
    @exclusivity(unchecked) private var hasOutgoing = false
    @exclusivity(unchecked) private var isTurnScheduled = false
    /// Whether the turn under way ends with the read that began it.
    @exclusivity(unchecked) private var endsWithRead = false
    @exclusivity(unchecked) private var pause = TurnPause()
    /// For what sockets of this loop read.
    let spareBuffer = SpareBuffer()
    private var spareWork: [LoopWork] = []
    /// For what clients compress; nil until the first does.
    private var inflater: Inflater?
    private var blockers: [ChannelName: UInt64] = [:]
    private(set) lazy var receipts = ReceiptDesk(loop: self)
    private var awaited: [ChannelName: [AwaitedBridge]] = [:]
    private var upkeep: RepeatedTask?
    private var gapTimer: (deadline: NIODeadline, task: Scheduled<Void>)?
    @exclusivity(unchecked) private var hasMarkTimer = false

    init(context: ServerContext, index: Int, eventLoop: any EventLoop) {
        self.context = context
        self.index = index
        self.eventLoop = eventLoop
        self.inbox = context.inboxes[index]
        self.program = context.program
        self.turn = Turn(loops: context.loopCount, now: .now(), wallClock: WallClock.milliseconds())
        self.shard = Shard(context: context, loop: index, eventLoop: eventLoop)
        self.owner = ChannelOwner(context: context, loop: index)
        self.outboxes = ContiguousArray(repeating: nil, count: context.loopCount)
        self.shard.loop = self
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        self.upkeep = eventLoop.scheduleRepeatedTask(initialDelay: .seconds(30), delay: .seconds(30)) { _ in
            bound.value.forgetIdleChannels()
        }
    }

    var counters: LoopCounters { self.context.counters[self.index] }

    /// Decides by `program` from now on; questions that are under way are still theirs who were asked.
    func take(_ program: Program) {
        self.program = program
        self.shard.forEachConnection { $0.programChanged() }
    }

    func stop() {
        self.upkeep?.cancel()
        self.upkeep = nil
        self.gapTimer?.task.cancel()
        self.gapTimer = nil
        // Nobody is told later, and the bridges still send.
        self.owner.markQuiet(at: .distantFuture)
        self.shard.stop()
        self.inbox.detach()
    }

    // MARK: What connections ask

    /// - Parameter data: validated JSON; empty for a publish without data.
    func publish(_ name: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer) {
        let hash = NameTable.Hash(name)
        let owner = hash.owner(among: self.context.loopCount)
        self.touch()
        if owner == self.index {
            self.owner.publish(name, hash: hash, data: data, turn: self.turn)
        } else {
            self.request(.publish, name: name, hash: hash, data: data, owner: owner)
        }
    }

    /// The same, for somebody who waits for what becomes of it at its bridges.
    func publish(_ name: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer, receipt: EgressReceipt) {
        let hash = NameTable.Hash(name)
        let owner = hash.owner(among: self.context.loopCount)
        self.touch()
        guard owner != self.index else {
            return self.owner.publish(name, hash: hash, data: data, receipt: receipt, turn: self.turn)
        }
        let index = Int32(self.outboxes[owner]?.receipts.count ?? 0)
        self.request(.publishForReceipt(index), name: name, hash: hash, data: data, owner: owner)
        self.outboxes[owner]?.receipts.append(receipt)
    }

    /// The bridges that the answer to a publish waits for; remembered for a bounded number of channels.
    func awaitedBridges(on name: UnsafeRawBufferPointer) -> [AwaitedBridge] {
        guard let plane = self.context.bridgePlane else { return [] }
        let channel = ChannelName(String(decoding: name, as: UTF8.self))
        if let known = self.awaited[channel] { return known }
        if self.awaited.count >= Self.rememberedChannels { self.awaited.removeAll(keepingCapacity: true) }
        let bridges = plane.awaitedBridges(of: channel)
        self.awaited[channel] = bridges
        return bridges
    }

    /// The first subscriber of a channel on this loop who reads its form.
    func join(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash, channel: ShardChannel) {
        let owner = hash.owner(among: self.context.loopCount)
        self.touch()
        if owner == self.index {
            self.owner.join(name, hash: hash, loop: self.index, channel: channel, turn: self.turn)
        } else {
            self.request(.join(channel), name: name, hash: hash, data: Self.noData, owner: owner)
        }
    }

    /// The last subscriber of a channel on this loop who reads `form` is gone.
    func leave(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash, form: FrameForm) {
        let owner = hash.owner(among: self.context.loopCount)
        self.touch()
        if owner == self.index {
            self.owner.leave(name, hash: hash, loop: self.index, form: form, turn: self.turn)
        } else {
            self.request(.leave(form), name: name, hash: hash, data: Self.noData, owner: owner)
        }
    }

    /// The loop that owns a channel, given what this turn has for it so far; nil when it is this one.
    func foreignOwner(of channel: ChannelName) -> LoopInbox? {
        var name = channel.string
        let hash = name.withUTF8 { NameTable.Hash(UnsafeRawBufferPointer($0)) }
        let owner = hash.owner(among: self.context.loopCount)
        guard owner != self.index else { return nil }
        self.postRequests()
        return self.context.inboxes[owner]
    }

    /// Runs `body` when this turn has handed on all that it has.
    func afterTurn(_ body: @escaping @Sendable () -> Void) {
        self.touch()
        self.eventLoop.execute(body)
    }

    /// Hands on what has gathered for a channel of this loop's owner: messages that came before a subscription do not belong to it, and those
    /// that came before its end do.
    func settle(_ name: UnsafeRawBufferPointer, hash: NameTable.Hash) {
        guard hash.owner(among: self.context.loopCount) == self.index else { return }
        self.owner.settle(name, hash: hash, turn: self.turn)
        self.stageLocal()
    }

    /// The bridges, as bits, for whose sake publishers of a channel have to wait at this moment.
    ///
    /// Asked only while some bridge is full. What rules say of a channel is remembered, for a bounded number of channels.
    func pressingBridges(on name: UnsafeRawBufferPointer) -> UInt64 {
        guard let plane = self.context.bridgePlane else { return 0 }
        let channel = ChannelName(String(decoding: name, as: UTF8.self))
        if let known = self.blockers[channel] { return known & self.context.backPressure.bits }
        if self.blockers.count >= Self.rememberedChannels { self.blockers.removeAll(keepingCapacity: true) }
        let blockers = plane.blockers(of: channel)
        self.blockers[channel] = blockers
        return blockers & self.context.backPressure.bits
    }

    private static let rememberedChannels = 4096

    private static var noData: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    private func request(
        _ kind: OwnerBatch.Request.Kind, name: UnsafeRawBufferPointer, hash: NameTable.Hash,
        data: UnsafeRawBufferPointer, owner: Int
    ) {
        var batch = self.outboxes[owner] ?? OwnerBatch(source: self.index, bytes: FrameBlock())
        self.outboxes[owner] = nil
        batch.requests.append(
            OwnerBatch.Request(
                kind: kind, hash: hash, nameStart: batch.bytes.count, nameCount: name.count, dataCount: data.count))
        batch.bytes.put(contentsOf: name)
        batch.bytes.put(contentsOf: data)
        self.outboxes[owner] = batch
        self.hasOutgoing = true
    }

    func madeInflater() throws(InflateError) -> Inflater {
        if let inflater = self.inflater { return inflater }
        let inflater = try Inflater()
        self.inflater = inflater
        return inflater
    }

    // MARK: Turns

    /// Makes sure that this turn has an end, and that it knows the time.
    @inline(__always)
    func touch() {
        if !self.isTurnScheduled { self.scheduleTurn() }
    }

    /// Handles what other loops handed over before a socket of this loop told us something.
    ///
    /// A client may act on an answer that another loop gave when it had handed a request over to us. Its next message
    /// must not overtake that request, so whoever has read from a socket comes here before anything else.
    @inline(__always)
    func catchUp() {
        self.touch()
        if self.inbox.hasWork { self.handleInbox() }
    }

    /// Does what ``catchUp()`` does, for who calls ``readEnded()`` when it has handled what was read.
    ///
    /// A message that comes after a pause is a turn of its own, which ends with it: no need to wait for others, nor for NIO to come to its
    /// queue. Whatever else the same wake-up brings is the next turn.
    @inline(__always)
    func readBegan() {
        if !self.isTurnScheduled {
            let now = NIODeadline.now()
            self.endsWithRead = self.pause.isOver(at: now)
            self.beginTurn(at: now)
            if !self.endsWithRead { self.scheduleEnd() }
        }
        if self.inbox.hasWork { self.handleInbox() }
    }

    @inline(__always)
    func readEnded() {
        if self.endsWithRead { self.endTurn() }
    }

    private func scheduleTurn() {
        self.beginTurn(at: .now())
        self.scheduleEnd()
    }

    private func beginTurn(at now: NIODeadline) {
        self.isTurnScheduled = true
        self.turn.begin(now: now, wallClock: WallClock.milliseconds())
    }

    private func scheduleEnd() {
        self.eventLoop.assumeIsolatedUnsafeUnchecked().execute { self.endTurn() }
    }

    private func endTurn() {
        self.isTurnScheduled = false
        self.endsWithRead = false
        if self.hasOutgoing { self.postRequests() }
        self.owner.endTurn(self.turn)
        self.postDeliveries()
        self.stageLocal()
        // A bridge may wake on this core: a few clients need not wait for that, nor the bridge for a thousand clients.
        let isShort = self.shard.writeCount <= Self.shortTurn
        if !isShort { self.turn.wakeBridges() }
        self.shard.endTurn()
        if isShort { self.turn.wakeBridges() }
        for done in self.turn.takeFinished() { done.progress.ownerFinished(done.tally) }
        if !self.owner.gaps.awaited.isEmpty { self.scheduleGaps() }
        if !self.hasMarkTimer, !self.owner.gaps.unmarked.isEmpty { self.scheduleMarks() }
        self.pause.turnEnded(at: .now())
    }

    /// Most writes that come before a wake-up; they take about as long as one.
    private static let shortTurn = 8

    private func scheduleGaps() {
        guard let deadline = self.owner.gaps.nextDeadline else { return }
        if let timer = self.gapTimer {
            guard deadline < timer.deadline else { return }
            timer.task.cancel()
        }
        let task = self.eventLoop.assumeIsolatedUnsafeUnchecked().scheduleTask(deadline: deadline) {
            self.gapTimer = nil
            self.touch()
            self.owner.gapsDue(self.turn)
        }
        self.gapTimer = (deadline, task)
    }

    private func scheduleMarks() {
        self.hasMarkTimer = true
        self.eventLoop.assumeIsolatedUnsafeUnchecked().scheduleTask(in: ChannelOwner.quietTime) {
            self.hasMarkTimer = false
            self.touch()
            self.owner.markQuiet(at: self.turn.now)
        }
    }

    private func postRequests() {
        self.hasOutgoing = false
        for owner in self.outboxes.indices {
            guard let batch = self.outboxes[owner] else { continue }
            self.outboxes[owner] = nil
            self.context.inboxes[owner].post(.owner(batch), byteCount: batch.bytes.count)
        }
    }

    private func postDeliveries() {
        for loop in 0..<self.context.loopCount where loop != self.index {
            guard let batch = self.turn.takeRemote(loop) else { continue }
            self.context.inboxes[loop].post(.deliveries(batch), byteCount: batch.bytes.count)
        }
    }

    private func stageLocal() {
        for delivery in self.turn.local {
            self.shard.stage(delivery.channel, delivery.frames, frameCount: delivery.frameCount)
        }
        self.turn.local.removeAll(keepingCapacity: true)
    }

    /// What other threads have for this loop.
    func handleInbox() {
        self.inbox.takeAll(reusing: &self.spareWork)
        var work: [LoopWork] = []
        swap(&work, &self.spareWork)
        self.touch()
        for item in work {
            switch item {
            case .owner(let batch): self.owner.handle(batch, turn: self.turn)
            case .deliveries(let batch): self.shard.stage(batch)
            case .injection(let injection): self.owner.handle(injection, turn: self.turn)
            case .control(let body): body(self)
            }
        }
        work.removeAll(keepingCapacity: true)
        swap(&work, &self.spareWork)
    }

    private func forgetIdleChannels() {
        let now = NIODeadline.now()
        self.owner.forget(idleSince: now - .minutes(1), windowsIdleSince: now - .hours(1))
    }
}

@available(*, unavailable)
extension ServerLoop: Sendable {}

enum WallClock {
    /// Milliseconds since 1970.
    static func milliseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }
}
