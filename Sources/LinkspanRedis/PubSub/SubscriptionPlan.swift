internal import LinkspanBridgeKit
internal import NIOCore

/// Which subscriptions a connection holds, and which commands bring them to what is wanted.
///
/// Redis delivers a message once for each subscription that matches it. So of overlapping filters only the widest are subscribed
/// (the covering set), and while one set gives way to another, what comes twice is recognised: every publish is delivered once, by the
/// widest subscription that Redis has confirmed at that point of the stream.
struct SubscriptionPlan {
    enum Verb: Equatable {
        case subscribe, unsubscribe, psubscribe, punsubscribe

        var name: String {
            switch self {
            case .subscribe: "SUBSCRIBE"
            case .unsubscribe: "UNSUBSCRIBE"
            case .psubscribe: "PSUBSCRIBE"
            case .punsubscribe: "PUNSUBSCRIBE"
            }
        }

        var subscribes: Bool { self == .subscribe || self == .psubscribe }
        var isPattern: Bool { self == .psubscribe || self == .punsubscribe }
    }

    struct Command: Equatable {
        var verb: Verb
        var filters: [UpstreamFilter]

        /// As it is sent, patterns escaped.
        var arguments: [String] { [self.verb.name] + self.filters.map(\.redisName) }
    }

    struct Settled: Equatable {
        var filter: UpstreamFilter
        var accepted: Bool
    }

    /// What to do after an event, settled filters first.
    struct Step: Equatable {
        var settled: [Settled] = []
        var commands: [Command] = []
    }

    private struct Entry {
        var isWanted = false
        var isReported = false
        var isRefused = false
        /// What Redis will hold once it has carried out every command sent.
        var isSent = false
        /// What Redis held at the point of the stream that was read last.
        var isConfirmed = false
        /// Commands for it that were not yet answered.
        var underWay = 0

        var isSettled: Bool { self.isConfirmed && self.underWay == 0 }
        var isForgotten: Bool { !self.isWanted && !self.isSent && !self.isConfirmed && self.underWay == 0 }
    }

    private enum Pending {
        case command(Command, answered: Int)
        case ping
    }

    /// Most names in one command: one -NOPERM refuses a whole command, which is then asked again name by name.
    static let namesPerCommand = 100

    private var entries: [UpstreamFilter: Entry] = [:]
    /// Wanted and not refused; few.
    private var prefixes: Set<UpstreamFilter> = []
    private var confirmedPrefixes: Set<UpstreamFilter> = []
    /// Confirmed filters below a confirmed prefix: what they deliver is a second copy.
    private var doubled: Set<UpstreamFilter> = []
    private var pending: CircularBuffer<Pending> = []

    /// How many subscriptions Redis holds for us now.
    var confirmedCount: Int { self.entries.values.count { $0.isConfirmed } }

    // MARK: Events

    mutating func interestChanged(_ changes: [InterestChange]) -> Step {
        var touched: [UpstreamFilter] = []
        var touchesPrefixes = false
        for change in changes {
            switch change {
            case .subscribe(let filter):
                var entry = self.entries[filter] ?? Entry()
                entry.isWanted = true
                entry.isRefused = false
                entry.isReported = false
                self.entries[filter] = entry
                touched.append(filter)
            case .unsubscribe(let filter):
                guard self.entries[filter] != nil else { continue }
                self.entries[filter]?.isWanted = false
                touched.append(filter)
            }
            if touched.last?.isPrefix == true { touchesPrefixes = true }
        }
        if touchesPrefixes { self.findPrefixes() }
        return self.step(for: touchesPrefixes ? Array(self.entries.keys) : touched)
    }

