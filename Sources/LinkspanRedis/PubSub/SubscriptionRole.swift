internal import LinkspanBridgeKit
internal import NIOCore

/// The connection for subscriptions: brings them to what is wanted, and hands over what arrives, one batch for each read.
final class SubscriptionRole: IngressRole {
    weak var connection: (any RedisConnection)? {
        didSet { self.arrivals.attach(self.connection) }
    }

    private let link: BridgeLink
    private var plan = SubscriptionPlan()
    private let arrivals: Arrivals

    init(link: BridgeLink, eventLoop: any EventLoop) {
        self.link = link
        self.arrivals = Arrivals(link: link, eventLoop: eventLoop)
    }

    func interestChanged(_ changes: [InterestChange]) {
        self.perform(self.plan.interestChanged(changes))
    }

    func start(whenReady: @escaping (_ resumesSession: Bool) -> Void) {
        whenReady(false)
    }

    func ping() {
        self.plan.pingSent()
        var buffer = ByteBuffer()
        buffer.writeCommand(["PING"])
        self.connection?.write(buffer)
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        let count = reader.tokens.count
        switch reader.token(at: 0).kind {
        case .array where count == 4 && reader.isString(at: 1, "message"):
            self.messageArrived(reader.token(at: 2), reader.token(at: 3), in: reader, pattern: nil)
        case .array where count == 5 && reader.isString(at: 1, "pmessage"):
            self.messageArrived(reader.token(at: 3), reader.token(at: 4), in: reader, pattern: 2)
        case .array where count == 4:
            guard let verb = Self.verb(reader) else { throw self.unexpected(reader) }
            self.perform(try self.plan.confirmationReceived(verb, name: reader.text(at: 2)))
        case .array where count == 3 && reader.isString(at: 1, "pong"):
            try self.plan.pongReceived()
        case .status where reader.text(at: 0) == "PONG":
            // Redis answers like this as long as nothing is subscribed.
            try self.plan.pongReceived()
        case .error:
            self.perform(try self.plan.errorReceived(ErrorReply(text: reader.text(at: 0))))
        default:
            throw self.unexpected(reader)
        }
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {
        self.arrivals.readCompleted(reader)
    }

    func connectionEnded(_ reader: ReplyReader) {
        self.arrivals.deliver(reader)
    }

    private func messageArrived(_ name: ReplyToken, _ payload: ReplyToken, in reader: ReplyReader, pattern: Int?) {
        let text = self.arrivals.name(name, in: reader)
        if self.plan.hasOverlap {
            let filter = pattern.map { UpstreamFilter(pattern: reader.text(at: $0)) } ?? .exact(text)
            if self.plan.isSecondCopy(filter) { return }
        }
        self.arrivals.append(text, payload, in: reader)
    }

    private func perform(_ step: SubscriptionPlan.Step) {
        for settled in step.settled { self.link.interestSettled(settled.filter, accepted: settled.accepted) }
        guard !step.commands.isEmpty else { return }
        var buffer = ByteBuffer()
        for command in step.commands { buffer.writeCommand(command.arguments) }
        self.connection?.write(buffer)
    }

    private static func verb(_ reader: ReplyReader) -> SubscriptionPlan.Verb? {
        if reader.isString(at: 1, "subscribe") { return .subscribe }
        if reader.isString(at: 1, "unsubscribe") { return .unsubscribe }
        if reader.isString(at: 1, "psubscribe") { return .psubscribe }
        if reader.isString(at: 1, "punsubscribe") { return .punsubscribe }
        return nil
    }

    private func unexpected(_ reader: ReplyReader) -> UpstreamError {
        UpstreamError(.protocolViolation, "Redis sent what belongs to no subscription")
    }
}

@available(*, unavailable)
extension SubscriptionRole: Sendable {}
