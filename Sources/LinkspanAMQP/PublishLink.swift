internal import LinkspanBridgeKit
internal import Logging
internal import NIOCore

/// The publishing connection's life on its thread.
struct PublishLink: ~Copyable {
    /// Messages taken from the host at a time.
    private static let batchLimit = 256
    /// Bytes that a publish costs beside its payload, about.
    private static let overhead = 256
    /// How long at most a change of interest waits while nothing may be published: the host announces it with the next message only.
    private static let idleTick: UInt64 = 250_000_000

    private var connection: RabbitConnection
    private let conversation: Conversation
    private let signal: WakeSignal
    private let control: LinkControl
    private let exchange: PinnedText
    private let isConfirming: Bool
    private var writer: PropertyWriter
    private var window: PublishWindow
    private var flight: PublishFlight
    private var settlement = PublishWindow.Settlement()
    private var queue = PublishQueue()
    private var forbidden = ForbiddenNames()
    private var isReturnExpected = false
    private var isBlocked = false
    private var pace = PublishPace()
    private var liveness: Liveness
    private var lastProgress: UInt64 = 0
    private var lastTurn: UInt64 = 0
    /// Whether the host may have more than it handed over last time.
    private var mayHaveMore = false

    init(
        _ connection: consuming RabbitConnection, conversation: Conversation, signal: WakeSignal, control: LinkControl
    ) {
        let options = conversation.options
        self.isConfirming = options.guarantee == .atLeastOnce
        self.exchange = PinnedText(options.exchange)
        self.writer = PropertyWriter(isPersistent: self.isConfirming, namesTickets: options.isMandatory)
        self.window = PublishWindow(limit: options.window)
        self.flight = PublishFlight(most: options.window)
        self.window.limit = self.flight.limit
        self.liveness = Liveness(heartbeat: connection.heartbeat)
        self.connection = connection
        self.conversation = conversation
        self.signal = signal
        self.control = control
    }

    mutating func run() throws(UpstreamError) {
        let exchange = try self.conversation.declare(self.exchange, on: &self.connection)
        if self.isConfirming { try self.connection.selectConfirms() }
        self.conversation.ready(
            product: self.connection.product, resumed: false,
            promises: exchange + BrokerPromises(self.conversation.options).publishing())
        do throws(UpstreamError) {
            while !self.signal.isCancelled {
                try self.turn()
            }
        } catch {
            throw self.control.cutReason.map { UpstreamError(.silent, "publishing: \($0)") } ?? error
        }
        self.connection.close()
    }

    private mutating func turn() throws(UpstreamError) {
        let pause = self.pace.pause(now: Clock.now)
        let isHeld = pause != nil || self.awaitsUpstream
        let awaitsConfirms = self.window.room == 0 && pause == nil && !self.isBlocked
        let underWay = self.window.underWay
        let wantsToWrite = !isHeld && (self.mayHaveMore || !self.queue.isEmpty)
        let limit = isHeld ? min(self.liveness.tick, pause ?? Self.idleTick) : self.liveness.tick
        let ready = Poll.wait(
            socket: self.connection.descriptor, forWriting: wantsToWrite, signal: self.signal,
            milliseconds: Int32(clamping: limit / 1_000_000 + 1))
        let now = Clock.now
        self.control.beat(now: now)
        if ready.isReadable || self.liveness.isDue(now) {
            self.liveness.read(at: now)
            try self.readFrames(now)
        }
        if awaitsConfirms {
            self.flight.waited(confirmed: underWay - self.window.underWay, elapsed: now - self.lastTurn)
            self.window.limit = self.flight.limit
        }
        self.lastTurn = now
        if self.conversation.isConnected {
            try self.work(now, isWritable: wantsToWrite ? ready.isWritable : self.connection.isWritable)
        }
        self.report(now)
        if !self.window.isEmpty, !self.isBlocked,
            now > self.lastProgress &+ self.conversation.options.confirmTimeout.nanoseconds
        {
            throw UpstreamError(
                .stalled, "publishing: nothing was confirmed for \(self.conversation.options.confirmTimeout)")
        }
    }

    /// Whether nothing may be published until the upstream says something.
    private var awaitsUpstream: Bool {
        self.isBlocked || self.window.room == 0 || self.queue.isCareful && !self.window.isEmpty
    }

    // MARK: Egress

    private mutating func work(_ now: UInt64, isWritable: Bool) throws(UpstreamError) {
        let isOpen = isWritable && !self.awaitsUpstream && self.pace.pause(now: now) == nil
        let limit = isOpen && self.queue.isEmpty ? min(self.window.room, Self.batchLimit) : 0
        let work = self.conversation.link.takeWork(upTo: limit)
        self.conversation.post(work.interest)
        // The host announces messages only to who took fewer than asked for; asking for none is no such thing.
        self.mayHaveMore = work.egress.count == limit
        self.queue.append(work.egress)
        if isOpen, !self.queue.isEmpty { try self.publishQueued(now) }
    }

