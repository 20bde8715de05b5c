import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import LinkspanServer

@Suite struct ChannelOwnerTests {
    /// One owner beside nothing: what it hands on is read from its turn.
    private struct Owned {
        let owner: ChannelOwner
        let turn: Turn
        let counters = LoopCounters()
        let plane: BridgeSeamTests.Plane

        init(epoch: UInt64 = 100, routes: [EgressRoute] = [EgressRoute(bridge: BridgeIndex(0), name: "n")]) {
            self.plane = BridgeSeamTests.Plane(routes)
            let congestion = Congestion()
            let context = ServerContext(
                settings: ServerSettings(), instance: .own, epoch: epoch, bridgePlane: self.plane,
                health: { HealthReport(version: "", instance: "", clients: 0, bridges: []) },
                inboxes: [LoopInbox(congestion: congestion)], counters: [self.counters], congestion: congestion)
            self.owner = ChannelOwner(context: context, loop: 0)
            self.turn = Turn(loops: 1, now: .uptimeNanoseconds(1_000_000_000), wallClock: 5)
        }

        func publish(_ channel: String, _ data: String = "1") {
            Array(channel.utf8).withUnsafeBytes { name in
                Array(data.utf8).withUnsafeBytes { data in
                    self.owner.publish(name, hash: NameTable.Hash(name), data: data, turn: self.turn)
                }
            }
        }

        func join(_ channel: String) {
            Array(channel.utf8).withUnsafeBytes { name in
                self.owner.join(
                    name, hash: NameTable.Hash(name), loop: 0, channel: ShardChannel(number: 0, generation: 0),
                    turn: self.turn)
            }
        }

        @discardableResult
        func arrive(_ channel: String, from header: EnvelopeHeader) -> IngressTally {
            var tally = IngressTally()
            Array(channel.utf8).withUnsafeBytes { name in
                Array("1".utf8).withUnsafeBytes { data in
                    self.owner.arrive(
                        name, hash: NameTable.Hash(name), header: header, data: data, from: BridgeIndex(0), hopLimit: 4,
                        turn: self.turn, tally: &tally)
                }
            }
            return tally
        }

        /// Ends the turn, and says what left by the bridge in it.
        func offers() -> [Origin] {
            let known = self.plane.offers.count
            self.owner.endTurn(self.turn)
            return self.plane.offers.events.dropFirst(known).map(\.origin)
        }

        func pass(_ time: TimeAmount) {
            self.turn.begin(now: self.turn.now + time, wallClock: self.turn.wallClock)
        }

        func forget(idle: TimeAmount) {
            self.owner.forget(idleSince: self.turn.now - idle, windowsIdleSince: .distantPast)
        }
    }

    @Test
    func `what a living namesake publishes is delivered once and goes no further, and nothing of ours comes back`() {
        func header(
            _ epoch: UInt64, _ sequence: UInt64, acceptedAt: UInt64, hops: [InstanceID] = [.own]
        ) -> EnvelopeHeader {
            EnvelopeHeader(
                origin: Origin(instance: .own, epoch: epoch, sequence: sequence), hops: hops, acceptedAt: acceptedAt)
        }
        let owned = Owned(
            epoch: 100, routes: [EgressRoute(bridge: BridgeIndex(1), name: "n", transit: 0b01)])
        for epoch in [50, 900] as [UInt64] {
            #expect(owned.arrive("a", from: header(epoch, 1, acceptedAt: 1000)).delivered == 1)
            #expect(owned.arrive("a", from: header(epoch, 1, acceptedAt: 1000)).duplicate == 1)
            #expect(owned.arrive("a", from: header(epoch, 2, acceptedAt: 1000, hops: [.own, .own])).looped == 1)
            #expect(owned.arrive("a", from: header(epoch, 2, acceptedAt: 1000, hops: [.own, .other])).looped == 1)
        }
        #expect(owned.arrive("a", from: header(50, 2, acceptedAt: 99)).looped == 1, "left by an earlier run")
        #expect(owned.arrive("a", from: header(100, 1, acceptedAt: 1000)).looped == 1)
        #expect(owned.offers().isEmpty, "only transit could leave, and it must not")
        #expect(owned.arrive("a", from: .test(.other)).delivered == 1)
        #expect(owned.offers().map(\.instance) == [.other])

        // A forgotten channel comes back with an epoch of its own, which is still ours.
        owned.publish("b")
        _ = owned.offers()
        owned.pass(.hours(1))
        owned.forget(idle: .seconds(1))
        owned.publish("b")
        let again = owned.offers()
        #expect(again.map(\.epoch) == [101])
        #expect(owned.arrive("b", from: header(101, 1, acceptedAt: 1000)).looped == 1)
    }

