import LinkspanBridgeKit
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(2)))
struct LoopTests {
    private static let count = 3000

    @Test(arguments: [Guarantee.atMostOnce, .atLeastOnce])
    func `two bridges that send to each other live on one loop, which serves others too`(guarantee: Guarantee)
        async throws
    {
        let server = try await LocalServer.mosquitto()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let ends = try await [self.end(server, guarantee, loop), self.end(server, guarantee, loop)]
        for (end, name) in zip(ends, ["sc/0", "sc/1"]) { try await end.subscribe(.exact(name)) }
        async let others: Int = {
            var turns = 0
            while ends.contains(where: { $0.arrivedSoFar.count < Self.count }) {
                turns += try await loop.submit { 1 }.get()
                await Task.yield()
            }
            return turns
        }()
        for number in 0..<Self.count {
            ends[0].host.publish("sc/1", "\(number)")
            ends[1].host.publish("sc/0", "\(number)")
        }
        for end in ends {
            #expect(try await end.arrivals(Self.count).map(\.text) == (0..<Self.count).map { "\($0)" })
            #expect(try await end.settled(upTo: UInt64(Self.count)).allSatisfy { $0.1 == nil })
        }
        #expect(try await others > 0)
        for end in ends {
            try await end.stop()
            #expect(end.host.strayCount == 0)
        }
        try await group.shutdownGracefully()
    }

    @Test func `a bridge on a loop that ends has lost its upstream`() async throws {
        let server = try await LocalServer.mosquitto()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let end = try await self.end(server, .atMostOnce, group.any())
        try await end.subscribe(.exact("sc/news"))
        try await group.shutdownGracefully()
        #expect(try await end.end()?.code == .lost)
    }

    @Test func `a good-bye that a frozen broker does not take ends all the same`() async throws {
        let server = try await LocalServer.mosquitto()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let end = try await self.end(server, .atMostOnce, loop)
        try await end.subscribe(.exact("sc/news"))
        server.pause()
        let payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: 1 << 20)
        for _ in 0..<16 { end.host.publish("sc/other", payload) }
        try await eventually("a full socket") {
            let sent = end.settledSoFar.count
            try await loop.submit {}.get()
            return end.settledSoFar.count == sent ? true : nil
        }
        try await end.stop()
        server.resume()
        try await group.shutdownGracefully()
    }

    private func end(
        _ server: LocalServer, _ guarantee: Guarantee, _ loop: any EventLoop
    ) async throws -> TestConversation {
        let end = TestConversation(
            try MQTTBridge(settings: .mqtt(guarantee: guarantee)), server.upstream, on: loop)
        end.host.expectCalls(on: loop)
        try await end.facts()
        return end
    }
}
