internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// What brokers do to us, and that clients do not notice.
@Suite(.serialized)
struct FaultTests {
    @Test(arguments: UpstreamKind.allCases)
    func `a broker killed for five seconds, twice, and frozen past its keepalive: messages flow again both ways`(
        _ kind: UpstreamKind
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withFaults { upstream in
            let pair = try await InstancePair(over: upstream)
            let checker = try Checker()
            try await checker.open("a", pair.one.url)
            try await checker.open("b", pair.two.url)
            for client in ["a", "b"] { try await checker.subscribe(client, ["news"]) }
            try await pair.flow(checker, from: "a", to: "b", "news")
            try await pair.flow(checker, from: "b", to: "a", "news")

            for _ in 1...2 {
                try await upstream.server.kill()
                try await pair.publish(checker, during: .seconds(5))
                pair.one.expectBalance()
                try await upstream.server.restart()
                try await pair.flow(checker, from: "a", to: "b", "news")
                try await pair.flow(checker, from: "b", to: "a", "news")
            }

            upstream.server.pause()
            // The slowest of the three notices after twice its keepalive of five seconds.
            try await pair.publish(checker, "the frozen broker to be noticed") { pair.one.bridge.state != .up }
            upstream.server.resume()
            try await pair.flow(checker, from: "a", to: "b", "news")
            try await pair.flow(checker, from: "b", to: "a", "news")

            // Everything that a client published on this side is in the books, and nothing is left to happen to it.
            _ = try await eventually("an empty buffer") { pair.one.bridge.egress.isSettled ? true : nil }
            pair.one.expectBalance()
            let published = checker.events.filter { $0["event"] == "published" && $0["client"] == "a" }
            #expect(pair.one.bridge.egress.accepted == UInt64(published.count))
            #expect(pair.one.bridge.connects >= 4, "\(pair.one.bridge)")
            #expect(checker.events.filter { $0["event"] == "closed" } == [], "clients noticed something")
            #expect(checker.repeated("a", "news") == [])
            #expect(checker.repeated("b", "news") == [])
            #expect(pair.two.process.isRunning)
            try await pair.stop()
        }
    }
}

extension EgressLedger {
    fileprivate var isSettled: Bool { self.buffered == 0 && self.inFlight == 0 }
}
