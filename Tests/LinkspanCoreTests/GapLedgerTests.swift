import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

/// One channel as a receiver sees it, with everything that its windows tell written down.
private struct Receiver {
    static let origin = InstanceID("a")!

    var windows = OriginWindows()
    var watch: GapWatch
    var ledger = GapLedger()
    var terms: GapTerms
    var now = NIODeadline.uptimeNanoseconds(0) + .seconds(1)
    var delivered: [UInt64] = []
    var received = 0
    var duplicates = 0
    var held = 0

    init(hold: TimeAmount? = nil, watch: GapWatch = GapWatch()) {
        self.terms = GapTerms(hold: hold, finalAfter: .seconds(30))
        self.watch = watch
    }

    func id(_ sequence: UInt64, epoch: UInt64 = 1) -> Origin {
        Origin(instance: Self.origin, epoch: epoch, sequence: sequence)
    }

    var context: GapContext {
        GapContext(
            channel: "news", bridge: BridgeIndex(0), sender: Self.origin, terms: self.terms, now: self.now, wallClock: 7
        )
    }

    /// As a channel owner does it.
    mutating func receive(_ sequence: UInt64, epoch: UInt64 = 1) {
        self.received += 1
        let origin = self.id(sequence, epoch: epoch)
        let verdict = self.windows.judge(origin, isDirect: true, at: self.now)
        self.windows.book(verdict, of: origin, self.context, &self.watch)
        guard verdict != .duplicate else { return self.duplicates += 1 }
        if self.windows.mustWait(origin) {
            let header = EnvelopeHeader(origin: origin, hops: [Self.origin], acceptedAt: 0)
            self.windows.hold(HeldEnvelope(header: header, data: ByteBuffer(), bridge: BridgeIndex(0)), &self.watch)
            self.held += 1
        } else {
            self.delivered.append(sequence)
        }
        self.settle()
    }

    mutating func marked(_ sequence: UInt64, epoch: UInt64 = 1) {
        self.windows.mark(self.id(sequence, epoch: epoch), isDirect: true, self.context, &self.watch)
        self.settle()
    }

    mutating func pass(_ time: TimeAmount) {
        self.now = self.now + time
        self.settle()
    }

    private mutating func settle() {
        var released: [UInt64] = []
        self.windows.release(at: self.now, &self.watch) { released.append($0.header.origin.sequence) }
        self.held -= released.count
        self.delivered += released
        for events in self.watch.takeEvents().values {
            for event in events { self.ledger.apply(event) }
        }
    }

    var gaps: [String] {
        self.ledger.records.map {
            "\($0.gap.epoch):\($0.gap.range.lowerBound)-\($0.gap.range.upperBound) \($0.state) \($0.missing)"
        }
    }

    /// Every balance that must hold after every call.
    var isBalanced: Bool {
        self.received == self.delivered.count + self.duplicates + self.held && self.ledger.counts.isBalanced
            && (self.held > 0) == (self.watch.heldBytes > 0)
    }
}

@Suite struct GapLedgerTests {
    @Test func `a gap is named, filled by late messages, and closed with the last of them`() {
        var receiver = Receiver()
        for sequence in [1, 5, 3, 2] as [UInt64] { receiver.receive(sequence) }
        #expect(receiver.gaps == ["1:2-4 open 1"])
        receiver.receive(4)
        #expect(receiver.gaps == ["1:2-4 closed 0"])
        #expect(receiver.delivered == [1, 5, 3, 2, 4])
        #expect(receiver.ledger.counts.closed == 3 && receiver.isBalanced)
    }

