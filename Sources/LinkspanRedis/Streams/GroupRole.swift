internal import LinkspanBridgeKit
internal import Logging
internal import NIOCore

/// The connection by which an instance takes its share of the stream, with XREADGROUP.
///
/// It begins with what this consumer had taken and not acknowledged, then takes what is new, and now and then what others left for
/// ``StreamGroup/claimAfter``. An entry is acknowledged when the host has taken it. What every instance has to hear is read beside it, from a
/// stream of its own.
final class GroupRole: IngressRole {
    weak var connection: (any RedisConnection)? {
        didSet { self.gate.connection = self.connection }
    }

    /// Sends a command on the other connection; this one mostly waits inside XREADGROUP.
    var sendAside: (ByteBuffer) -> Void = { _ in }

    private enum Expected {
        case created
        case unsharedEnd
        /// Of what this consumer has taken before.
        case replayed
        case claimed
        case facts
        case groups
        case unshared
        case entries
        case pong
    }

    /// Entries asked for at once: what one instance may keep from the others, and get again after it died, is a few times as many.
    private static let count = "500"
    /// Longest wait for entries, and so the longest that what all hear may wait.
    private static let waitMilliseconds = "500"

    private let link: BridgeLink
    private let options: RedisOptions
    private let group: StreamGroup
    private let memory: GroupMemory
    private let eventLoop: any EventLoop
    private let gate: IngressGate
    private var whenReady: ((Bool) -> Void)?
    private var resumes = false
    private var expected: CircularBuffer<Expected> = []
    private var interest = StreamInterest()
    private var entries = EntryReader()
    /// From where the entries of before are read; nil when there are no more.
    private var replayFrom: EntryID?
    private var claimFrom = EntryID.zero
    private var claimedAt: NIODeadline?
    private var sweptAt: NIODeadline?
    private var comparedAt = NIODeadline.now()
    private var facts = StreamFacts.empty
    private var overtaken: UInt64 = 0
    private var hasSeenStrangers = false

    init(
        link: BridgeLink, options: RedisOptions, group: StreamGroup, memory: GroupMemory, eventLoop: any EventLoop
    ) {
        self.link = link
        self.options = options
        self.group = group
        self.memory = memory
        self.eventLoop = eventLoop
        self.gate = IngressGate(link: link, eventLoop: eventLoop)
        self.replayFrom = group.acknowledges ? .zero : nil
    }

    // MARK: IngressRole

    func start(whenReady: @escaping (_ resumesSession: Bool) -> Void) {
        self.whenReady = whenReady
        let start = self.memory.last.map { "\($0)" } ?? "$"
        var commands = Commands()
        commands.add(["XGROUP", "CREATE", self.options.stream, self.group.name, start, "MKSTREAM"], .created)
        if !self.group.unsharedNames.isEmpty, self.memory.unshared == nil {
            commands.add(["XREVRANGE", self.group.unsharedStream, "+", "-", "COUNT", "1"], .unsharedEnd)
        }
        self.send(commands)
    }

    func interestChanged(_ changes: [InterestChange]) {
        for filter in self.interest.change(changes) { self.link.interestSettled(filter, accepted: true) }
        self.readOn()
    }