    /// Redis answered a command of ours for one name. `name` is as in the reply: a pattern is escaped.
    ///
    /// - Throws: ``UpstreamError`` when that is not what we asked for.
    mutating func confirmationReceived(_ verb: Verb, name: String) throws(UpstreamError) -> Step {
        guard case .command(let command, let answered)? = self.pending.first, command.verb == verb,
            command.filters[answered].redisName.utf8.elementsEqual(name.utf8)
        else {
            throw UpstreamError(.protocolViolation, "Redis confirmed \(verb.name) of a name that was not asked for")
        }
        self.answered(command, answered + 1)
        let filter = command.filters[answered]
        self.entries[filter]?.underWay -= 1
        self.entries[filter]?.isConfirmed = verb.subscribes
        self.findDoubled(after: filter, isConfirmed: verb.subscribes)
        return self.step(for: filter.isPrefix ? Array(self.entries.keys) : [filter])
    }

    /// Redis answered the oldest command with an error.
    ///
    /// - Throws: ``UpstreamError`` when that ends the conversation.
    mutating func errorReceived(_ error: ErrorReply) throws(UpstreamError) -> Step {
        switch self.pending.popFirst() {
        case nil:
            throw UpstreamError(.protocolViolation, "Redis sent an error that nothing had asked for: \(error.text)")
        case .ping:
            // Redis answers PING with an error while it cannot write its disk, for one; it is alive.
            return Step()
        case .command(let command, answered: _):
            guard case .refused = error.verdict, command.verb.subscribes else {
                let code: UpstreamError.Code =
                    if case .ends(let code) = error.verdict { code } else { .protocolViolation }
                throw UpstreamError(code, "Redis answered \(command.verb.name): \(error.text)")
            }
            if command.filters.count > 1 {
                return Step(commands: self.queue(command.filters.map { Command(verb: command.verb, filters: [$0]) }))
            }
            return self.refused(command.filters[0])
        }
    }

    mutating func pingSent() {
        self.pending.append(.ping)
    }

    mutating func pongReceived() throws(UpstreamError) {
        guard case .ping? = self.pending.first else {
            throw UpstreamError(.protocolViolation, "Redis answered a PING that was not sent")
        }
        self.pending.removeFirst()
    }

    // MARK: Deliveries

    /// Whether subscriptions overlap at this point of the stream, so that ``isSecondCopy(_:)`` must be asked.
    var hasOverlap: Bool { !self.doubled.isEmpty }

    /// Whether what arrived by the subscription for `filter` also arrives, or arrived, by a wider one.
    func isSecondCopy(_ filter: UpstreamFilter) -> Bool {
        self.doubled.contains(filter)
    }

    // MARK: Deciding

    private mutating func step(for filters: [UpstreamFilter]) -> Step {
        var step = Step()
        var wanted: [Verb: [UpstreamFilter]] = [:]
        for filter in filters {
            guard var entry = self.entries[filter] else { continue }
            let cover = self.cover(of: filter)
            if entry.isWanted, !entry.isReported, entry.isSettled || cover == .confirmed {
                entry.isReported = true
                step.settled.append(Settled(filter: filter, accepted: true))
            }
            if self.isDesired(entry, under: cover) != entry.isSent {
                entry.isSent.toggle()
                entry.underWay += 1
                wanted[Verb(filter, subscribes: entry.isSent), default: []].append(filter)
            }
            self.entries[filter] = entry.isForgotten ? nil : entry
        }
        // New subscriptions first: a name that moves from one to another is then covered without a break.
        let order: [Verb] = [.psubscribe, .subscribe, .unsubscribe, .punsubscribe]
        let commands = order.flatMap { verb in
            (wanted[verb] ?? []).chunked(by: Self.namesPerCommand).map { Command(verb: verb, filters: $0) }
        }
        step.commands = self.queue(commands)
        return step
    }

    private enum Cover {
        case none, asked, confirmed
    }

    private func cover(of filter: UpstreamFilter) -> Cover {
        var cover = Cover.none
        for prefix in self.prefixes where prefix.covers(filter) {
            if self.entries[prefix]?.isSettled == true { return .confirmed }
            cover = .asked
        }
        return cover
    }

    private func isDesired(_ entry: Entry, under cover: Cover) -> Bool {
        guard entry.isWanted, !entry.isRefused else { return false }
        switch cover {
        case .none: return true
        // Redis may still refuse the wider one: keep what there is, ask for nothing more.
        case .asked: return entry.isSent
        case .confirmed: return false
        }
    }