    @Test func `origins that a channel has no room for are counted`() {
        let owned = Owned()
        for number in 1...OriginWindows.defaultLimit + 3 {
            let instance = InstanceID("i\(number)")!
            for sequence in 1...2 as ClosedRange<UInt64> {
                owned.arrive("a", from: .test(instance, sequence: sequence))
            }
        }
        owned.arrive("b", from: .test(.other))
        #expect(owned.counters.originsForgotten.current == 3)
    }

    @Test func `a channel counts on while it is remembered`() {
        let owned = Owned()
        owned.publish("a")
        owned.publish("b")
        owned.publish("a")
        #expect(owned.offers().map(\.sequence) == [1, 1, 2])
        owned.pass(.seconds(59))
        owned.forget(idle: .seconds(60))
        owned.publish("a")
        #expect(owned.offers() == [Origin(instance: .own, epoch: 100, sequence: 3)])
    }

    @Test func `no identity is given out twice, however often channels are forgotten`() {
        let owned = Owned()
        var random = SeededRandom()
        var seen: Set<String> = []
        for _ in 0..<2_000 {
            let channel = "room/\(Int.random(in: 0..<20, using: &random))"
            owned.publish(channel)
            for origin in owned.offers() {
                #expect(seen.insert("\(channel) \(origin.epoch) \(origin.sequence)").inserted)
            }
            owned.pass(.seconds(Int64.random(in: 0..<10, using: &random)))
            if Int.random(in: 0..<10, using: &random) == 0 { owned.forget(idle: .seconds(30)) }
        }
        #expect(seen.count == 2_000)
    }

    @Test func `channels with subscribers are not forgotten`() {
        let owned = Owned()
        owned.join("a")
        owned.publish("a")
        _ = owned.offers()
        owned.pass(.hours(1))
        owned.forget(idle: .seconds(1))
        owned.publish("a")
        #expect(owned.offers() == [Origin(instance: .own, epoch: 100, sequence: 2)])
    }

    @Test func `the number of channels that are remembered is bounded`() {
        let owned = Owned()
        for number in 0..<200_000 {
            owned.publish("room/\(number)")
            if number % 1000 == 0 {
                _ = owned.offers()
                owned.pass(.milliseconds(1))
            }
        }
        _ = owned.offers()
        #expect(owned.plane.lookups.withLock { $0.count } == 200_000)
        #expect(owned.owner.channelCount <= 65_536 + 1000)
    }

    @Test func `frames of one turn and channel are one stretch`() {
        let owned = Owned()
        owned.join("a")
        owned.publish("a", "1")
        owned.publish("a", "22")
        _ = owned.offers()
        #expect(owned.turn.local.count == 1)
        let delivery = owned.turn.local[0]
        #expect(delivery.frameCount == 2)
        let text = String(
            decoding: UnsafeRawBufferPointer(start: delivery.frames.base, count: delivery.frames.count), as: UTF8.self)
        #expect(text.contains(#""data":1}}"#) && text.hasSuffix(#""data":22}}"#))
    }

    @Test func `an inbox past its bytes is congested until it is emptied`() {
        let congestion = Congestion()
        let inbox = LoopInbox(congestion: congestion)
        inbox.post(.control { _ in }, byteCount: Congestion.inboxByteLimit)
        #expect(!congestion.isCongested)
        inbox.post(.control { _ in }, byteCount: 1)
        inbox.post(.control { _ in }, byteCount: 1)
        #expect(congestion.isCongested)
        var work: [LoopWork] = []
        inbox.takeAll(reusing: &work)
        #expect(work.count == 3)
        #expect(!congestion.isCongested)
    }

    @Test func `publishers are held back while a loop has too much waiting, and lose nothing`() async throws {
        try await withServer({ $0.eventLoops = 1 }) { server, address in
            let client = try await RawClient.ready(address)
            server.congestion.began()
            try await client.send(
                all: (1...10).map { (number: Int) in RawClient.publish("a", "\(number)", callID: number) })
            #expect(try await client.nextText() == #"{"rid":1}"#)
            // The answer to the first came, the second is not read: other clients are served all the same.
            let other = try await RawClient.ready(address)
            try await other.subscribe("a")
            #expect(server.counters.publishesReceived == 1)
            #expect(server.counters.congestionPauses == 1)
            server.congestion.ended()
            for callID in 2...10 { #expect(try await client.nextText() == #"{"rid":\#(callID)}"#) }
            for number in 2...10 { #expect(try await other.nextText() == RawClient.delivery("a", "\(number)")) }
        }
    }
}
