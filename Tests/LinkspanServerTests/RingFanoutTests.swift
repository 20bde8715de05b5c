import Glibc
import LinkspanCore
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import LinkspanServer

/// What subscribers get, and how it is counted, must not depend on how it is written.
@Suite struct RingFanoutTests {
    enum Way: CaseIterable {
        /// Three connections to a system call, so that a few make many calls.
        case ring
        case refused
        case off
    }

    /// Where there are no rings for this process, the two other ways are what there is.
    static let ways = Way.allCases.filter { $0 != .ring || hasRings }

    private func withServer(
        _ way: Way, opened: @escaping @Sendable (CInt) -> Void = { _ in },
        _ change: (inout ServerSettings) -> Void = { _ in },
        _ body: (LinkspanServer, SocketAddress) async throws -> Void
    ) async throws {
        let rings = RingMaker(fewestWrites: 3) { () throws(SocketRing.Refusal) in
            guard way == .ring else { throw SocketRing.Refusal(code: EPERM) }
            let ring = try SocketRing(capacity: 3, vectorCapacity: 8)
            opened(ring.descriptor)
            return ring
        }
        try await LinkspanServerTests.withServer(
            rings: rings,
            {
                $0.eventLoops = 1
                $0.usesIOUring = way != .off
                change(&$0)
            }, body)
    }

    private func expectCounts(_ way: Way, _ counters: ServerCounters) {
        #expect((counters.ringCalls > 0) == (way == .ring))
        #expect(counters.ringWrites >= counters.ringCalls)
        #expect(counters.ringRefusals == (way == .refused ? 1 : 0))
    }

    @Test(arguments: ways)
    func `everybody gets everything, in order, from several channels at once`(way: Way) async throws {
        try await self.withServer(way) { server, address in
            var clients: [RawClient] = []
            // Each is in one more channel than the one before, so that some turns have several stretches for them, some too many for a ring.
            let channels = (0..<12).map { "room/\($0)" }
            for number in 0..<channels.count {
                let client = try await RawClient.ready(address)
                for (index, channel) in channels[...number].enumerated() {
                    try await client.subscribe(channel, callID: 10 + index)
                }
                clients.append(client)
            }
            let count = 600
            try await clients[0].send(
                all: (0..<count).map { RawClient.publish(channels[$0 % 12], "\($0)", callID: 100 + $0) })
            for (number, client) in clients.enumerated() {
                let expected = (0..<count).filter { $0 % 12 <= number }
                let last = try #require(expected.last)
                _ = try await client.log.first("last delivery") {
                    $0 == .text(RawClient.delivery(channels[last % 12], "\(last)"))
                }
                for (index, channel) in channels[...number].enumerated() {
                    let texts = expected.filter { $0 % 12 == index }.map { RawClient.delivery(channel, "\($0)") }
                    #expect(client.texts.filter { $0.contains(#""\#(channel)""#) } == texts)
                }
            }
            _ = try await clients[0].log.first("last answer") { $0 == .text(#"{"rid":\#(99 + count)}"#) }
            self.expectCounts(way, server.counters)
        }
    }

    @Test(arguments: ways)
    func `slow subscribers are closed, get nothing in part, and the others everything`(way: Way) async throws {
        try await self.withServer(way, { $0.limits.outboundBytes = 256 << 10 }) { server, address in
            var clients: [RawClient] = []
            for _ in 0..<8 {
                clients.append(try await RawClient.ready(address))
                try await clients.last?.subscribe("news")
            }
            let slow = [clients[1], clients[4], clients[6]]
            for client in slow { try await client.setReading(false) }
            let data = "\"" + String(repeating: "x", count: 100_000) + "\""
            var count = 0
            while server.counters.slowSubscribersClosed < slow.count {
                let callID = count
                try await clients[0].publish("news", data, callID: callID)
                _ = try await clients[0].next("acknowledgement") { $0 == .text(#"{"rid":\#(callID)}"#) }
                count += 1
                try #require(count < 1000, "the sockets' own buffers are far smaller")
            }
            let delivery = RawClient.delivery("news", data)
            for number in [0, 2, 3, 5, 7] {
                _ = try await eventually("all deliveries") {
                    clients[number].texts.filter { $0 == delivery }.count == count ? true : nil
                }
                #expect(clients[number].texts.allSatisfy { $0 == delivery || $0.count < 1000 })
            }
            for client in slow {
                try await client.setReading(true)
                #expect(try await client.closeCode() == 4100)
                let received = client.texts.filter { $0.contains("#publish") }
                #expect(received.allSatisfy { $0 == delivery }, "what did arrive is whole")
            }
            self.expectCounts(way, server.counters)
        }
    }

    @Test(arguments: ways)
    func `subscribers that hang up amid a flood harm no other`(way: Way) async throws {
        try await self.withServer(way) { server, address in
            var clients: [RawClient] = []
            for _ in 0..<10 {
                clients.append(try await RawClient.ready(address))
                try await clients.last?.subscribe("news")
            }
            let count = 2000
            try await clients[0].send(all: (0..<count).map { RawClient.publish("news", "\($0)") })
            for number in [2, 5, 8] { try await clients[number].disconnect() }
            let expected = (0..<count).map { RawClient.delivery("news", "\($0)") }
            for number in [0, 1, 3, 4, 6, 7, 9] {
                _ = try await clients[number].log.first("last delivery") { $0 == .text(expected[count - 1]) }
                #expect(clients[number].texts.filter { $0.contains("#publish") } == expected)
            }
            self.expectCounts(way, server.counters)
        }
    }

    @Test(.enabled(if: hasRings))
    func `a ring that the kernel takes no more is done without, and nothing is lost`() async throws {
        let descriptor = Mutex<CInt>(-1)
        try await self.withServer(.ring, opened: { opened in descriptor.withLock { $0 = opened } }) { server, address in
            var clients: [RawClient] = []
            for _ in 0..<8 {
                clients.append(try await RawClient.ready(address))
                try await clients.last?.subscribe("news")
            }
            for number in 0..<20 {
                if number == 10 { SocketRing.breakDown(descriptor.withLock { $0 }) }
                let delivery = RawClient.delivery("news", "\(number)")
                try await clients[0].publish("news", "\(number)")
                for client in clients { _ = try await client.log.first("delivery") { $0 == .text(delivery) } }
            }
            let expected = (0..<20).map { RawClient.delivery("news", "\($0)") }
            for client in clients { #expect(client.texts.filter { $0.contains("#publish") } == expected) }
            #expect(server.counters.ringCalls > 10)
            #expect(server.counters.ringRefusals == 1)
        }
    }
}
