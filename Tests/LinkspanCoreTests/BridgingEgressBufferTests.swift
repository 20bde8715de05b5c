import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct BridgingEgressBufferTests {
    private static func buffer(
        messages: Int = 4, whenFull: OverflowPolicy = .dropOldest, age: Duration? = nil,
        guarantee: Guarantee = .atMostOnce
    ) -> EgressBuffer {
        var settings = BufferSettings()
        settings.sizeBytes = messages * (EgressBuffer.costPerMessage + 1)
        settings.whenFull = whenFull
        settings.age = age
        return EgressBuffer(settings: settings, guarantee: guarantee)
    }

    private static func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    /// One byte of payload each.
    private static func envelope(_ name: String, at seconds: Int64 = 0) -> BufferedEnvelope {
        BufferedEnvelope(name: name, data: ByteBuffer(string: "1"), header: nil, acceptedAt: Self.at(seconds))
    }

    private static func take(_ buffer: inout EgressBuffer, _ limit: Int, at seconds: Int64 = 0) -> [String] {
        var taken: [String] = []
        let count = buffer.take(upTo: limit, at: Self.at(seconds)) { taken.append("\($0) \($1.name)") }
        #expect(count == taken.count)
        return taken
    }

    @Test func `messages leave in order under rising tickets and are confirmed in any order`() {
        var buffer = Self.buffer()
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        #expect(Self.take(&buffer, 2) == ["1 a", "2 b"])
        #expect(Self.take(&buffer, 2) == ["3 c"])
        buffer.confirm(2...3)
        #expect(buffer.ledger.inFlight == 1)
        buffer.confirm(1...1)
        #expect(buffer.ledger.confirmed == 3)
        #expect(buffer.isSettled && buffer.usedBytes == 0 && buffer.ledger.isBalanced)
    }

    @Test func `a full buffer drops its oldest and counts it`() {
        var buffer = Self.buffer(messages: 2)
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.ledger.dropped[.bufferFull] == 1)
        #expect(Self.take(&buffer, 9) == ["1 b", "2 c"])
    }

    @Test func `a full buffer of the other policy drops the newest`() {
        var buffer = Self.buffer(messages: 2, whenFull: .dropNewest)
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.ledger.dropped[.bufferFull] == 1)
        #expect(Self.take(&buffer, 9) == ["1 a", "2 b"])
    }

    @Test func `what is in flight fills the buffer too and is never dropped to make room`() {
        var buffer = Self.buffer(messages: 2)
        for name in ["a", "b"] { buffer.append(Self.envelope(name)) }
        _ = Self.take(&buffer, 2)
        buffer.append(Self.envelope("c"))
        #expect(buffer.ledger.dropped[.bufferFull] == 1)
        #expect(buffer.ledger.inFlight == 2)
        buffer.confirm(1...1)
        buffer.append(Self.envelope("d"))
        #expect(Self.take(&buffer, 9) == ["3 d"])
    }

    @Test func `a message larger than the buffer drops nothing but itself`() {
        var buffer = Self.buffer(messages: 1)
        buffer.append(Self.envelope("a"))
        var large = Self.envelope("b")
        large.data = ByteBuffer(repeating: 1, count: 100)
        buffer.append(large)
        #expect(buffer.ledger.dropped[.tooLarge] == 1)
        #expect(Self.take(&buffer, 9) == ["1 a"])
    }

    @Test func `messages past their age expire, at the tick and when taken`() {
        var buffer = Self.buffer(age: .seconds(10))
        buffer.append(Self.envelope("a", at: 0))
        buffer.append(Self.envelope("b", at: 5))
        buffer.expire(at: Self.at(9))
        #expect(buffer.ledger.expired == 0)
        #expect(Self.take(&buffer, 9, at: 10) == ["1 b"])
        #expect(buffer.ledger.expired == 1 && buffer.ledger.isBalanced)
    }

    @Test func `a lost link loses what was in flight, at most once`() {
        var buffer = Self.buffer()
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        _ = Self.take(&buffer, 2)
        buffer.confirm(2...2)
        buffer.linkLost()
        #expect(buffer.ledger.dropped[.linkLost] == 1)
        #expect(Self.take(&buffer, 9) == ["3 c"])
        #expect(buffer.ledger.isBalanced)
    }

    @Test func `a lost link puts what was in flight back in front, at least once`() {
        var buffer = Self.buffer(guarantee: .atLeastOnce)
        for name in ["a", "b", "c", "d"] { buffer.append(Self.envelope(name)) }
        _ = Self.take(&buffer, 3)
        buffer.confirm(2...2)
        buffer.linkLost()
        #expect(buffer.ledger.dropped.total == 0)
        #expect(Self.take(&buffer, 9) == ["4 a", "5 c", "6 d"])
        buffer.confirm(1...3)
        #expect(buffer.ledger.confirmed == 1, "tickets of the lost link are stray")
        buffer.confirm(4...6)
        #expect(buffer.ledger.confirmed == 4 && buffer.isSettled)
    }

    @Test func `a refusal is counted by its reason and not sent again`() {
        var buffer = Self.buffer(guarantee: .atLeastOnce)
        for name in ["a", "b"] { buffer.append(Self.envelope(name)) }
        _ = Self.take(&buffer, 2)
        buffer.refuse(1, .forbidden)
        buffer.linkLost()
        #expect(buffer.ledger.dropped[.forbidden] == 1)
        #expect(Self.take(&buffer, 2) == ["3 b"])
    }

    @Test func `tickets that are not in flight change nothing and are counted`() {
        var buffer = Self.buffer()
        buffer.append(Self.envelope("a"))
        buffer.confirm(1...5)
        #expect(buffer.strayTickets == 5)
        _ = Self.take(&buffer, 1)
        buffer.confirm(1...(.max))
        buffer.confirm(0...1)
        buffer.confirm(100...200)
        buffer.refuse(7, .rejected)
        #expect(buffer.ledger.confirmed == 1 && buffer.ledger.isBalanced && buffer.usedBytes == 0)
    }

    @Test func `stopping accounts for everything that is left`() {
        var buffer = Self.buffer()
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        _ = Self.take(&buffer, 1)
        buffer.stop()
        #expect(buffer.ledger.dropped[.stopped] == 3)
        #expect(buffer.isSettled && buffer.usedBytes == 0 && buffer.ledger.isBalanced)
    }

    @Test func `what waits long lets go of the storage it shared, and keeps its bytes`() {
        var settings = BufferSettings()
        settings.sizeBytes = 1 << 20
        var buffer = EgressBuffer(settings: settings, guarantee: .atMostOnce)
        let turn = ByteBuffer(string: String(repeating: "x", count: 100_000) + "1234567")
        for offset in 0..<7 {
            var envelope = Self.envelope("\(offset)")
            envelope.data = turn.getSlice(at: 100_000 + offset, length: 1) ?? ByteBuffer()
            buffer.append(envelope)
        }
        _ = Self.take(&buffer, 2)
        let isMoreLeft = (0..<3).map { _ in buffer.detach(upTo: 3) }
        #expect(isMoreLeft == [true, false, false])
        var taken: [ByteBuffer] = []
        _ = buffer.take(upTo: 9, at: Self.at(0)) { taken.append($1.data) }
        #expect(taken.map { String(buffer: $0) } == ["3", "4", "5", "6", "7"])
        #expect(taken.allSatisfy { $0.storageCapacity < 1000 })
        #expect(buffer.ledger.isBalanced)
    }

    @Test func `a full buffer keeps the latest of each channel`() {
        var buffer = Self.buffer(messages: 3, whenFull: .latestPerChannel)
        for name in ["a", "b", "a", "c"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.ledger.dropped[.superseded] == 1)
        buffer.append(Self.envelope("b"))
        #expect(buffer.ledger.dropped[.superseded] == 2 && buffer.ledger.isBalanced)
        #expect(Self.take(&buffer, 9) == ["1 a", "2 c", "3 b"])
    }

    @Test func `where every channel waits once, the oldest gives way to a new channel`() {
        var buffer = Self.buffer(messages: 2, whenFull: .latestPerChannel)
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.ledger.dropped[.bufferFull] == 1 && buffer.ledger.dropped[.superseded] == 0)
        #expect(Self.take(&buffer, 9) == ["1 b", "2 c"])
    }

    @Test func `spellings of one name that are canonically equivalent are two channels`() {
        var buffer = Self.buffer(messages: 2, whenFull: .latestPerChannel)
        for name in ["e\u{301}", "\u{e9}"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.ledger.dropped.total == 0)
        #expect(Self.take(&buffer, 9).count == 2)
    }

    @Test func `messages that superseded one another for long cost no more than those that wait`() {
        var buffer = Self.buffer(messages: 2, whenFull: .latestPerChannel)
        buffer.append(Self.envelope("rare"))
        for _ in 0..<100_000 { buffer.append(Self.envelope("busy")) }
        #expect(buffer.ledger.dropped[.superseded] == 99_999)
        #expect(Self.take(&buffer, 9) == ["1 rare", "2 busy"])
    }

    @Test func `a blocking buffer makes publishers wait, keeps what still comes, and ends with a quarter free`() {
        var buffer = Self.buffer(messages: 4, whenFull: .block)
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        #expect(!buffer.isBlocking)
        for name in ["d", "e"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.isBlocking && buffer.ledger.dropped.total == 0)
        _ = Self.take(&buffer, 9)
        buffer.confirm(1...1)
        #expect(buffer.isBlocking)
        buffer.confirm(2...2)
        #expect(!buffer.isBlocking)
    }

    @Test func `a blocking buffer drops what comes beyond its reserve, and counts it`() {
        var settings = BufferSettings()
        settings.sizeBytes = 1 << 20
        settings.whenFull = .block
        var buffer = EgressBuffer(settings: settings, guarantee: .atLeastOnce)
        var large = Self.envelope("a")
        large.data = ByteBuffer(repeating: 1, count: (1 << 20) - EgressBuffer.costPerMessage)
        for _ in 0..<40 { buffer.append(large) }
        #expect(buffer.ledger.buffered == 33 && buffer.ledger.dropped[.bufferFull] == 7)
        #expect(buffer.usedBytes == settings.sizeBytes + EgressBuffer.reserveBytes && buffer.ledger.isBalanced)
        buffer.stop()
        #expect(!buffer.isBlocking)
    }

    @Test(arguments: [OverflowPolicy.dropNewest, .dropOldest])
    func `a bound on the number of messages holds beside the one on bytes`(policy: OverflowPolicy) {
        var settings = BufferSettings()
        settings.messages = 2
        settings.whenFull = policy
        var buffer = EgressBuffer(settings: settings, guarantee: .atMostOnce)
        for name in ["a", "b", "c"] { buffer.append(Self.envelope(name)) }
        #expect(buffer.ledger.dropped[.bufferFull] == 1)
        #expect(Self.take(&buffer, 9) == (policy == .dropNewest ? ["1 a", "2 b"] : ["1 b", "2 c"]))
    }

    @Test(arguments: Guarantee.allCases, OverflowPolicy.allCases)
    func `the ledger balances and agrees with a plain list after every step`(
        guarantee: Guarantee, policy: OverflowPolicy
    ) {
        var random = SeededRandom()
        var settings = BufferSettings()
        settings.sizeBytes = 20 * PlainBuffer.cost
        settings.whenFull = policy
        settings.age = .seconds(30)
        var buffer = EgressBuffer(settings: settings, guarantee: guarantee)
        var model = PlainBuffer(limit: 20, policy: policy, guarantee: guarantee)
        var now: Int64 = 0
        for step in 10_000..<15_000 {
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<9:
                let name = "channel \(Int.random(in: 0..<12, using: &random))"
                let data = ByteBuffer(string: "\(step)")
                buffer.append(BufferedEnvelope(name: name, data: data, header: nil, acceptedAt: Self.at(now)))
                var probe = buffer
                var remaining: Set<String> = []
                _ = probe.take(upTo: .max, at: Self.at(0)) { remaining.insert(String(buffer: $1.data)) }
                model.append("\(step)", name: name, at: now, remaining: remaining)
            case 9..<13:
                let limit = Int.random(in: 0...8, using: &random)
                var taken: [String] = []
                _ = buffer.take(upTo: limit, at: Self.at(now)) { taken.append("\($0) \(String(buffer: $1.data))") }
                model.expire(at: now)
                #expect(taken == model.take(limit), "seed \(random.seed), step \(step)")
            case 13..<17:
                let low = UInt64.random(in: 0...(model.nextTicket + 2), using: &random)
                let tickets = low...(low + UInt64.random(in: 0...6, using: &random))
                buffer.confirm(tickets)
                model.confirm(tickets)
            case 17:
                let ticket = UInt64.random(in: 0...model.nextTicket, using: &random)
                buffer.refuse(ticket, .rejected)
                model.refuse(ticket)
            case 18:
                _ = buffer.detach(upTo: Int.random(in: 0...10, using: &random))
                buffer.shrink()
                now += 7
                buffer.expire(at: Self.at(now))
                model.expire(at: now)
            default:
                buffer.linkLost()
                model.linkLost()
            }
            guard buffer.ledger.isBalanced, model.agrees(with: buffer) else {
                Issue.record("seed \(random.seed), step \(step): \(buffer.ledger) beside \(model)")
                return
            }
        }
    }
}

