import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import LinkspanServer

/// Bridge 0 brings everything, bridge 1 shares with other instances, and bridge 2 carries onward what either brings.
@Suite struct ChannelOwnerGroupTests {
    private final class Plane: BridgePlane {
        let offers = EventLog<EgressOffer>()
        let marks = EventLog<SequenceMark>()
        private let ledger = Mutex(GapLedger())
        private let hold: TimeAmount?

        init(hold: TimeAmount?) { self.hold = hold }

        /// Messages that are named as missing and have not come.
        var missing: UInt64 {
            self.ledger.withLock { $0.counts.named - $0.counts.closed }
        }

        func egressRoutes(for channel: ChannelName) -> [EgressRoute] {
            [EgressRoute(bridge: BridgeIndex(2), name: "n", transit: 0b11)]
        }

        func gapTerms(for bridge: BridgeIndex) -> GapTerms {
            bridge.value == 1 ? GapTerms(isShared: true) : GapTerms(hold: self.hold, listensAlways: true)
        }

        func offer(_ batch: [EgressOffer], to bridge: BridgeIndex) -> (@Sendable () -> Void)? {
            for offer in batch { self.offers.append(offer) }
            return nil
        }

        func noteGaps(_ events: [GapEvent], of bridge: BridgeIndex) {
            self.ledger.withLock { for event in events { $0.apply(event) } }
        }

        func channelsQuiet(_ marks: [SequenceMark], on bridge: BridgeIndex) {
            for mark in marks { self.marks.append(mark) }
        }

        func channelSubscribed(_ channel: ChannelName) {}
        func channelUnsubscribed(_ channel: ChannelName) {}
    }

    private struct Owned {
        let plane: Plane
        let owner: ChannelOwner
        let turn: Turn

        init(hold: TimeAmount? = nil) {
            self.plane = Plane(hold: hold)
            let congestion = Congestion()
            let counters = LoopCounters()
            let context = ServerContext(
                settings: ServerSettings(), instance: .own, epoch: 100, bridgePlane: self.plane,
                health: { HealthReport(version: "", instance: "", clients: 0, bridges: []) },
                inboxes: [LoopInbox(congestion: congestion)], counters: [counters], congestion: congestion)
            self.owner = ChannelOwner(context: context, loop: 0)
            self.turn = Turn(loops: 1, now: .uptimeNanoseconds(1_000_000_000), wallClock: 5)
        }

        @discardableResult
        func arrive(_ sequence: UInt64?, by bridge: Int) -> IngressTally {
            var tally = IngressTally()
            let header = sequence.map { EnvelopeHeader.test(.other, sequence: $0) }
            Array("a".utf8).withUnsafeBytes { name in
                Array("1".utf8).withUnsafeBytes { data in
                    let hash = NameTable.Hash(name)
                    if bridge == 1 {
                        self.owner.arriveShared(
                            name, hash: hash, header: header, data: data, from: BridgeIndex(1), hopLimit: 4,
                            turn: self.turn, tally: &tally)
                    } else {
                        self.owner.arrive(
                            name, hash: hash, header: header, data: data, from: BridgeIndex(0), hopLimit: 4,
                            turn: self.turn, tally: &tally)
                    }
                }
            }
            return tally
        }

        func publish() {
            Array("a".utf8).withUnsafeBytes { name in
                Array("1".utf8).withUnsafeBytes { data in
                    self.owner.publish(name, hash: NameTable.Hash(name), data: data, turn: self.turn)
                }
            }
        }

        /// What was delivered here since the last time, as far as it has an identity.
        func delivered() -> [Origin] {
            let known = self.plane.offers.count
            self.owner.gapsDue(self.turn)
            self.owner.endTurn(self.turn)
            return self.plane.offers.events.dropFirst(known).map(\.header.origin)
        }

        func pass(_ time: TimeAmount) {
            self.turn.begin(now: self.turn.now + time, wallClock: self.turn.wallClock)
        }
    }

