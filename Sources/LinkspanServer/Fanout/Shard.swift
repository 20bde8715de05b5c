internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// The connections of one loop, what they are subscribed to, and what this turn has for them.
///
/// What a connection is to be sent gathers as segments: stretches of blocks that are shared by all subscribers of a channel, or of the
/// block of answers of this turn. At the end of the turn each connection that has any is written to once.
final class Shard {
    let context: ServerContext
    private let index: Int
    private let eventLoop: any EventLoop
    /// Set right after both were made; they live and end together.
    unowned var loop: ServerLoop!

    @exclusivity(unchecked) var connections = ConnectionSlots()
    /// By ``FrameForm/index``.
    private let members: [FormMembers]
    private var writer: FormWriter
    private var random = BufferedRandom()
    private var wheel: TimerWheel
    private var ticking: RepeatedTask?
    private var due: ContiguousArray<TimerWheel.Entry> = []
    private var isStopping = false
    private var emptied: EventLoopPromise<Void>?

    // What this turn has gathered; see Shard+Writing for how it leaves.
    @exclusivity(unchecked) var staged: ContiguousArray<(frames: FrameBlock, isOwners: Bool)> = []
    @exclusivity(unchecked) var answers = FrameBlock()
    @exclusivity(unchecked) var segments: ContiguousArray<Segment> = []
    @exclusivity(unchecked) var touched: ContiguousArray<Int32> = []
    @exclusivity(unchecked) var vectors: ContiguousArray<iovec> = []
    @exclusivity(unchecked) var writesInRing: ContiguousArray<WriteInRing> = []
    @exclusivity(unchecked) var ring: SocketRing?
    /// Connections from which a turn writes by a ring.
    @exclusivity(unchecked) var fewestWritesInRing: Int
    var listening: ContiguousArray<ClientConnection> = []
    var joining: ContiguousArray<ClientConnection> = []

    /// A stretch of bytes for one connection; they form a list per connection.
    struct Segment {
        /// Index in `staged`; -1 means the block of answers.
        var block: Int32
        var next: Int32
        var start: Int
        var count: Int

        func isFollowed(byAnswerAt start: Int) -> Bool {
            self.block == -1 && self.start + self.count == start
        }
    }

    init(context: ServerContext, loop: Int, eventLoop: any EventLoop) {
        self.context = context
        self.index = loop
        self.fewestWritesInRing = context.settings.usesIOUring ? context.rings.fewestWrites : .max
        self.eventLoop = eventLoop
        self.members = FrameForm.all(compressions: context.compressions.count).map(FormMembers.init)
        self.writer = FormWriter(context: context, counters: context.counters[loop])
        self.wheel = TimerWheel(tick: Self.tick(for: context.rules), now: .now())
    }

    var counters: LoopCounters { self.context.counters[self.index] }

    /// A twentieth of the shortest interval, so that short ones are kept too, between 5 and 100 ms.
    private static func tick(for rules: ConnectionRules) -> TimeAmount {
        let shortest = min(rules.handshakeTimeout, rules.pingInterval, rules.pingTimeout)
        return .nanoseconds(min(max(shortest.nanoseconds / 20, 5_000_000), 100_000_000))
    }

    // MARK: Connections

    func add(_ connection: ClientConnection) -> (slot: Int, socketID: SocketID) {
        self.counters.connectionsAccepted.add(1)
        self.counters.connectionsOpen.add(1)
        return (self.connections.add(connection), self.context.nextSocketID(using: &self.random))
    }

    func remove(_ connection: ClientConnection) {
        self.endSubscriptions(of: connection)
        self.counters.connectionsOpen.add(-1)
        self.connections.remove(connection.slot)
        if self.connections.isEmpty { self.emptied?.succeed() }
    }

    /// Closes every connection with `code`; the future completes when the last is gone, at the latest after `timeout`.
    func drain(_ code: CloseCode, timeout: TimeAmount) -> EventLoopFuture<Void> {
        let emptied = self.eventLoop.makePromise(of: Void.self)
        guard !self.connections.isEmpty else {
            emptied.succeed()
            return emptied.futureResult
        }
        self.emptied = emptied
        self.forEachConnection { $0.close(code) }
        self.eventLoop.assumeIsolated().scheduleTask(in: timeout) { self.forEachConnection { $0.cut() } }
        return emptied.futureResult
    }

    func forEachConnection(_ body: (ClientConnection) -> Void) {
        for connection in self.connections.all { body(connection) }
    }

    var isEmpty: Bool { self.connections.isEmpty }

    func generation(of connection: ClientConnection) -> UInt32 { self.connections.generation(of: connection.slot) }

