import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

/// One bridge's table with the time in the test's hand; probes every 5 s, deadline 15 s.
private struct Bench {
    var table: ProbeTable
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var ticket: UInt64 = 0
    private let abilities: ProbeTable.Abilities

    static let own = InstanceLife(instance: InstanceID("own")!, epoch: 1000, nonce: 1)

    init(
        _ life: InstanceLife = Self.own, bridge: String = "plant", sends: Bool = true, receives: Bool = true,
        isAnswered: Bool = false, publishes: Bool = true
    ) {
        self.abilities = .init(sends: sends, receives: receives, isAnswered: isAnswered, publishes: publishes)
        self.table = ProbeTable(
            life: life, bridge: bridge, settings: ProbeSettings(every: .seconds(5), deadline: .seconds(15)),
            abilities: self.abilities)
    }

    static func up(
        _ life: InstanceLife = Self.own, bridge: String = "plant", sends: Bool = true, receives: Bool = true,
        isAnswered: Bool = false, publishes: Bool = true
    ) -> Bench {
        var bench = Bench(
            life, bridge: bridge, sends: sends, receives: receives, isAnswered: isAnswered, publishes: publishes)
        bench.connect()
        return bench
    }

    mutating func connect() { self.table.linkUp(self.abilities, at: self.now) }

    mutating func pass(_ seconds: Int64) { self.now = self.now + .seconds(seconds) }

    mutating func send() -> Probe {
        self.ticket += 1
        return self.table.next(ticket: self.ticket, at: self.now)
    }

    @discardableResult
    mutating func hear(_ probe: Probe, sentAt: UInt64 = 2000) -> ProbeTable.Finding? {
        self.table.heard(probe, sentAt: sentAt, at: self.now)
    }

    mutating func tick(isExcused: Bool = false) -> ProbeTable.Verdict? {
        self.table.tick(at: self.now, isExcused: isExcused)
    }

    var isDue: Bool { self.table.isDue(at: self.now) }
    var report: ProbeReport { self.table.report(at: self.now) }
    var states: [ProbeState?] { [self.report.egress, self.report.ingress] }
}

@Suite struct BridgingProbeTableTests {
    private static let peer = InstanceLife(instance: InstanceID("peer")!, epoch: 500, nonce: 2)

    private static func probe(
        _ number: UInt64, of life: InstanceLife = Self.peer, bridge: String = "plant", seen: [ProbeSighting] = []
    ) -> Probe {
        Probe(life: life, bridge: bridge, number: number, every: .seconds(5), deadline: .seconds(15), seen: seen)
    }

    private static func sighting(of number: UInt64, age: Duration = .zero, bridge: String = "plant") -> ProbeSighting {
        ProbeSighting(
            sender: ProbeSender(instance: Bench.own.instance, bridge: bridge), epoch: Bench.own.epoch, number: number,
            age: age)
    }

    // MARK: States

    @Test func `a probe that comes back proves both directions, and silence takes the proof away again`() {
        var bench = Bench()
        #expect(bench.states == [.broken, .broken])
        #expect(!bench.isDue)
        bench.connect()
        #expect(bench.states == [.suspect, .suspect])
        let probe = bench.send()
        bench.now = bench.now + .milliseconds(12)
        bench.hear(probe)
        #expect(bench.states == [.proven, .proven])
        #expect(bench.report.roundTrip == .milliseconds(12))
        bench.pass(10)
        #expect(bench.states == [.proven, .proven])
        bench.pass(1)
        #expect(bench.states == [.suspect, .suspect])
        bench.pass(4)
        #expect(bench.states == [.broken, .broken])
        bench.table.linkDown()
        bench.connect()
        #expect(bench.states == [.suspect, .suspect], "proof of an earlier conversation says nothing of this one")
        bench.hear(probe)
        #expect(bench.states == [.suspect, .suspect], "and neither does a probe that was sent in one")
    }

    @Test func `a way for repair is as good as its proof, and best where the other is heard`() {
        func way(_ bench: Bench) -> RepairWay { bench.table.way(to: Self.peer.instance, at: bench.now) }
        var bench = Bench.up()
        #expect(way(bench) == .doubtful, "no proof yet")
        bench.hear(bench.send())
        #expect(way(bench) == .open)
        bench.hear(Self.probe(1))
        #expect(way(bench) == .proven)
        bench.pass(11)
        #expect(way(bench) == .doubtful)
        bench.hear(bench.send())
        #expect(way(bench) == .doubtful, "messages pass, but the other has fallen silent")
        bench.hear(Self.probe(2))
        #expect(way(bench) == .proven)
        bench.pass(15)
        #expect(way(bench) == .broken)

        var sender = Bench.up(receives: false)
        #expect(way(sender) == .open, "nothing could prove it")
        sender.hear(Self.probe(1))
        #expect(way(sender) == .proven)
        #expect(RepairWay.allCases == RepairWay.allCases.sorted())
    }