/// The same promises kept with plain arrays.
private struct PlainBuffer {
    /// Payloads are five bytes.
    static let cost = EgressBuffer.costPerMessage + 5

    let limit: Int
    let policy: OverflowPolicy
    let guarantee: Guarantee
    var waiting: [(id: String, name: String, at: Int64)] = []
    var flying: [(ticket: UInt64, id: String, name: String, at: Int64)] = []
    var nextTicket: UInt64 = 1
    var confirmed = 0
    var refused = 0
    var expired = 0
    var full = 0
    var superseded = 0
    var lost = 0
    var isBlocking = false

    init(limit: Int, policy: OverflowPolicy, guarantee: Guarantee) {
        self.limit = limit
        self.policy = policy
        self.guarantee = guarantee
    }

    /// - Parameter remaining: what waits in the buffer now; of several messages that could give way it may choose.
    mutating func append(_ id: String, name: String, at now: Int64, remaining: Set<String>) {
        defer { self.note() }
        if self.waiting.count + self.flying.count >= self.limit, self.policy != .block {
            guard self.policy != .dropNewest, !self.waiting.isEmpty else { return self.full += 1 }
            if self.policy == .dropOldest || !self.dropSuperseded(by: name, remaining: remaining) {
                self.waiting.removeFirst()
                self.full += 1
            }
        }
        self.waiting.append((id, name, now))
    }

