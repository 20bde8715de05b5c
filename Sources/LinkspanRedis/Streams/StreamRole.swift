internal import LinkspanBridgeKit
internal import Logging
internal import NIOCore

/// The connection that reads the stream: one XREAD at a time, each from where the last one ended.
///
/// The position survives the connection in ``StreamPositions`` and this process in a key of its own, and moves only past what the host
/// has taken. So nothing is passed over, and what was under way when something broke may come twice; the host recognises it.
/// While nobody wants anything nothing is read, and reading starts again at the end of the stream.
final class StreamRole: IngressRole {
    weak var connection: (any RedisConnection)? {
        didSet { self.gate.connection = self.connection }
    }

    /// Sends a command on the other connection; this one mostly waits inside XREAD.
    var sendAside: ([String]) -> Void = { _ in }

    private enum Expected {
        case savedPosition
        /// `locates`: the position is to be set, not only compared.
        case facts(locates: Bool)
        case entries
        case pong
    }

    private enum State {
        case starting
        /// At a position from which reading may go on, but nobody wants anything yet.
        case ready
        case reading
        /// Nobody wanted anything for a while: the end of the stream must be found again.
        case parked
        case relocating
    }

    /// Entries asked for at once, adapted so that a reply stays near ``replyBytes``.
    private static let counts = 10...10_000
    private static let replyBytes = 2 << 20
    /// A note of the position outlives an instance that is gone by this many seconds: a week.
    private static let noteLifetime = "604800"

    private let link: BridgeLink
    private let options: RedisOptions
    private let positions: StreamPositions
    private let eventLoop: any EventLoop
    private let gate: IngressGate
    private var state = State.starting
    private var whenReady: (Bool) -> Void = { _ in }
    private var expected: CircularBuffer<Expected> = []
    private var interest = StreamInterest()
    private var unsettled: [UpstreamFilter] = []
    private var entries = EntryReader()
    private var arrived: [StreamEntry] = []
    /// Up to where entries were read; ``StreamPositions`` follows as the host takes them.
    private var position = StreamPosition(id: .zero, added: nil)
    private var saved: StreamPosition?
    private var count = 100
    private var comparedAt = NIODeadline.now()
    private var saving: Scheduled<Void>?
    private var hasSeenStrangers = false

    init(link: BridgeLink, options: RedisOptions, positions: StreamPositions, eventLoop: any EventLoop) {
        self.link = link
        self.options = options
        self.positions = positions
        self.eventLoop = eventLoop
        self.gate = IngressGate(link: link, eventLoop: eventLoop)
    }

    // MARK: IngressRole

    func start(whenReady: @escaping (_ resumesSession: Bool) -> Void) {
        self.whenReady = whenReady
        if self.positions.current == nil { self.send(["GET", self.options.positionKey], .savedPosition) }
        self.send(["XINFO", "STREAM", self.options.stream], .facts(locates: true))
    }

    func interestChanged(_ changes: [InterestChange]) {
        self.unsettled += self.interest.change(changes)
        self.unsettled.removeAll { !self.interest.holds($0) }
        switch self.state {
        case .ready, .reading:
            self.settle()
            self.readOn()
        case .parked where !self.interest.isEmpty:
            self.state = .relocating
            self.send(["XINFO", "STREAM", self.options.stream], .facts(locates: true))
        case .starting, .parked, .relocating:
            break
        }
    }