    @Test func `a part of a sequence shows no gap, and what comes again is dropped`() {
        let owned = Owned()
        for sequence: UInt64 in [5, 900, 2] { #expect(owned.arrive(sequence, by: 1).delivered == 1) }
        #expect(owned.arrive(900, by: 1).duplicate == 1)
        #expect(owned.delivered().map(\.sequence) == [5, 900, 2])
        #expect(owned.plane.missing == 0)
    }

    @Test func `what two bridges bring is delivered once, whichever is first, and closes the gap of the other`() {
        let owned = Owned()
        #expect(owned.arrive(1, by: 0).delivered == 1)
        #expect(owned.arrive(1, by: 1).duplicate == 1)
        #expect(owned.arrive(2, by: 1).delivered == 1)
        #expect(owned.arrive(2, by: 0).duplicate == 1)
        #expect(owned.arrive(4, by: 1).delivered == 1)
        #expect(owned.arrive(6, by: 0).delivered == 1)
        #expect(owned.delivered().map(\.sequence) == [1, 2, 4, 6])
        #expect(owned.plane.missing == 2, "3 and 5")
        #expect(owned.arrive(5, by: 1).delivered == 1)
        #expect(owned.delivered().map(\.sequence) == [5])
        #expect(owned.plane.missing == 1)
        #expect(owned.arrive(5, by: 0).duplicate == 1)
        #expect(owned.arrive(3, by: 0).late == 1)
        _ = owned.delivered()
        #expect(owned.plane.missing == 0)
    }

    @Test func `messages that wait for one that the group brings follow it`() {
        let owned = Owned(hold: .seconds(5))
        #expect(owned.arrive(1, by: 0).delivered == 1)
        #expect(owned.arrive(3, by: 0).held == 1)
        #expect(owned.delivered().map(\.sequence) == [1])
        #expect(owned.arrive(2, by: 1).delivered == 1)
        #expect(owned.delivered().map(\.sequence) == [2, 3])
        #expect(owned.plane.missing == 0)
    }

    @Test
    func `a raw message is carried onward with an identity of its own count, and one that all instances get is not`() {
        let owned = Owned()
        owned.publish()
        #expect(owned.arrive(nil, by: 0).delivered == 1)
        #expect(owned.arrive(nil, by: 1).delivered == 1)
        owned.publish()
        #expect(owned.arrive(nil, by: 1).delivered == 1)
        let origins = owned.delivered()
        #expect(origins.map(\.epoch) == [100, 101, 100, 101] && origins.map(\.sequence) == [1, 1, 2, 2])
        #expect(origins.allSatisfy { $0.instance == .own })
        #expect(owned.plane.offers.events.allSatisfy { $0.header.hops == [.own] && $0.header.acceptedAt == 5 })
        owned.pass(.seconds(5))
        owned.owner.markQuiet(at: owned.turn.now)
        #expect(Set(owned.plane.marks.events.map(\.origin.epoch)) == [100, 101])
        #expect(owned.plane.marks.events.allSatisfy { $0.origin.sequence == 2 })
    }

    @Test func `what was given an identity here and comes back is a loop`() throws {
        let owned = Owned()
        owned.arrive(nil, by: 1)
        #expect(owned.delivered().count == 1)
        let header = try #require(owned.plane.offers.events.first?.header)
        var tally = IngressTally()
        Array("a".utf8).withUnsafeBytes { name in
            owned.owner.arrive(
                name, hash: NameTable.Hash(name), header: header, data: name, from: BridgeIndex(0), hopLimit: 4,
                turn: owned.turn, tally: &tally)
        }
        #expect(tally.looped == 1 && tally.delivered == 0)
    }

    /// Some messages come by both bridges, some by one, some by none, some again, in orders of their own.
    @Test(arguments: [nil, TimeAmount.seconds(5)])
    func `every message that came is delivered once, and those that did not are the ones that are missing`(
        hold: TimeAmount?
    ) {
        var random = SeededRandom()
        for _ in 0..<200 {
            let owned = Owned(hold: hold)
            let count = UInt64.random(in: 2...60, using: &random)
            let all = (1...count).filter { _ in Int.random(in: 0..<5, using: &random) > 0 }
            var shared = (1...count).filter { _ in Bool.random(using: &random) }
            shared += shared.filter { _ in Int.random(in: 0..<6, using: &random) == 0 }
            shared.shuffle(using: &random)
            var (remaining, brought) = (all, Set<UInt64>())
            var delivered: [UInt64] = []
            while !remaining.isEmpty || !shared.isEmpty {
                let isShared = remaining.isEmpty || !shared.isEmpty && Bool.random(using: &random)
                let sequence = isShared ? shared.removeLast() : remaining.removeFirst()
                owned.arrive(sequence, by: isShared ? 1 : 0)
                brought.insert(sequence)
                if Bool.random(using: &random) { delivered += owned.delivered().map(\.sequence) }
            }
            delivered += owned.delivered().map(\.sequence)
            owned.pass(.seconds(6))
            delivered += owned.delivered().map(\.sequence)
            #expect(Set(delivered) == brought)
            #expect(delivered.count == brought.count)
            if let first = all.first, let last = all.last {
                let missing = (first...last).filter { !brought.contains($0) }
                #expect(owned.plane.missing == UInt64(missing.count))
            }
        }
    }
}