    private mutating func dropSuperseded(by newcomer: String, remaining: Set<String>) -> Bool {
        let needless = self.waiting.indices.filter { index in
            self.waiting[index...].dropFirst().contains { $0.name == self.waiting[index].name }
        }
        let candidates =
            needless.isEmpty ? self.waiting.indices.filter { self.waiting[$0].name == newcomer } : needless
        guard let chosen = candidates.first(where: { !remaining.contains(self.waiting[$0].id) }) else { return false }
        self.waiting.remove(at: chosen)
        self.superseded += 1
        return true
    }

    private mutating func note() {
        guard self.policy == .block else { return }
        let used = self.waiting.count + self.flying.count
        self.isBlocking = self.isBlocking ? used > self.limit * 3 / 4 : used >= self.limit
    }

    mutating func take(_ limit: Int) -> [String] {
        let taken = self.waiting.prefix(limit)
        self.waiting.removeFirst(taken.count)
        return taken.map { id, name, at in
            defer { self.nextTicket += 1 }
            self.flying.append((self.nextTicket, id, name, at))
            return "\(self.nextTicket) \(id)"
        }
    }

    mutating func confirm(_ tickets: ClosedRange<UInt64>) {
        let before = self.flying.count
        self.flying.removeAll { tickets.contains($0.ticket) }
        self.confirmed += before - self.flying.count
        self.note()
    }