    func ping() {
        // While XREAD waits it answers within the interval itself.
        if self.expected.isEmpty { self.send(["PING"], .pong) }
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        guard let expected = self.expected.popFirst() else {
            throw UpstreamError(.protocolViolation, "Redis sent a reply to nothing")
        }
        switch expected {
        case .savedPosition:
            self.saved = reader.tokens[0].kind == .string ? StreamPosition(text: reader.text(at: 0)) : nil
        case .facts(let locates):
            let facts = try Self.facts(reader)
            if locates { self.locate(facts) } else { self.compare(facts) }
        case .entries:
            try self.entriesReceived(reader)
        case .pong:
            break
        }
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {}

    func connectionEnded(_ reader: ReplyReader) {
        self.saving?.cancel()
        self.save()
    }

    // MARK: Finding the position

    private func locate(_ facts: StreamFacts) {
        switch self.state {
        case .starting:
            let known = self.positions.current ?? self.saved
            self.position = known ?? facts.end
            if known != nil, facts.lastID < self.position.id {
                self.link.logger.info(
                    "Redis no longer has the stream that was read; reading the new one from its start")
                self.position = StreamFacts.empty.end
            } else if known != nil {
                self.compare(facts)
            }
            self.positions.current = self.position
            self.state = .ready
            self.whenReady(known != nil)
        case .relocating:
            self.position = facts.end
            self.positions.current = self.position
            self.state = .ready
            self.settle()
            self.readOn()
        case .ready, .reading, .parked:
            break
        }
    }

    /// Says how many entries Redis has dropped before they were read, by MAXLEN or by hand.
    private func compare(_ facts: StreamFacts) {
        guard let lost = facts.trimmed(after: self.position), lost > 0 else { return }
        self.link.logger.info(
            "Redis dropped entries of the stream before they were read; a larger maxlen keeps them longer",
            metadata: ["redis.stream": "\(self.options.stream)", "redis.entries": "\(lost)"])
        self.position.added = self.position.added.map { $0 + lost }
    }

    static func facts(_ reader: ReplyReader) throws(UpstreamError) -> StreamFacts {
        if reader.tokens[0].kind == .error {
            let error = ErrorReply(text: reader.text(at: 0))
            // The stream comes into being with its first entry.
            if error.text.contains("no such key") { return .empty }
            throw Self.failure(error, of: "XINFO")
        }
        var facts = StreamFacts.empty
        facts.added = nil
        for index in reader.tokens.indices.dropLast() where reader.tokens[index].kind == .string {
            let value = reader.tokens[index + 1]
            if reader.isString(at: index, "length"), value.kind == .integer {
                facts.length = UInt64(value.length)
            } else if reader.isString(at: index, "last-generated-id"), let id = EntryID(reader.text(at: index + 1)) {
                facts.lastID = id
            } else if reader.isString(at: index, "entries-added"), value.kind == .integer {
                facts.added = UInt64(value.length)
            } else if reader.isString(at: index, "first-entry") {
                // What follows are fields of entries, which may be called anything.
                break
            }
        }
        return facts
    }

    static func failure(_ error: ErrorReply, of command: String) -> UpstreamError {
        let code: UpstreamError.Code = if case .ends(let code) = error.verdict { code } else { .refused }
        return UpstreamError(code, "Redis answered \(command): \(error.text)")
    }

    // MARK: Reading

    private func settle() {
        for filter in self.unsettled { self.link.interestSettled(filter, accepted: true) }
        self.unsettled = []
    }

    private func readOn() {
        guard self.expected.isEmpty, !self.gate.isClosed else { return }
        if self.interest.isEmpty {
            if case .reading = self.state { self.park() }
            return
        }
        if case .ready = self.state {
            // From here on a restart of this process must not pass anything over.
            self.state = .reading
            self.save()
        }
        if NIODeadline.now() - self.comparedAt > self.options.pingInterval {
            self.comparedAt = .now()
            self.send(["XINFO", "STREAM", self.options.stream], .facts(locates: false))
        }
        let wait = "\(self.options.pingInterval.nanoseconds / 1_000_000)"
        self.send(
            ["XREAD", "COUNT", "\(self.count)", "BLOCK", wait, "STREAMS", self.options.stream, "\(self.position.id)"],
            .entries)
    }

    private func park() {
        self.state = .parked
        self.saving?.cancel()
        self.saving = nil
        self.positions.current = nil
        self.sendAside(["DEL", self.options.positionKey])
    }

    private func entriesReceived(_ reader: ReplyReader) throws(UpstreamError) {
        switch reader.tokens[0].kind {
        case .null:
            self.readOn()
        case .error:
            throw Self.failure(ErrorReply(text: reader.text(at: 0)), of: "XREAD")
        case .array:
            let size = reader.bytes.readableBytes
            let summary = try self.entries.read(reader) { entry in
                if self.interest.contains(entry.name) { self.arrived.append(entry) }
            }
            self.noteStrangers(summary.strangers)
            if let last = summary.last {
                self.position.id = last
                self.position.added = self.position.added.map { $0 + summary.entries }
            }
            self.count = Self.count(next: self.count, entries: Int(summary.entries), bytes: size)
            self.readOn()
            self.deliver(reader.takeReply())
        case .string, .integer, .status:
            throw UpstreamError(.protocolViolation, "Redis answered XREAD in a form of its own")
        }
    }

    private func deliver(_ bytes: ByteBuffer) {
        let position = self.position
        guard !self.arrived.isEmpty else {
            // Nobody wanted these; before they count as read, what is under way must be taken.
            if self.gate.isIdle { self.taken(position) }
            return
        }
        var batch: [IngressMessage] = []
        batch.reserveCapacity(self.arrived.count)
        for entry in self.arrived {
            let payload = bytes.getSlice(at: entry.start, length: entry.length)!
            batch.append(IngressMessage(name: entry.name, payload: payload, header: entry.header))
        }
        self.arrived.removeAll(keepingCapacity: true)
        self.gate.deliver(batch) { [weak self] in
            self?.taken(position)
            self?.readOn()
        }
    }

    /// The host has taken a batch that ends at `position`; when none is under way, all that was read.
    private func taken(_ position: StreamPosition) {
        guard case .reading = self.state else { return }
        let reached = self.gate.isIdle ? self.position : position
        guard let current = self.positions.current, current.id < reached.id else { return }
        self.positions.current = reached
        if self.saving == nil {
            self.saving = self.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] in
                self?.saving = nil
                self?.save()
            }
        }
    }

    private func save() {
        guard let current = self.positions.current, current != self.saved else { return }
        self.saved = current
        self.sendAside(["SET", self.options.positionKey, current.text, "EX", Self.noteLifetime])
    }

    private func noteStrangers(_ count: Int) {
        guard count > 0, !self.hasSeenStrangers else { return }
        self.hasSeenStrangers = true
        self.link.logger.info(
            "The stream has entries without the fields channel and data; they are passed over",
            metadata: ["redis.stream": "\(self.options.stream)"])
    }

    private func send(_ command: [String], _ expected: Expected) {
        var buffer = ByteBuffer()
        buffer.writeCommand(command)
        self.expected.append(expected)
        self.connection?.write(buffer)
    }

    private static func count(next current: Int, entries: Int, bytes: Int) -> Int {
        guard entries > 0 else { return current }
        let fitting = Self.replyBytes / max(bytes / entries, 1)
        return min(max(min(fitting, current * 2), Self.counts.lowerBound), Self.counts.upperBound)
    }
}

@available(*, unavailable)
extension StreamRole: Sendable {}
