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

    @Test(arguments: Guarantee.allCases, OverflowPolicy.allCases)
    func `the ledger balances and agrees with a plain list after every step`(
        guarantee: Guarantee, policy: OverflowPolicy
    ) {
        var random = SeededRandom()
        var buffer = Self.buffer(messages: 20, whenFull: policy, age: .seconds(30), guarantee: guarantee)
        var model = PlainBuffer(limit: 20, policy: policy, guarantee: guarantee)
        var now: Int64 = 0
        for step in 0..<5000 {
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<9:
                buffer.append(Self.envelope("\(step)", at: now))
                model.append("\(step)", at: now)
            case 9..<13:
                let limit = Int.random(in: 0...8, using: &random)
                model.expire(at: now)
                #expect(Self.take(&buffer, limit, at: now) == model.take(limit), "seed \(random.seed), step \(step)")
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
    let limit: Int
    let policy: OverflowPolicy
    let guarantee: Guarantee
    var waiting: [(name: String, at: Int64)] = []
    var flying: [(ticket: UInt64, name: String, at: Int64)] = []
    var nextTicket: UInt64 = 1
    var confirmed = 0
    var refused = 0
    var expired = 0
    var full = 0
    var lost = 0

    init(limit: Int, policy: OverflowPolicy, guarantee: Guarantee) {
        self.limit = limit
        self.policy = policy
        self.guarantee = guarantee
    }

    mutating func append(_ name: String, at now: Int64) {
        if self.waiting.count + self.flying.count == self.limit {
            self.full += 1
            guard self.policy == .dropOldest, !self.waiting.isEmpty else { return }
            self.waiting.removeFirst()
        }
        self.waiting.append((name, now))
    }

    mutating func take(_ limit: Int) -> [String] {
        let taken = self.waiting.prefix(limit)
        self.waiting.removeFirst(taken.count)
        return taken.map { name, at in
            defer { self.nextTicket += 1 }
            self.flying.append((self.nextTicket, name, at))
            return "\(self.nextTicket) \(name)"
        }
    }

    mutating func confirm(_ tickets: ClosedRange<UInt64>) {
        let before = self.flying.count
        self.flying.removeAll { tickets.contains($0.ticket) }
        self.confirmed += before - self.flying.count
    }

    mutating func refuse(_ ticket: UInt64) {
        let before = self.flying.count
        self.flying.removeAll { $0.ticket == ticket }
        self.refused += before - self.flying.count
    }

    mutating func expire(at now: Int64) {
        while let first = self.waiting.first, first.at + 30 <= now {
            self.waiting.removeFirst()
            self.expired += 1
        }
    }

    mutating func linkLost() {
        if self.guarantee == .atMostOnce {
            self.lost += self.flying.count
        } else {
            self.waiting = self.flying.map { ($0.name, $0.at) } + self.waiting
        }
        self.flying = []
    }

    func agrees(with buffer: EgressBuffer) -> Bool {
        let ledger = buffer.ledger
        return ledger.buffered == self.waiting.count && ledger.inFlight == self.flying.count
            && ledger.confirmed == self.confirmed && ledger.expired == self.expired
            && ledger.dropped[.bufferFull] == self.full && ledger.dropped[.linkLost] == self.lost
            && ledger.dropped[.rejected] == self.refused
            && buffer.usedBytes == (self.waiting.count + self.flying.count) * (EgressBuffer.costPerMessage + 1)
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
                "buffer_full", "too_large", "link_lost", "bad_name", "forbidden", "rejected", "unroutable", "stopped",
            ])
        for refusal in EgressRefusal.allCases { #expect(DropReason(refusal).rawValue == refusal.rawValue) }
    }
}