    @Test func `probes go out fast until the first proof, then at their pace`() {
        var bench = Bench.up()
        #expect(bench.isDue)
        let first = bench.send()
        #expect(!bench.isDue)
        bench.pass(1)
        #expect(bench.isDue)
        _ = bench.send()
        bench.table.filterSettled(accepted: true)
        #expect(bench.isDue, "whatever went out before found nobody listening")
        _ = bench.send()
        bench.hear(first)
        bench.pass(4)
        #expect(!bench.isDue)
        bench.pass(1)
        #expect(bench.isDue)
    }

    @Test func `directions are told apart when only one of them passes`() {
        var bench = Bench.up()
        let probe = bench.send()
        bench.pass(1)
        bench.hear(Self.probe(1))
        #expect(bench.states == [.suspect, .proven], "the others are heard")
        bench.hear(Self.probe(2, seen: [Self.sighting(of: probe.number, age: .milliseconds(300))]))
        #expect(bench.states == [.proven, .proven], "and they hear us")
        #expect(bench.report.peers.first?.roundTrip == .milliseconds(700))
        bench.pass(16)
        bench.hear(Self.probe(3, seen: [Self.sighting(of: probe.number, age: .seconds(16))]))
        #expect(bench.states == [.broken, .proven])
    }

    @Test func `a bridge that only sends is proven by its upstream's answer, or assumed`() {
        var answered = Bench.up(receives: false, isAnswered: true)
        #expect(answered.states == [.suspect, nil])
        _ = answered.send()
        answered.now = answered.now + .milliseconds(3)
        answered.table.confirmed(1...1, at: answered.now)
        #expect(answered.states == [.proven, nil])
        #expect(answered.report.roundTrip == .milliseconds(3))
        answered.pass(5)
        _ = answered.send()
        answered.table.refused(2, .unroutable, at: answered.now)
        answered.pass(8)
        #expect(answered.states == [.proven, nil], "nobody to take it is an answer too")
        var written = Bench.up(receives: false)
        _ = written.send()
        written.table.confirmed(1...1, at: written.now)
        written.pass(100)
        #expect(written.states == [.assumed, nil])
        #expect(written.tick() == nil)
    }

    @Test func `a bridge that may send nothing goes by what it hears`() {
        var bench = Bench.up(sends: false, publishes: false)
        #expect(!bench.isDue)
        #expect(bench.states == [nil, .assumed])
        bench.hear(Self.probe(1))
        #expect(bench.states == [nil, .proven])
        bench.pass(14)
        #expect(bench.states == [nil, .suspect])
        #expect(bench.tick() == nil)
    }

    @Test func `an upstream that refuses probes is not bothered again in the conversation`() {
        var bench = Bench.up(publishes: false)
        _ = bench.send()
        bench.table.refused(1, .forbidden, at: bench.now)
        bench.pass(60)
        #expect(!bench.isDue)
        #expect(bench.states == [nil, .assumed])
        #expect(bench.report.obstacle == "the upstream refuses probes: forbidden")
        #expect(bench.tick() == nil)
        bench.connect()
        #expect(bench.isDue)
        #expect(bench.report.obstacle == nil)
    }

    @Test func `a refused subscription is named`() {
        var bench = Bench.up()
        bench.table.filterSettled(accepted: false)
        #expect(bench.report.obstacle == "the upstream refused the subscription to probes")
        bench.table.filterSettled(accepted: true)
        #expect(bench.report.obstacle == nil)
    }

    // MARK: Verdicts

    @Test func `a conversation through which nothing passes ends at the deadline`() {
        var bench = Bench.up()
        bench.hear(bench.send())
        for _ in 1...2 {
            bench.pass(5)
            _ = bench.send()
            #expect(bench.tick() == nil)
        }
        bench.pass(9)
        #expect(bench.tick() == nil)
        bench.pass(1)
        #expect(bench.tick()?.silence == .seconds(15))
        #expect(bench.report.restartCount == 1)
    }