    /// Writes what the socket takes without waiting.
    private mutating func publishQueued(_ now: UInt64) throws(UpstreamError) {
        if self.window.isEmpty { self.lastProgress = now }
        var written = 0
        self.connection.setCorked(true)
        while self.window.room > 0, let message = self.queue.next(isWindowEmpty: self.window.isEmpty) {
            written += message.payload.readableBytes + Self.overhead
            try self.publish(message, now)
            guard written >= RabbitConnection.writeQuantum else { continue }
            written = 0
            try self.connection.flush()
            if !self.connection.isWritable { break }
        }
        try self.connection.flush()
        self.connection.setCorked(false)
    }

    private mutating func publish(_ message: EgressMessage, _ now: UInt64) throws(UpstreamError) {
        if !self.forbidden.isEmpty, self.forbidden.contains(message.name, now: now) {
            return self.conversation.link.refuse(message.ticket, .forbidden)
        }
        let isMandatory = self.isConfirming && self.conversation.options.isMandatory
        switch try self.connection.publish(
            message, exchange: self.exchange, isMandatory: isMandatory, writer: &self.writer)
        {
        case .written:
            if self.isConfirming {
                self.window.published(message)
            } else {
                self.settlement.confirmed.append(message.ticket)
            }
        case .refused(let reason):
            self.conversation.link.refuse(message.ticket, reason)
        }
    }

    /// Tells the host what was settled in this turn.
    private mutating func report(_ now: UInt64) {
        for tickets in self.settlement.confirmed.ranges {
            self.conversation.link.confirm(tickets)
        }
        for ticket in self.settlement.unroutable {
            self.conversation.link.refuse(ticket, .unroutable)
        }
        if !self.settlement.rejected.isEmpty {
            self.queue.append(self.settlement.rejected)
            self.pace.rejected(now: now)
        } else if !self.settlement.confirmed.ranges.isEmpty {
            self.pace.accepted()
        }
        self.settlement.removeAll()
        self.queue.settled(isWindowEmpty: self.window.isEmpty)
    }

    // MARK: Frames

    private mutating func readFrames(_ now: UInt64) throws(UpstreamError) {
        var count = 0
        while let frame = try self.connection.nextFrame() {
            try self.handle(frame, now)
            count += 1
            if count & 63 == 0 { self.connection.releaseBuffers() }
        }
        self.connection.releaseBuffers()
    }

    private mutating func handle(_ frame: RabbitFrame, _ now: UInt64) throws(UpstreamError) {
        switch frame {
        case .ack(let tag, let multiple):
            self.lastProgress = now
            self.window.acknowledged(tag, multiple: multiple, into: &self.settlement)
        case .nack(let tag, let multiple):
            self.lastProgress = now
            self.window.rejected(tag, multiple: multiple, into: &self.settlement)
        case .returned:
            self.isReturnExpected = true
        case .header(_, let properties):
            guard self.isReturnExpected else { return }
            self.isReturnExpected = false
            guard let id = properties?.messageID else { return }
            self.window.returned { id.isOf($0) }
        case .blocked(let reason):
            self.isBlocked = true
            self.conversation.link.logger.info("Upstream blocks publishing", metadata: ["reason": "\(reason)"])
        case .unblocked:
            self.isBlocked = false
            self.lastProgress = now
            self.conversation.link.logger.info("Upstream takes publishes again")
        case .channelClosed(_, let closure):
            try self.recover(from: closure, now)
        case .connectionClosed(let closure):
            self.connection.confirmConnectionClosed()
            throw UpstreamError(closure, during: "publishing")
        case .deliver, .body, .bindAnswered, .unbindAnswered, .consumerCancelled, .other:
            break
        }
    }

    /// Goes on after the upstream closed our AMQP channel because of one publish; other reasons end the conversation.
    private mutating func recover(from closure: Closure, _ now: UInt64) throws(UpstreamError) {
        let concernsAll =
            closure.code == Closure.notFound || closure.code == Closure.accessRefused && closure.forbiddenTopic == nil
        guard closure.blamesPublish, !concernsAll else { throw UpstreamError(channel: closure, during: "publishing") }
        try self.connection.reopenChannel(RabbitConnection.channel)
        self.isReturnExpected = false
        self.lastProgress = now
        guard self.isConfirming else {
            // Without confirms nobody can say which message it was, but RabbitMQ names its key.
            if let name = closure.forbiddenTopic { self.forbidden.insert(name, now: now) }
            self.conversation.link.logger.info("Upstream refused a publish", metadata: ["error": "\(closure.text)"])
            return
        }
        try self.connection.selectConfirms()
        self.report(now)
        let unsettled = self.window.channelClosed()
        guard let offender = self.queue.channelClosed(unsettled: unsettled, isPoison: true) else { return }
        let reason: EgressRefusal = closure.code == Closure.accessRefused ? .forbidden : .rejected
        if reason == .forbidden { self.forbidden.insert(offender.name, now: now) }
        self.conversation.link.refuse(offender.ticket, reason)
        self.conversation.link.logger.debug("Upstream refused a publish", metadata: ["error": "\(closure.text)"])
    }
}