    /// Nil when that connection has ended, whoever has its slot now.
    func connection(_ slot: Int, generation: UInt32) -> ClientConnection? {
        self.connections.generation(of: slot) == generation ? self.connections[slot] : nil
    }

    /// UTF-8 of the names.
    func channels(of connection: ClientConnection) -> [[UInt8]] {
        let members = self.members(connection)
        var names: [[UInt8]] = []
        members.subscriptions.forEachChannel(ofConnection: connection.slot) { names.append(members.names.name(of: $0)) }
        return names
    }

    func stop() {
        self.isStopping = true
        self.ticking?.cancel()
        self.ticking = nil
    }

    // MARK: Subscriptions

    /// False when it existed already.
    func subscribe(_ connection: ClientConnection, to name: UnsafeRawBufferPointer) -> Bool {
        let members = self.members(connection)
        let hash = NameTable.Hash(name)
        if let number = members.names.find(name, hash: hash) {
            if members.subscriptions.isSubscribed(connection: connection.slot, channel: number) { return false }
            self.loop.settle(name, hash: hash)
            _ = members.subscriptions.subscribe(connection: connection.slot, channel: number)
        } else {
            let number = members.names.insert(name, hash: hash)
            _ = members.subscriptions.subscribe(connection: connection.slot, channel: number)
            self.loop.join(name, hash: hash, channel: members.channel(number))
        }
        self.counters.subscriptions.add(1)
        return true
    }

    /// False when there was none.
    func unsubscribe(_ connection: ClientConnection, from name: UnsafeRawBufferPointer) -> Bool {
        let members = self.members(connection)
        let hash = NameTable.Hash(name)
        guard let number = members.names.find(name, hash: hash),
            members.subscriptions.isSubscribed(connection: connection.slot, channel: number)
        else { return false }
        self.loop.settle(name, hash: hash)
        _ = members.subscriptions.unsubscribe(connection: connection.slot, channel: number)
        self.counters.subscriptions.add(-1)
        self.leaveIfEmpty(number, members)
        return true
    }

    func isSubscribed(_ connection: ClientConnection, to channel: ChannelName) -> Bool {
        let members = self.members(connection)
        var name = channel.string
        return name.withUTF8 { utf8 in
            let name = UnsafeRawBufferPointer(utf8)
            guard let number = members.names.find(name, hash: NameTable.Hash(name)) else { return false }
            return members.subscriptions.isSubscribed(connection: connection.slot, channel: number)
        }
    }

    func endSubscriptions(of connection: ClientConnection) {
        let members = self.members(connection)
        guard members.subscriptions.subscriptionCount(ofConnection: connection.slot) > 0 else { return }
        var ended: [Int] = []
        members.subscriptions.removeConnection(connection.slot) { ended.append($0) }
        self.counters.subscriptions.add(-ended.count)
        for number in ended { self.leaveIfEmpty(number, members) }
    }

    private func leaveIfEmpty(_ number: Int, _ members: FormMembers) {
        guard members.subscriptions.subscriberCount(ofChannel: number) == 0 else { return }
        let hash = members.names.hash(of: number)
        members.names.name(of: number).withUnsafeBytes { self.loop.leave($0, hash: hash, form: members.form) }
        members.names.remove(number)
    }

    /// A connection subscribes to nothing before its first message has shown its codec.
    private func members(_ connection: ClientConnection) -> FormMembers {
        // What middleware decides about is written for each client by itself, in whatever it reads.
        let form = self.context.outbound.asksDelivery ? .plain : connection.form
        return self.members[Int(form.index)]
    }

    // MARK: Gathering

    /// Frames from the owner on this loop, whose block goes back to it after the turn.
    func stage(_ channel: ShardChannel, _ frames: FrameBlock, frameCount: Int) {
        let block = self.keep(frames, isOwners: true)
        self.stage(channel, block: block, start: 0, count: frames.count, frameCount: frameCount)
    }

    func stage(_ batch: DeliveryBatch) {
        let block = self.keep(batch.bytes, isOwners: false)
        for delivery in batch.deliveries {
            self.stage(
                delivery.channel, block: block, start: delivery.start, count: delivery.count,
                frameCount: delivery.frameCount)
        }
    }

    private func keep(_ frames: FrameBlock, isOwners: Bool) -> Int32 {
        self.staged.append((frames, isOwners))
        return Int32(self.staged.count - 1)
    }

    private func stage(_ channel: ShardChannel, block: Int32, start: Int, count: Int, frameCount: Int) {
        // The last subscriber may have left while the frames were under way.
        let members = self.members[Int(channel.form.index)]
        guard members.names.isCurrent(Int(channel.number), generation: channel.generation) else { return }
        if self.context.outbound.asksDelivery {
            return self.askToDeliver(members, Int(channel.number), block: block, start: start, count: count)
        }
        var subscribers = 0
        members.subscriptions.forEachSubscriber(ofChannel: Int(channel.number)) { slot in
            self.append(Segment(block: block, next: -1, start: start, count: count), to: slot)
            subscribers += 1
        }
        self.counters.deliveries.add(subscribers * frameCount)
    }