    @Test func `a gap names bridge, channel, origin, epoch, numbers, sender and time`() throws {
        var receiver = Receiver()
        receiver.receive(1)
        receiver.receive(3)
        let gap = try #require(receiver.ledger.records.first?.gap)
        #expect(
            gap
                == Gap(
                    id: 1, bridge: BridgeIndex(0), channel: "news", instance: Receiver.origin, epoch: 1, range: 2...2,
                    sender: Receiver.origin, namedAt: 7))
    }

    @Test func `what does not come in time is final, and corrected when it comes nevertheless`() {
        var receiver = Receiver()
        receiver.receive(1)
        receiver.receive(4)
        receiver.pass(.seconds(29))
        #expect(receiver.gaps == ["1:2-3 open 2"])
        receiver.pass(.seconds(1))
        #expect(receiver.gaps == ["1:2-3 final 2"])
        #expect(receiver.ledger.counts.final == 2 && receiver.windows.nextDeadline == nil)
        receiver.receive(3)
        #expect(receiver.delivered == [1, 4, 3])
        #expect(receiver.ledger.counts.final == 1 && receiver.ledger.counts.closed == 1 && receiver.isBalanced)
    }

    @Test func `a mark shows that the last messages are missing`() {
        var receiver = Receiver()
        receiver.receive(1)
        receiver.marked(1)
        #expect(receiver.gaps == [])
        receiver.marked(3)
        receiver.marked(3)
        #expect(receiver.gaps == ["1:2-3 open 2"])
        receiver.receive(2)
        receiver.receive(3)
        #expect(receiver.gaps == ["1:2-3 closed 0"])
        #expect(receiver.delivered == [1, 2, 3])
    }

    @Test func `a mark of an origin that was never heard is no promise that we listened`() {
        var receiver = Receiver()
        receiver.marked(9)
        receiver.receive(10)
        #expect(receiver.gaps == [] && receiver.delivered == [10])
    }

    @Test func `nothing is missing of a time when nobody listened`() {
        var receiver = Receiver()
        receiver.receive(1)
        receiver.windows.rebase()
        receiver.marked(7)
        receiver.receive(8)
        #expect(receiver.gaps == [])
        receiver.receive(5)
        #expect(receiver.delivered == [1, 8, 5])
        receiver.receive(10)
        #expect(receiver.gaps == ["1:9-9 open 1"])
    }

    @Test func `a new life of an origin counts from one where we heard the life before`() {
        var receiver = Receiver()
        receiver.receive(4)
        receiver.receive(3, epoch: 2)
        #expect(receiver.gaps == ["2:1-2 open 2"])
        receiver.marked(2, epoch: 3)
        #expect(receiver.gaps == ["2:1-2 open 2", "3:1-2 open 2"])
        // A message that the upstream had kept from a life in between shows nothing.
        receiver.receive(9, epoch: 0)
        #expect(receiver.gaps.count == 2 && receiver.isBalanced)
    }

    @Test func `a new life shows nothing where we did not listen when it began`() {
        var receiver = Receiver()
        receiver.receive(4)
        receiver.windows.rebase()
        receiver.receive(3, epoch: 2)
        #expect(receiver.gaps == [])
    }

    @Test func `later messages wait for missing ones, and come in order when those come`() {
        var receiver = Receiver(hold: .milliseconds(500))
        for sequence in [1, 4, 5, 3] as [UInt64] { receiver.receive(sequence) }
        #expect(receiver.delivered == [1] && receiver.held == 3 && receiver.isBalanced)
        receiver.receive(2)
        #expect(receiver.delivered == [1, 2, 3, 4, 5] && receiver.held == 0 && receiver.isBalanced)
        #expect(receiver.windows.waitingCount == 0)
    }

    @Test func `waiting ends with the hold, and what still comes is delivered late`() {
        var receiver = Receiver(hold: .milliseconds(500))
        for sequence in [1, 3] as [UInt64] { receiver.receive(sequence) }
        #expect(receiver.windows.nextDeadline == receiver.now + .milliseconds(500))
        receiver.pass(.milliseconds(500))
        #expect(receiver.delivered == [1, 3])
        receiver.receive(2)
        #expect(receiver.delivered == [1, 3, 2] && receiver.gaps == ["1:2-2 closed 0"])
    }

    @Test func `past its bytes nothing waits any longer`() {
        var receiver = Receiver(hold: .seconds(1), watch: GapWatch(heldLimit: 3 * 64))
        for sequence in [1, 3, 4, 5] as [UInt64] { receiver.receive(sequence) }
        #expect(receiver.delivered == [1] && receiver.held == 3)
        receiver.receive(6)
        #expect(receiver.delivered == [1, 3, 4, 5, 6] && receiver.isBalanced)
    }

    @Test func `past the limit of open gaps one more is final at once`() {
        var receiver = Receiver(watch: GapWatch(openLimit: 2))
        for sequence in [1, 3, 5, 7] as [UInt64] { receiver.receive(sequence) }
        #expect(receiver.gaps == ["1:2-2 open 1", "1:4-4 open 1", "1:6-6 final 1"])
        receiver.receive(6)
        #expect(receiver.duplicates == 1 && receiver.isBalanced)
        receiver.receive(2)
        receiver.receive(9)
        #expect(receiver.gaps.last == "1:8-8 open 1")
    }

    @Test func `windows that make room hand out what waited in them`() {
        var receiver = Receiver(hold: .seconds(1))
        receiver.windows.limit = 1
        receiver.receive(1)
        receiver.receive(3)
        receiver.receive(1, epoch: 5)
        #expect(receiver.delivered == [1, 1, 3] || receiver.delivered == [1, 3, 1])
        #expect(receiver.held == 0 && receiver.gaps == ["1:2-2 final 1"] && receiver.watch.openCount == 0)
    }

    @Test func `the list keeps open gaps longest and the counts never forget`() {
        var ledger = GapLedger(limit: 3)
        func gap(_ id: UInt64) -> Gap {
            Gap(
                id: id, bridge: BridgeIndex(0), channel: "c", instance: Receiver.origin, epoch: 1,
                range: (id * 10)...(id * 10 + 1), sender: Receiver.origin, namedAt: id)
        }
        for id in 1...3 as ClosedRange<UInt64> { ledger.apply(.named(gap(id))) }
        ledger.apply(.final(id: 1, count: 2))
        ledger.apply(.filled(id: 2, 20...21, wasFinal: false))
        ledger.apply(.named(gap(4)))
        #expect(ledger.records.map(\.gap.id) == [1, 3, 4])
        ledger.apply(.named(gap(5)))
        #expect(ledger.records.map(\.gap.id) == [3, 4, 5])
        #expect(ledger.counts.named == 10 && ledger.counts.open == 6 && ledger.counts.closed == 2)
        #expect(ledger.counts.final == 2 && ledger.counts.isBalanced)
    }

    @Test(arguments: [nil, TimeAmount.milliseconds(500)])
    func `the books balance after every message, mark and second, and nothing is delivered twice`(
        _ hold: TimeAmount?
    ) {
        var random = SeededRandom()
        for _ in 0..<12 {
            var receiver = Receiver(hold: hold, watch: GapWatch(openLimit: 8, heldLimit: 20 * 64))
            var sent: UInt64 = 0
            var lost: [UInt64] = []
            for _ in 0..<200 {
                switch Int.random(in: 0..<12, using: &random) {
                case 0..<6:
                    sent += 1
                    receiver.receive(sent)
                case 6:
                    lost.append(contentsOf: (sent + 1)...(sent + 3))
                    sent += 3
                case 7: if sent > 0 { receiver.marked(sent) }
                case 8: receiver.pass(.milliseconds(Int64.random(in: 1...2000, using: &random)))
                case 9: if let late = lost.randomElement(using: &random) { receiver.receive(late) }
                case 10:
                    let any = UInt64.random(in: 1...(sent + 1), using: &random)
                    receiver.receive(any)
                    sent = max(sent, any)
                default: receiver.pass(.seconds(Int64.random(in: 0...20, using: &random)))
                }
                guard receiver.isBalanced, Set(receiver.delivered).count == receiver.delivered.count else {
                    Issue.record("seed \(random.seed): \(receiver)")
                    return
                }
            }
            receiver.pass(.minutes(1))
            #expect(receiver.held == 0 && receiver.watch.openCount == 0 && receiver.ledger.counts.open == 0)
        }
    }
}