    @Test func `time in which nothing is sent counts against nobody`() {
        var bench = Bench.up()
        bench.hear(bench.send())
        bench.pass(300)
        #expect(bench.tick() == nil, "a bridge that is busy with other messages takes no probe")
        _ = bench.send()
        bench.pass(14)
        #expect(bench.tick() == nil)
        bench.pass(1)
        #expect(bench.tick() != nil)
    }

    @Test func `a probe that is lost while later ones return ends nothing`() {
        var bench = Bench.up()
        for _ in 1...20 {
            _ = bench.send()
            bench.hear(bench.send())
            bench.pass(5)
            #expect(bench.tick() == nil)
        }
        #expect(bench.report.sentCount == 40 && bench.report.returnedCount == 20)
    }

    @Test func `a server that takes nothing is not held against its upstream`() {
        var bench = Bench.up()
        _ = bench.send()
        for _ in 1...30 {
            bench.pass(1)
            #expect(bench.tick(isExcused: true) == nil)
        }
        bench.pass(14)
        #expect(bench.tick() == nil)
        bench.pass(1)
        #expect(bench.tick() != nil)
    }

    @Test func `what never proved anything is tried ever less often`() {
        var bench = Bench()
        var lives: [Int64] = []
        for _ in 1...8 {
            bench.connect()
            _ = bench.send()
            var seconds: Int64 = 0
            while bench.tick() == nil {
                bench.pass(1)
                seconds += 1
            }
            lives.append(seconds)
        }
        #expect(lives == [15, 30, 60, 120, 240, 480, 480, 480])
        bench.connect()
        bench.hear(bench.send())
        _ = bench.send()
        bench.pass(15)
        #expect(bench.tick() != nil, "one proof brings the patience back to the deadline")
    }

    @Test func `a bridge that only receives is not ended before a probe of its own came back once`() {
        var bench = Bench.up(publishes: false)
        _ = bench.send()
        bench.pass(1000)
        #expect(bench.tick() == nil)
        #expect(bench.states == [nil, .broken])
        bench.hear(bench.send())
        #expect(bench.states == [nil, .proven])
        _ = bench.send()
        bench.pass(15)
        #expect(bench.tick() != nil)
    }

    @Test func `an answer that does not come ends a bridge that only sends`() {
        var bench = Bench.up(receives: false, isAnswered: true)
        _ = bench.send()
        bench.table.confirmed(1...1, at: bench.now)
        bench.pass(5)
        _ = bench.send()
        bench.pass(14)
        #expect(bench.tick() == nil)
        bench.pass(1)
        #expect(bench.tick() != nil)
    }

    // MARK: The others

    @Test func `the matrix shows whom we hear, who hears us, and what got lost on the way`() {
        var bench = Bench.up()
        let probe = bench.send()
        #expect(bench.hear(Self.probe(10)) == .newPeer(ProbeSender(instance: Self.peer.instance, bridge: "plant")))
        #expect(bench.hear(Self.probe(11)) == nil)
        bench.hear(Self.probe(14, seen: [Self.sighting(of: probe.number)]))
        bench.hear(Self.probe(3))
        let peer = bench.report.peers[0]
        #expect(peer.missedCount == 2 && peer.heard == .proven && peer.hears == .proven)
        #expect(peer.epoch == 500 && peer.sinceHeard == .zero)
        #expect(bench.report.ignoredCount == 1)
        bench.pass(12)
        #expect(bench.report.peers[0].heard == .suspect)
        bench.pass(4)
        #expect(bench.report.peers[0].heard == .broken)
        bench.pass(300)
        _ = bench.tick()
        #expect(bench.report.peers.isEmpty)
    }

    @Test func `what an upstream kept of an earlier run does not replace the later one`() {
        var bench = Bench.up()
        let restarted = InstanceLife(instance: Self.peer.instance, epoch: 900, nonce: 3)
        bench.hear(Self.probe(50))
        #expect(bench.hear(Self.probe(1, of: restarted)) != nil)
        #expect(bench.hear(Self.probe(51)) == nil)
        #expect(bench.report.peers.map(\.epoch) == [900])
        bench.pass(15)
        #expect(bench.hear(Self.probe(52)) != nil, "unless the later one is gone: then a clock was set back")
        #expect(bench.report.peers.map(\.epoch) == [500])
    }

    @Test func `probes tell the others what was heard of them`() {
        var one = Bench.up()
        var two = Bench.up(InstanceLife(instance: InstanceID("two")!, epoch: 7, nonce: 9), bridge: "hub")
        one.hear(two.send())
        one.now = one.now + .milliseconds(40)
        let probe = one.send()
        #expect(probe.seen.count == 1)
        #expect(probe.seen[0].age == .milliseconds(40) && probe.seen[0].epoch == 7)
        two.now = two.now + .milliseconds(100)
        two.hear(probe)
        #expect(two.report.peers[0].hears == .proven)
        #expect(two.report.peers[0].roundTrip == .milliseconds(60))
        one.pass(15)
        #expect(one.send().seen.isEmpty, "who is silent is not said to be heard")
    }