    private mutating func refused(_ filter: UpstreamFilter) -> Step {
        self.entries[filter]?.underWay -= 1
        self.entries[filter]?.isSent = false
        self.entries[filter]?.isRefused = true
        self.entries[filter]?.isReported = true
        let isWanted = self.entries[filter]?.isWanted == true
        let settled = isWanted ? [Settled(filter: filter, accepted: false)] : []
        if filter.isPrefix { self.findPrefixes() }
        var step = self.step(for: filter.isPrefix ? Array(self.entries.keys) : [filter])
        step.settled = settled + step.settled
        return step
    }

    private mutating func queue(_ commands: [Command]) -> [Command] {
        for command in commands { self.pending.append(.command(command, answered: 0)) }
        return commands
    }

    private mutating func answered(_ command: Command, _ count: Int) {
        if count == command.filters.count {
            self.pending.removeFirst()
        } else {
            self.pending[self.pending.startIndex] = .command(command, answered: count)
        }
    }

    private mutating func findPrefixes() {
        self.prefixes = Set(
            self.entries.lazy.filter { $0.key.isPrefix && $0.value.isWanted && !$0.value.isRefused }.map(\.key))
    }

    private mutating func findDoubled(after filter: UpstreamFilter, isConfirmed: Bool) {
        if filter.isPrefix {
            if isConfirmed { self.confirmedPrefixes.insert(filter) } else { self.confirmedPrefixes.remove(filter) }
            let prefixes = self.confirmedPrefixes
            let confirmed = self.entries.lazy.filter { $0.value.isConfirmed }.map(\.key)
            self.doubled = Set(confirmed.filter { one in prefixes.contains { $0.covers(one) } })
        } else if isConfirmed, self.confirmedPrefixes.contains(where: { $0.covers(filter) }) {
            self.doubled.insert(filter)
        } else {
            self.doubled.remove(filter)
        }
    }
}

extension SubscriptionPlan.Verb {
    fileprivate init(_ filter: UpstreamFilter, subscribes: Bool) {
        self =
            switch (filter.isPrefix, subscribes) {
            case (true, true): .psubscribe
            case (true, false): .punsubscribe
            case (false, true): .subscribe
            case (false, false): .unsubscribe
            }
    }
}

extension UpstreamFilter {
    var isPrefix: Bool {
        if case .prefix = self { true } else { false }
    }

    /// Whether this is a prefix filter that matches everything `other` matches, and is another one.
    func covers(_ other: UpstreamFilter) -> Bool {
        guard case .prefix(let prefix) = self else { return false }
        switch other {
        case .exact(let name): return name.utf8.starts(with: prefix.utf8)
        case .prefix(let text): return text.utf8.count > prefix.utf8.count && text.utf8.starts(with: prefix.utf8)
        }
    }

    /// What stands in the command: a name as it is, a prefix as a glob pattern in which only the last `*` is one.
    var redisName: String {
        switch self {
        case .exact(let name): return name
        case .prefix(let text):
            var pattern: [UInt8] = []
            for byte in text.utf8 {
                switch byte {
                case UInt8(ascii: "\\"), UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "["), UInt8(ascii: "]"):
                    pattern.append(UInt8(ascii: "\\"))
                default: break
                }
                pattern.append(byte)
            }
            pattern.append(UInt8(ascii: "*"))
            return String(decoding: pattern, as: UTF8.self)
        }
    }

    /// The prefix filter whose pattern this is; the reverse of ``redisName``.
    init(pattern: String) {
        var text: [UInt8] = []
        var isEscaped = false
        for byte in pattern.utf8.dropLast() {
            if byte == UInt8(ascii: "\\"), !isEscaped {
                isEscaped = true
            } else {
                text.append(byte)
                isEscaped = false
            }
        }
        self = .prefix(String(decoding: text, as: UTF8.self))
    }
}

extension Array {
    fileprivate func chunked(by size: Int) -> [[Element]] {
        stride(from: 0, to: self.count, by: size).map { Array(self[$0..<Swift.min($0 + size, self.count)]) }
    }
}