    /// Hands the publishes in a stretch of frames to each subscriber, whose middleware decides about them.
    private func askToDeliver(_ members: FormMembers, _ number: Int, block: Int32, start: Int, count: Int) {
        let channel = ChannelName(String(decoding: members.names.name(of: number), as: UTF8.self))
        let frames = UnsafeRawBufferPointer(start: self.staged[Int(block)].frames.base + start, count: count)
        let deliveries = Delivery.read(frames, of: channel)
        members.subscriptions.forEachSubscriber(ofChannel: number) { slot in
            for delivery in deliveries { self.connections[slot]?.deliver(delivery) }
        }
    }

    @inline(__always)
    private func append(_ segment: Segment, to slot: Int) {
        let index = Int32(self.segments.count)
        self.segments.append(segment)
        let last = self.connections.lastSegment(of: slot)
        if last < 0 {
            self.connections.setFirstSegment(index, of: slot)
            self.touched.append(Int32(slot))
        } else {
            self.segments[Int(last)].next = index
        }
        self.connections.setLastSegment(index, of: slot)
    }

    /// Gathers one frame for one connection, behind what this turn has for it already.
    func answer(_ connection: ClientConnection, _ opcode: WebSocketOpcode = .text, _ encode: (inout FrameBlock) -> Void)
    {
        if opcode == .text, connection.form != .plain { return self.answerFormed(connection, encode) }
        let range = self.answers.putFrame(opcode, encode)
        self.appendAnswer(range, to: connection.slot)
    }

    private func answerFormed(_ connection: ClientConnection, _ encode: (inout FrameBlock) -> Void) {
        guard let range = self.writer.put(connection.form, into: self.answers, encode) else { return }
        self.appendAnswer(range, to: connection.slot)
    }

    /// As ``answer(_:_:_:)``, of bytes that are complete already.
    func answer(_ connection: ClientConnection, verbatim bytes: [UInt8]) {
        let start = self.answers.count
        bytes.withUnsafeBytes { self.answers.put(contentsOf: $0) }
        self.appendAnswer(start..<self.answers.count, to: connection.slot)
    }

    private func appendAnswer(_ range: Range<Int>, to slot: Int) {
        self.loop.touch()
        let last = Int(self.connections.lastSegment(of: slot))
        // Answers to one connection mostly come one after the other, and are then one stretch.
        if last >= 0, self.segments[last].isFollowed(byAnswerAt: range.lowerBound) {
            self.segments[last].count += range.count
        } else {
            self.append(Segment(block: -1, next: -1, start: range.lowerBound, count: range.count), to: slot)
        }
    }

    /// Calls ``ClientConnection/turnWritten()`` when what this turn has for it is written.
    func tellWhenWritten(_ connection: ClientConnection) {
        self.loop.touch()
        self.listening.append(connection)
    }

    /// Calls ``ClientConnection/answerJoined()`` when this turn brings nothing more.
    func answerJoinedAfterTurn(_ connection: ClientConnection) {
        self.joining.append(connection)
    }

    /// Whether, and where, deliveries may be written to the socket directly.
    func setDirect(_ descriptor: CInt, for connection: ClientConnection) {
        self.connections.setDescriptor(descriptor, of: connection.slot)
    }

    // MARK: Time

    /// Calls ``ClientConnection/timePassed(at:)`` at `deadline` or up to a tick later, unless it asks for another one first.
    func schedule(_ connection: ClientConnection, at deadline: NIODeadline) {
        self.wheel.add(
            TimerWheel.Entry(
                connection: Int32(connection.slot), generation: self.connections.generation(of: connection.slot),
                deadline: deadline))
        guard self.ticking == nil, !self.isStopping else { return }
        let tick = self.wheel.tick
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        self.ticking = self.eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in bound.value.tick() }
    }

    private func tick() {
        let now = NIODeadline.now()
        self.wheel.takeDue(at: now, into: &self.due)
        for entry in self.due {
            let slot = Int(entry.connection)
            guard self.connections.generation(of: slot) == entry.generation, let connection = self.connections[slot],
                connection.scheduledDeadline == entry.deadline
            else { continue }
            connection.timePassed(at: now)
        }
        self.due.removeAll(keepingCapacity: true)
        if self.wheel.isEmpty {
            self.ticking?.cancel()
            self.ticking = nil
        }
    }
}

@available(*, unavailable)
extension Shard: Sendable {}