    @Test func `another run under our own id is found, and what is left of our earlier run is not`() {
        var bench = Bench.up()
        let earlier = InstanceLife(instance: Bench.own.instance, epoch: 400, nonce: 5)
        #expect(bench.hear(Self.probe(1, of: earlier), sentAt: 999) == nil)
        #expect(bench.report.duplicates.isEmpty)
        #expect(bench.hear(Self.probe(2, of: earlier), sentAt: 1001) == .duplicate(earlier))
        #expect(bench.hear(Self.probe(3, of: earlier), sentAt: 1002) == nil, "told once")
        let twin = InstanceLife(instance: Bench.own.instance, epoch: 1000, nonce: 6)
        #expect(bench.hear(Self.probe(1, of: twin), sentAt: 0) == .duplicate(twin))
        #expect(bench.report.duplicates == [earlier, twin])
        #expect(bench.states == [.suspect, .suspect], "a twin's probes are no proof")
        bench.pass(301)
        _ = bench.tick()
        #expect(bench.report.duplicates.isEmpty)
    }

    @Test func `another bridge of ours at the same upstream proves nothing of this one`() {
        var bench = Bench.up()
        _ = bench.send()
        #expect(bench.hear(Self.probe(1, of: Bench.own, bridge: "second")) == nil)
        bench.hear(Self.probe(1, seen: [Self.sighting(of: 1, bridge: "second")]))
        #expect(bench.states == [.suspect, .proven])
        #expect(bench.report.peers[0].hears == nil)
    }

    @Test func `memory stays bounded however many there are`() {
        var bench = Bench.up()
        for number in 1...1000 as ClosedRange<UInt64> {
            let life = InstanceLife(instance: InstanceID("i\(number)")!, epoch: number, nonce: number)
            bench.hear(Self.probe(1, of: life))
            let twin = InstanceLife(instance: Bench.own.instance, epoch: 5000 + number, nonce: number)
            bench.hear(Self.probe(1, of: twin))
        }
        #expect(bench.report.peers.count == ProbeTable.peerLimit)
        #expect(bench.report.duplicates.count == 16)
        #expect(bench.report.ignoredCount == 1000 - UInt64(ProbeTable.peerLimit))
        #expect(bench.send().seen.count == Probe.sightingLimit)
    }

    // MARK: Model

    /// Any mix of losses, answers and reconnects: states follow the last proof, verdicts come only after a deadline of silence.
    @Test(arguments: [UInt64](1...20))
    func `a random life agrees with a plain account of it`(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var bench = Bench()
        var isUp = false
        var upSince = bench.now
        var lastProof: NIODeadline?
        var firstUnproven: NIODeadline?
        var fruitless = 0
        for _ in 1...2000 {
            bench.pass(Int64.random(in: 0...3, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0 where isUp:
                bench.table.linkDown()
                isUp = false
            case 0...1 where !isUp:
                bench.connect()
                (isUp, upSince, lastProof, firstUnproven) = (true, bench.now, nil, nil)
            case 2...8 where bench.isDue:
                let probe = bench.send()
                if firstUnproven == nil { firstUnproven = bench.now }
                if Int.random(in: 0..<4, using: &random) == 0 {
                    bench.hear(probe)
                    (lastProof, firstUnproven, fruitless) = (bench.now, nil, 0)
                }
            default:
                let patience = TimeAmount.seconds(15 * (1 << Int64(min(fruitless, 5))))
                let isExpected = isUp && firstUnproven.map { $0 + patience <= bench.now } ?? false
                let verdict = bench.tick()
                #expect((verdict != nil) == isExpected, "seed \(seed)")
                if verdict != nil {
                    fruitless += 1
                    bench.table.linkDown()
                    isUp = false
                }
            }
            let expected: ProbeState =
                switch (isUp, lastProof) {
                case (false, _): .broken
                case (true, nil): bench.now - upSince < .seconds(15) ? .suspect : .broken
                case (true, let proof?):
                    bench.now - proof <= .seconds(10) ? .proven : bench.now - proof < .seconds(15) ? .suspect : .broken
                }
            #expect(bench.states == [expected, expected], "seed \(seed)")
        }
    }
}
