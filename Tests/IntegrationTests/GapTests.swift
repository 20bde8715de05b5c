internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// What becomes of messages that a broker did not bring: each is named, and with `repair` each comes after all.
@Suite(.serialized)
struct GapTests {
    private static let bridges = """
          up:
            broker: up
            linger: 1s
            retry: { initial: 50ms, max: 200ms }
        """

    /// Generous, since machines of CI are slow: what is tested is that everything comes, in order, and not how soon.
    private static let repairing = Self.bridges + "\n    repair: { window: 5m, hold: 60s }"

    /// Two instances over one broker. Between the second and the broker stands a proxy, so that it alone can be cut off.
    private struct Pair {
        let one: EmbeddedInstance
        let two: EmbeddedInstance
        let proxy: StallingProxy
        let checker: Checker

        init(over upstream: any Upstream, bridges: String) async throws {
            self.proxy = try await StallingProxy(to: upstream.server.port)
            // A link that its own limits give up on a busy machine would be made anew, past the stall.
            let direct = upstream.patientConfiguration(named: "up").replacing("heartbeat: 2s", with: "heartbeat: 1m")
            let behind = direct.replacing(":\(upstream.server.port)", with: ":\(self.proxy.port)")
            self.one = try await EmbeddedInstance("one", brokers: direct, bridges: bridges)
            self.two = try await EmbeddedInstance("two", brokers: behind, bridges: bridges)
            self.checker = try Checker()
            try await self.checker.open("a", self.one.url)
            try await self.checker.open("b", self.two.url)
            try await self.checker.subscribe("b", ["news"])
        }

        /// Publishes the numbers, each when the one before was answered: number `n` has sequence number `n`.
        func publish(_ numbers: ClosedRange<Int>) async throws {
            for number in numbers { try await self.checker.publish("a", "news", .number(Double(number))) }
        }

        /// Publishes until the second instance hears it, from `number` on, and says which one comes next.
        func flow(from number: Int) async throws -> Int {
            var next = number
            _ = try await eventually(within: .seconds(60), every: .milliseconds(50), "flow to the second instance") {
                try await self.publish(next...next)
                next += 1
                return self.received.contains { $0 >= number } ? true : nil
            }
            return next
        }

        /// What the client of the second instance received, in this order.
        var received: [Int] { self.checker.messages("b", "news").compactMap(\.int) }

        func stop() async throws {
            self.one.expectBalance()
            self.two.expectBalance()
            try await self.one.stop()
            try await self.two.stop()
            try await self.proxy.stop()
        }
    }

    private func eventuallyTrue(_ what: String, _ probe: () -> Bool, seen: () -> String) async throws {
        do {
            _ = try await eventually(within: .seconds(90), what) { probe() ? true : nil }
        } catch let error as TimedOut {
            throw TimedOut(what: error.what, limit: error.limit, seen: seen())
        }
    }

    @Test(arguments: UpstreamKind.allCases)
    func `what a broker did not bring is named exactly, the last messages too`(_ kind: UpstreamKind) async throws {
        guard kind.isAvailable else { return }
        try await kind.withCalm { upstream in
            let pair = try await Pair(over: upstream, bridges: Self.bridges)
            let first = try await pair.flow(from: 1)
            let heardFirst = try #require(pair.received.first)

            pair.proxy.stall()
            try await pair.publish(first...(first + 49))
            pair.proxy.cut()
            try await self.eventuallyTrue("a new connection") {
                pair.two.bridge.connects >= 2 && pair.two.bridge.state == .up
            } seen: {
                "\(pair.two.bridge)"
            }
            let next = try await pair.flow(from: first + 50)

            // The last message before a silence is lost too, and no later one shows it: only a mark does.
            pair.proxy.stall()
            try await pair.publish(next...next)
            pair.proxy.cut()
            let due = Set(heardFirst...next)
            try await self.eventuallyTrue("an exact account") {
                pair.two.bridge.gaps.missing == due.subtracting(pair.received)
            } seen: {
                "\(pair.two.bridge.gaps), received \(pair.received)"
            }
            let counts = pair.two.bridge.gaps.counts
            #expect(pair.two.bridge.gaps.repair == nil)
            #expect(counts.isBalanced && counts.open + counts.final == UInt64(due.count - pair.received.count))
            #expect(Set(pair.received).count == pair.received.count)
            #expect(pair.two.bridge.gaps.missing.isSuperset(of: first...(first + 49)))
            #expect(pair.two.bridge.gaps.missing.contains(next))
            try await pair.stop()
        }
    }

    @Test(arguments: UpstreamKind.allCases)
    func `with repair a broker may lose messages and die, and every message comes once and in order`(
        _ kind: UpstreamKind
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withFaults { upstream in
            let pair = try await Pair(over: upstream, bridges: Self.repairing)
            let first = try await pair.flow(from: 1)
            let heardFirst = try #require(pair.received.first)

            pair.proxy.stall()
            try await pair.publish(first...(first + 99))
            pair.proxy.cut()
            try await self.eventuallyTrue("a new connection") {
                pair.two.bridge.connects >= 2 && pair.two.bridge.state == .up
            } seen: {
                "\(pair.two.bridge)"
            }
            var last = first + 100
            try await pair.publish(last...last)
            try await self.everythingCame(pair, heardFirst...last)

            async let restart: Void = {
                try await upstream.server.kill()
                try await upstream.server.restart()
            }()
            try await pair.publish((last + 1)...(last + 200))
            try await restart
            last += 200
            try await self.everythingCame(pair, heardFirst...last)
            #expect(pair.two.bridge.gaps.counts.final == 0 && pair.two.bridge.gaps.counts.isBalanced)
            #expect(pair.two.bridge.ingress.repaired >= 100, "\(pair.two.bridge)")
            try await pair.stop()
        }
    }

    private func everythingCame(_ pair: Pair, _ numbers: ClosedRange<Int>) async throws {
        try await self.eventuallyTrue("everything that was published") {
            pair.received.count >= numbers.count
        } seen: {
            let missing = Set(numbers).subtracting(pair.received).sorted()
            return "missing \(missing), \(pair.two.bridge), \(pair.one.bridge)"
        }
        #expect(pair.received == Array(numbers))
    }
}