    mutating func refuse(_ ticket: UInt64) {
        let before = self.flying.count
        self.flying.removeAll { $0.ticket == ticket }
        self.refused += before - self.flying.count
        self.note()
    }

    mutating func expire(at now: Int64) {
        while let first = self.waiting.first, first.at + 30 <= now {
            self.waiting.removeFirst()
            self.expired += 1
        }
        self.note()
    }

    mutating func linkLost() {
        if self.guarantee == .atMostOnce {
            self.lost += self.flying.count
        } else {
            self.waiting = self.flying.map { ($0.id, $0.name, $0.at) } + self.waiting
        }
        self.flying = []
        self.note()
    }

    func agrees(with buffer: EgressBuffer) -> Bool {
        let ledger = buffer.ledger
        return ledger.buffered == self.waiting.count && ledger.inFlight == self.flying.count
            && ledger.confirmed == self.confirmed && ledger.expired == self.expired
            && ledger.dropped[.bufferFull] == self.full && ledger.dropped[.superseded] == self.superseded
            && ledger.dropped[.linkLost] == self.lost && ledger.dropped[.rejected] == self.refused
            && buffer.usedBytes == (self.waiting.count + self.flying.count) * Self.cost
            && buffer.isBlocking == self.isBlocking
    }
}

@Suite struct BridgingLedgerTests {
    @Test func `a tally moves what was held to where it belongs`() {
        var ledger = IngressLedger()
        ledger.received = 10
        ledger.refused[.badName] = 1
        ledger.held = 9
        #expect(ledger.isBalanced)
        var tally = IngressTally()
        tally.delivered = 4
        tally.late = 1
        tally.duplicate = 3
        tally.looped = 1
        tally.tooManyHops = 1
        ledger.settle(tally, of: 9)
        #expect(ledger.isBalanced && ledger.held == 0 && ledger.late == 1)
        #expect(ledger.refused[.tooManyHops] == 1)
    }

    @Test func `reasons are written as the metrics name them`() {
        #expect(
            DropReason.allCases.map(\.rawValue) == [
                "buffer_full", "superseded", "too_large", "link_lost", "bad_name", "forbidden", "rejected",
                "unroutable",
                "stopped", "unstored", "damaged",
            ])
        for refusal in EgressRefusal.allCases { #expect(DropReason(refusal).rawValue == refusal.rawValue) }
    }
}
