import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import NIOCore
import Synchronization
import TestSupport
import Testing

/// The owners and the bridges, each seen from the other side.
@Suite struct BridgeSeamTests {
    final class Plane: BridgePlane {
        struct Offer: Sendable, Hashable {
            var bridge: Int
            var name: String?
            var data: String
            var origin: Origin
            var hops: [String]
        }

        let offers = EventLog<Offer>()
        let occupancy = EventLog<String>()
        let lookups = Mutex<[String]>([])
        let routes: [EgressRoute]

        init(_ routes: [EgressRoute]) { self.routes = routes }

        func egressRoutes(for channel: ChannelName) -> [EgressRoute] {
            self.lookups.withLock { $0.append(channel.string) }
            return channel.string.hasPrefix("local/") ? [] : self.routes
        }

        func offer(_ batch: [EgressOffer], to bridge: BridgeIndex) -> (@Sendable () -> Void)? {
            for offer in batch {
                self.offers.append(
                    Offer(
                        bridge: bridge.value, name: offer.name, data: String(buffer: offer.data),
                        origin: offer.header.origin, hops: offer.header.hops.map(\.string)))
            }
            return nil
        }

        func channelSubscribed(_ channel: ChannelName) { self.occupancy.append("+\(channel)") }
        func channelUnsubscribed(_ channel: ChannelName) { self.occupancy.append("-\(channel)") }
    }

    private func ingress(
        _ channel: String, _ data: String, from instance: String? = "other", sequence: UInt64 = 1,
        hops: [String] = ["other"]
    ) -> IngressEnvelope {
        let header = instance.map {
            EnvelopeHeader(
                origin: Origin(instance: InstanceID($0)!, epoch: 7, sequence: sequence),
                hops: hops.map { InstanceID($0)! }, acceptedAt: 1)
        }
        return IngressEnvelope(
            Envelope(channel: ChannelName(channel), data: ByteBuffer(string: data), header: header))
    }

    private func accept(
        _ batch: [IngressEnvelope], _ server: LinkspanServer, from bridge: Int = 0, hopLimit: Int = 4
    ) async -> IngressTally {
        await withCheckedContinuation { continuation in
            server.broker.accept(batch, from: BridgeIndex(bridge), hopLimit: hopLimit) {
                continuation.resume(returning: $0)
            }
        }
    }

    @Test func `every publish is offered once per bridge, in order, with numbers from one per channel`() async throws {
        let plane = Plane([
            EgressRoute(bridge: BridgeIndex(0), name: "up/x"), EgressRoute(bridge: BridgeIndex(1), name: nil),
        ])
        try await withServer(bridgePlane: plane, { $0.eventLoops = 3 }) { _, address in
            let client = try await RawClient.ready(address)
            try await client.send(all: (1...200).map { RawClient.publish("room/\($0 % 4)", "\($0)") })
            try await client.publish("local/x", "1")
            let offers = try await plane.offers.wait(count: 400, "offer")
            for bridge in 0...1 {
                for room in 0..<4 {
                    let own = offers.filter { $0.bridge == bridge && Int($0.data)! % 4 == room }
                    #expect(own.map(\.data) == (1...200).filter { $0 % 4 == room }.map(String.init))
                    #expect(own.map(\.origin.sequence) == Array(1...50))
                    #expect(own.allSatisfy { $0.origin.instance.string == "test-1" && $0.hops == ["test-1"] })
                }
            }
            #expect(Set(offers.map(\.origin.epoch)).count == 1)
            #expect(offers.first { $0.bridge == 0 }?.name == "up/x")
            #expect(offers.first { $0.bridge == 1 }?.name == nil)
            // The channel without routes is the fifth that was asked for, and none was asked for twice.
            _ = try await eventually("lookup") { plane.lookups.withLock { $0.count == 5 } ? true : nil }
        }
    }

    @Test func `bridges hear of the first subscriber and of the last one gone`() async throws {
        let plane = Plane([])
        try await withServer(bridgePlane: plane) { _, address in
            let clients = [try await RawClient.ready(address), try await RawClient.ready(address)]
            for client in clients { try await client.subscribe("news") }
            for client in clients { try await client.disconnect() }
            try await plane.occupancy.wait(count: 2, "change")
            #expect(plane.occupancy.events == ["+news", "-news"])
        }
    }

    @Test func `ingress is delivered, and judged by origin and number`() async throws {
        try await withServer({ $0.eventLoops = 3 }) { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            let tally = await self.accept(
                [
                    self.ingress("news", "1", sequence: 1), self.ingress("news", "3", sequence: 3),
                    self.ingress("news", "2", sequence: 2), self.ingress("news", "3", sequence: 3),
                    self.ingress("news", "4", from: "test-1"), self.ingress("news", "5", hops: ["other", "test-1"]),
                    self.ingress("news", "6", sequence: 6, hops: ["other", "b", "c", "d", "e"]),
                    self.ingress("news", "7", from: nil), self.ingress("elsewhere", "8"),
                ], server)
            #expect(tally.delivered == 5)
            #expect(tally.late == 1)
            #expect(tally.duplicate == 1)
            #expect(tally.looped == 2)
            #expect(tally.tooManyHops == 1)
            for data in ["1", "3", "2", "7"] {
                #expect(try await client.nextText() == RawClient.delivery("news", data))
            }
            #expect(await self.accept([], server) == IngressTally())
        }
    }

    @Test func `ingress leaves only by bridges that admit where it came from`() async throws {
        let plane = Plane([
            EgressRoute(bridge: BridgeIndex(0), name: "a", transit: 0b11),
            EgressRoute(bridge: BridgeIndex(1), name: "b", transit: 0b01),
            EgressRoute(bridge: BridgeIndex(2), name: "c"),
        ])
        try await withServer(bridgePlane: plane) { server, _ in
            _ = await self.accept([self.ingress("news", "1"), self.ingress("news", "raw", from: nil)], server, from: 0)
            _ = await self.accept([self.ingress("news", "2", sequence: 2)], server, from: 1)
            let offers = try await plane.offers.wait(count: 2, "offer")
            #expect(offers.map(\.bridge) == [1, 0])
            #expect(offers.map(\.data) == ["1", "2"])
            #expect(offers.allSatisfy { $0.origin.instance.string == "other" && $0.hops == ["other"] })
        }
    }

    @Test func `ingress raises no event`() async throws {
        try await withServer { server, address in
            let recorder = BrokerTests.Recorder()
            server.broker.add(recorder)
            _ = await self.accept([self.ingress("news", "1")], server)
            let client = try await RawClient.ready(address)
            try await client.publish("news", "2")
            _ = try await recorder.log.first("event of the client's publish") { $0 == "publish news 2" }
            #expect(recorder.log.events == ["publish news 2"])
        }
    }
}
