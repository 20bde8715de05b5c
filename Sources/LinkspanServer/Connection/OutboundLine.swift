internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// One publish for one client or more. Those that share it share its memory.
struct Delivery: Sendable {
    let channel: ChannelName
    /// Nil for a publish without data.
    let data: JSONText?

    /// What it is taken to cost while it waits.
    var byteCount: Int { (self.data?.utf8.count ?? 0) + 64 }
}

/// The publishes that wait for outbound middleware to decide about them, for one client: one question at a time, in order.
///
/// An object, because connections without one should only have room for a pointer.
final class OutboundLine {
    struct Question {
        let number: UInt64
        let delivery: Delivery
        let deadline: NIODeadline
        /// Nil when nobody is asked.
        let task: Task<Void, Never>?
    }

    private var waiting = CircularBuffer<Delivery>()
    /// Of all that wait, the one that is asked about included.
    private(set) var byteCount = 0
    private(set) var question: Question?
    private var count: UInt64 = 0
    /// More waited than may; nothing is added any more, and the client is about to be closed.
    private(set) var isOverrun = false

    /// False when more than `byteLimit` bytes would wait, for the first time.
    func append(_ delivery: Delivery, byteLimit: Int) -> Bool {
        guard !self.isOverrun else { return true }
        guard self.byteCount + delivery.byteCount <= byteLimit else {
            self.isOverrun = true
            return false
        }
        self.waiting.append(delivery)
        self.byteCount += delivery.byteCount
        return true
    }

    /// Asks about the next one, unless an answer is due or nothing waits.
    func askNext(deadline: NIODeadline, _ ask: (UInt64, Delivery) -> Task<Void, Never>?) {
        guard self.question == nil, let delivery = self.waiting.popFirst() else { return }
        self.count += 1
        let task = ask(self.count, delivery)
        self.question = Question(number: self.count, delivery: delivery, deadline: deadline, task: task)
    }

    /// What the answer is about; nil for one that comes late.
    func answered(_ number: UInt64) -> Question? {
        guard let question = self.question, question.number == number else { return nil }
        self.question = nil
        self.byteCount -= question.delivery.byteCount
        return question
    }
}

@available(*, unavailable)
extension OutboundLine: Sendable {}

extension Delivery {
    /// The publishes in a stretch of frames that the owner of `channel` has written as JSON.
    static func read(_ frames: UnsafeRawBufferPointer, of channel: ChannelName) -> [Delivery] {
        let encoder = PublishEncoder(channel: channel.string)
        var deliveries: [Delivery] = []
        var position = 0
        while position < frames.count {
            let frame = UnsafeRawBufferPointer(rebasing: frames[position...])
            let length = WebSocketFrameHeader.payloadLength(ofServerFrame: frame)
            let start = WebSocketFrameHeader.length(payloadLength: length, isMasked: false)
            let packet = UnsafeRawBufferPointer(rebasing: frame[start..<start + length])
            let data = encoder.dataRange(packetLength: length).map { JSONText(alreadyValid: Array(packet[$0])) }
            deliveries.append(Delivery(channel: channel, data: data))
            position += start + length
        }
        return deliveries
    }
}

extension WebSocketFrameHeader {
    /// - Precondition: `frame` begins with a whole header without a mask.
    fileprivate static func payloadLength(ofServerFrame frame: UnsafeRawBufferPointer) -> Int {
        let short = Int(frame[1] & 0x7F)
        guard short >= 126 else { return short }
        return frame[2..<(short == 126 ? 4 : 10)].reduce(0) { $0 << 8 | Int($1) }
    }
}

/// Asking about publishes on their way out.
extension ClientConnection {
    /// From its shard, in the order of the channel.
    func deliver(_ delivery: Delivery) {
        guard self.stage == .open else { return }
        if self.outboundLine == nil { self.outboundLine = OutboundLine() }
        let limit = self.server.settings.limits.outboundBytes - self.queuedBytes
        // Not at once: whoever delivers is in the middle of the subscriptions that a close ends.
        if self.outboundLine?.append(delivery, byteLimit: limit) == false { self.address.post { $0.closeAsSlow() } }
        self.askAboutNext()
    }

    private func askAboutNext() {
        guard let session = self.session else { return }
        let (gate, address) = (self.server.outbound, self.address)
        self.outboundLine?.askNext(deadline: .now() + gate.timeLimit) { number, delivery in
            // Those that are not asked about keep their place in the line all the same.
            guard gate.middleware.concerns(delivery.channel.string) else {
                address.post { $0.decidedToSend(number, .allow) }
                return nil
            }
            let action = OutboundAction(
                socket: ClientSocket(session), channel: delivery.channel, data: delivery.data)
            return Task {
                let decision: MiddlewareDecision
                do {
                    decision = try await gate.middleware.outbound?(action) ?? .allow
                } catch {
                    decision = .block(error)
                }
                address.post { $0.decidedToSend(number, decision) }
            }
        }
        self.reschedule()
    }

    private func decidedToSend(_ number: UInt64, _ decision: MiddlewareDecision) {
        guard let question = self.outboundLine?.answered(number) else { return }
        let delivery = question.delivery
        switch decision.outcome {
        case .allow, .replaceMessage: self.send(delivery.channel, delivery.data)
        case .replace(let data): self.send(delivery.channel, data)
        case .block: self.loop.counters.deliveriesBlocked.add(1)
        case .late:
            question.task?.cancel()
            self.loop.counters.decisionsTimedOut.add(1)
            self.loop.counters.deliveriesBlocked.add(1)
        }
        self.askAboutNext()
    }

    /// Whoever has left the channel while the application was deciding gets nothing from it any more.
    private func send(_ channel: ChannelName, _ data: JSONText?) {
        guard self.stage == .open, self.loop.shard.isSubscribed(self, to: channel) else { return }
        self.loop.counters.deliveries.add(1)
        self.answer(.publish(channel: channel.string, data: data))
    }

    /// Blocks the publish that nobody has decided about by `now`.
    func expireOutboundQuestion(at now: NIODeadline) {
        guard let question = self.outboundLine?.question, question.deadline <= now else { return }
        self.decidedToSend(question.number, .late)
    }

    func forgetOutboundLine() {
        self.outboundLine?.question?.task?.cancel()
        self.outboundLine = nil
    }
}