    func ping() {
        // While XREADGROUP waits it answers within the interval itself.
        guard self.expected.isEmpty else { return }
        var commands = Commands()
        commands.add(["PING"], .pong)
        self.send(commands)
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        guard let expected = self.expected.popFirst() else {
            throw UpstreamError(.protocolViolation, "Redis sent a reply to nothing")
        }
        if reader.tokens[0].kind == .error, expected != .facts {
            try self.errorReceived(ErrorReply(text: reader.text(at: 0)), to: expected)
        } else {
            try self.answerReceived(reader, to: expected)
        }
        guard self.expected.isEmpty else { return }
        if let whenReady {
            self.whenReady = nil
            whenReady(self.resumes)
        }
        self.readOn()
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {}

    func connectionEnded(_ reader: ReplyReader) {}

    private func answerReceived(_ reader: ReplyReader, to expected: Expected) throws(UpstreamError) {
        switch expected {
        case .created:
            if self.memory.last != nil {
                self.link.logger.warning("Redis had lost the group, and it goes on where this instance was")
            }
        case .unsharedEnd:
            // The last entry, or none: *1, *2, id.
            let id = reader.tokens.count > 2 ? EntryID(reader.text(at: 2)) : .zero
            guard let id else { throw Self.violation(of: "XREVRANGE") }
            self.memory.unshared = id
        case .replayed: try self.replayed(reader)
        case .claimed: try self.claimed(reader)
        case .facts: self.facts = try StreamRole.facts(reader)
        case .groups: self.compare(reader)
        case .unshared: try self.unsharedReceived(reader)
        case .entries: try self.entriesReceived(reader)
        case .pong: break
        }
    }

    private func errorReceived(_ error: ErrorReply, to expected: Expected) throws(UpstreamError) {
        if error.word == "NOGROUP" {
            throw UpstreamError(.lost, "somebody removed the group or the stream; Redis answered: \(error.text)")
        }
        switch expected {
        case .created where error.word == "BUSYGROUP":
            self.resumes = true
        case .groups, .facts, .pong:
            // May be forbidden to this user; it only tells more.
            break
        case .claimed where error.text.contains("unknown command"):
            throw UpstreamError(
                .promise, "consume: one_of needs XAUTOCLAIM, which came with Redis 6.2; Redis answered: \(error.text)")
        case .created: throw StreamRole.failure(error, of: "XGROUP CREATE")
        case .unsharedEnd: throw StreamRole.failure(error, of: "XREVRANGE")
        case .claimed: throw StreamRole.failure(error, of: "XAUTOCLAIM")
        case .unshared: throw StreamRole.failure(error, of: "XREAD")
        case .replayed, .entries: throw StreamRole.failure(error, of: "XREADGROUP")
        }
    }

    // MARK: Asking

    private func readOn() {
        guard self.whenReady == nil, self.expected.isEmpty, !self.gate.isClosed, !self.interest.isEmpty else { return }
        self.acknowledge(self.memory.takeOverdue())
        let now = NIODeadline.now()
        var commands = Commands()
        let (stream, group) = (self.options.stream, self.group)
        let read = ["XREADGROUP", "GROUP", group.name, group.consumer, "COUNT", Self.count]
        if let replayFrom {
            commands.add(read + ["STREAMS", stream, "\(replayFrom)"], .replayed)
            return self.send(commands)
        }
        if group.acknowledges { self.addClaim(to: &commands, at: now) }
        if now - self.comparedAt > self.options.pingInterval {
            self.comparedAt = now
            commands.add(["XINFO", "STREAM", stream], .facts)
            commands.add(["XINFO", "GROUPS", stream], .groups)
        }
        if let position = self.memory.unshared {
            commands.add(["XREAD", "COUNT", "100", "STREAMS", group.unsharedStream, "\(position)"], .unshared)
        }
        let block = ["BLOCK", Self.waitMilliseconds] + (group.acknowledges ? [] : ["NOACK"])
        commands.add(read + block + ["STREAMS", stream, ">"], .entries)
        self.send(commands)
    }

    private func addClaim(to commands: inout Commands, at now: NIODeadline) {
        let group = self.group
        let pause = TimeAmount.nanoseconds(group.claimAfter.nanoseconds / 2)
        if self.claimFrom != .zero || self.claimedAt.map({ now - $0 >= pause }) ?? true {
            self.claimedAt = now
            let idle = "\(group.claimAfter.nanoseconds / 1_000_000)"
            commands.add(
                [
                    "XAUTOCLAIM", self.options.stream, group.name, group.consumer, idle, "\(self.claimFrom)", "COUNT",
                    "100",
                ], .claimed)
        }
        if self.sweptAt.map({ now - $0 >= group.goneAfter }) ?? true {
            self.sweptAt = now
            var command = ByteBuffer()
            command.writeCommand(group.removal(stream: self.options.stream))
            self.sendAside(command)
        }
    }

    // MARK: Taking

    private func replayed(_ reader: ReplyReader) throws(UpstreamError) {
        let summary = try self.take(reader, at: 3)
        self.replayFrom = summary.last
    }

    private func claimed(_ reader: ReplyReader) throws(UpstreamError) {
        // *3, cursor, *entries, *dropped ids; the last since Redis 7.
        guard reader.tokens.count > 2, reader.tokens[1].kind == .string, let next = EntryID(reader.text(at: 1)) else {
            throw Self.violation(of: "XAUTOCLAIM")
        }
        self.claimFrom = next
        let summary = try self.take(reader, at: 2)
        if summary.entries > 0 {
            self.link.logger.info(
                "Took over messages that another instance had not acknowledged",
                metadata: ["redis.group": "\(self.group.name)", "redis.entries": "\(summary.entries)"])
        }
    }

    private func entriesReceived(_ reader: ReplyReader) throws(UpstreamError) {
        if reader.tokens[0].kind == .null { return }
        let summary = try self.take(reader, at: 3)
        if let last = summary.last { self.memory.handedOut(upTo: last) }
    }

    /// Hands over the messages of an array of entries, and acknowledges what is none for us.
    private func take(_ reader: ReplyReader, at array: Int) throws(UpstreamError) -> EntryReader.Summary {
        var ids: [EntryID] = []
        var settled: [EntryID] = []
        var arrived: [StreamEntry] = []
        let (summary, end) = try self.entries.read(reader, at: array) { index, entry in
            guard let id = EntryID(reader.text(at: index)) else { return }
            switch self.memory.judge(id) {
            case .underWay: return
            case .taken: settled.append(id)
            case .new:
                if let entry, self.isWanted(entry.name) {
                    ids.append(id)
                    arrived.append(entry)
                } else {
                    settled.append(id)
                }
            }
        }
        let behind = end < reader.tokens.count && reader.tokens[end].kind == .array ? reader.tokens[end].length : 0
        self.noteDropped(summary.dropped + UInt64(behind))
        self.noteStrangers(summary.strangers)
        self.acknowledge(settled)
        guard !arrived.isEmpty else { return summary }
        let batch = Self.batch(arrived, reader)
        if self.group.acknowledges { self.memory.handedOver(ids) }
        self.gate.deliver(batch) { [weak self, memory, acknowledges = self.group.acknowledges] in
            if acknowledges { memory.taken(ids) }
            self?.acknowledge(ids)
            self?.readOn()
        }
        return summary
    }

    /// What every instance hears comes on a way of its own.
    private func isWanted(_ name: String) -> Bool {
        self.interest.contains(name) && !self.group.unsharedNames.contains(name)
    }

    private func unsharedReceived(_ reader: ReplyReader) throws(UpstreamError) {
        if reader.tokens[0].kind == .null { return }
        var arrived: [StreamEntry] = []
        let (summary, _) = try self.entries.read(reader, at: 3) { _, entry in
            if let entry, self.interest.contains(entry.name) { arrived.append(entry) }
        }
        if let last = summary.last { self.memory.unshared = last }
        guard !arrived.isEmpty else { return }
        self.gate.deliver(Self.batch(arrived, reader)) { [weak self] in self?.readOn() }
    }

    private static func batch(_ entries: [StreamEntry], _ reader: ReplyReader) -> [IngressMessage] {
        let bytes = reader.takeReply()
        return entries.map { entry in
            let payload = bytes.getSlice(at: entry.start, length: entry.length)!
            return IngressMessage(name: entry.name, payload: payload, header: entry.header)
        }
    }

    private func acknowledge(_ ids: [EntryID]) {
        guard self.group.acknowledges, !ids.isEmpty else { return }
        var command = ByteBuffer()
        command.writeString("*\(ids.count + 3)\r\n")
        for argument in ["XACK", self.options.stream, self.group.name] { command.writeBulk(argument) }
        for id in ids { command.writeBulk(id.description) }
        self.sendAside(command)
    }

    // MARK: What nobody gets

    /// Notices entries that Redis dropped before any instance of the group had asked for them.
    private func compare(_ reader: ReplyReader) {
        guard let added = self.facts.added, added >= self.facts.length, let read = self.entriesRead(reader) else {
            return
        }
        let removed = added - self.facts.length
        let overtaken = removed > read ? removed - read : 0
        if overtaken > self.overtaken { self.noteDropped(overtaken - self.overtaken) }
        self.overtaken = overtaken
    }

    /// `entries-read` of our group; nil when Redis does not know, and before version 7.
    private func entriesRead(_ reader: ReplyReader) -> UInt64? {
        var isOurs = false
        for index in reader.tokens.indices.dropLast() where reader.tokens[index].kind == .string {
            if reader.isString(at: index, "name") {
                isOurs = reader.text(at: index + 1) == self.group.name
            } else if isOurs, reader.isString(at: index, "entries-read") {
                let value = reader.tokens[index + 1]
                return value.kind == .integer ? UInt64(value.length) : nil
            }
        }
        return nil
    }

    private func noteDropped(_ count: UInt64) {
        guard count > 0 else { return }
        let sum = self.memory.dropped(count)
        self.link.logger.warning(
            "Redis dropped entries of the stream before the group had taken them; a larger maxlen keeps them longer",
            metadata: ["redis.stream": "\(self.options.stream)", "redis.entries": "\(count)"])
        self.link.noted(
            UpstreamPromise(
                "group", .assumed,
                "Redis dropped \(sum) entries before the group \(self.group.name) had taken them; a larger maxlen keeps them "
                    + "longer"))
    }

    private func noteStrangers(_ count: Int) {
        guard count > 0, !self.hasSeenStrangers else { return }
        self.hasSeenStrangers = true
        self.link.logger.info(
            "The stream has entries without the fields channel and data; they are passed over",
            metadata: ["redis.stream": "\(self.options.stream)"])
    }

    private static func violation(of command: String) -> UpstreamError {
        UpstreamError(.protocolViolation, "Redis answered \(command) in a form of its own")
    }

    // MARK: Sending

    /// Commands that leave together, with what answers them.
    private struct Commands {
        var buffer = ByteBuffer()
        var expected: [Expected] = []

        mutating func add(_ command: [String], _ answer: Expected) {
            self.buffer.writeCommand(command)
            self.expected.append(answer)
        }
    }

    private func send(_ commands: Commands) {
        self.expected.append(contentsOf: commands.expected)
        self.connection?.write(commands.buffer)
    }
}

@available(*, unavailable)
extension GroupRole: Sendable {}
