internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// Two instances with some bridges between them, and a publisher that counts.
struct CountedTraffic {
    let one: EmbeddedInstance
    let two: EmbeddedInstance
    let checker: Checker
    /// A channel for each bridge, of its name.
    let channels: [String]
    private let published = EventLog<Int>()

    /// Generous, since machines of CI are slow: what is tested is that everything comes, in order, and not how soon.
    static let repair = "repair: { window: 5m, hold: 60s }"

    /// Returns when the first message of each channel has come, which is number 1 or a later one.
    ///
    /// - Parameter bridges: by name, what each has beside its channel.
    init(_ brokers: String, _ bridges: [String: String]) async throws {
        let channels = bridges.keys.sorted()
        self.channels = channels
        let bridges = channels.map { name in
            "  \(name): { channels: [\(name)], \(bridges[name]!), linger: 1s, retry: { initial: 50ms, max: 500ms } }"
        }.joined(separator: "\n")
        self.one = try await EmbeddedInstance("one", brokers: brokers, bridges: bridges)
        self.two = try await EmbeddedInstance("two", brokers: brokers, bridges: bridges)
        self.checker = try Checker()
        try await self.checker.open("a", self.one.url)
        try await self.checker.open("b", self.two.url)
        try await self.checker.subscribe("b", channels)
        try await self.publishUntilEverythingFlows()
    }

    /// Publishes a number to every channel, each when the one before was answered: number `n` has sequence number `n`.
    func publish(rounds: Int) async throws {
        for _ in 0..<rounds {
            let number = self.published.count + 1
            self.published.append(number)
            for channel in self.channels { try await self.checker.publish("a", channel, .number(Double(number))) }
        }
    }

    func publishUntilEverythingFlows() async throws {
        let first = self.published.count + 1
        _ = try await eventually(within: .seconds(90), every: .milliseconds(100), "flow through every bridge") {
            try await self.publish(rounds: 1)
            return self.channels.allSatisfy { self.received($0).last ?? 0 >= first } ? true : nil
        }
    }

    /// Everything of one channel came once, in whatever order.
    func expectEverything(in channel: String) async throws {
        let first = try #require(self.received(channel).first)
        let due = Set(first...self.published.count)
        var missing = due
        do {
            try await eventually(within: .seconds(120), every: .milliseconds(500), "everything of \(channel)") {
                missing = due.subtracting(self.received(channel))
                return missing.isEmpty ? true : nil
            }
        } catch let error as TimedOut {
            throw TimedOut(what: error.what, limit: error.limit, seen: "missing \(missing.sorted())")
        }
        #expect(self.received(channel).sorted() == due.sorted())
    }

    /// What the client of the second instance received, in this order.
    private func received(_ channel: String) -> [Int] { self.checker.messages("b", channel).compactMap(\.int) }

    private func bridge(_ name: String) throws -> BridgeStatus {
        try #require(self.two.host.statuses.first { $0.name == name })
    }

    /// Everything came once and in order, but for what is named as missing, which is nothing outside `losing`.
    ///
    /// - Parameter exempt: channels that are not looked at.
    func expectAccounts(losing: Set<String>, exempt: Set<String> = []) async throws {
        for channel in self.channels where !exempt.contains(channel) {
            let first = try #require(self.received(channel).first)
            let due = Array(first...self.published.count)
            var seen = ""
            do {
                _ = try await eventually(within: .seconds(90), "an exact account of \(channel)") {
                    let bridge = try self.bridge(channel)
                    let (missing, received) = (bridge.gaps.missing(in: channel), self.received(channel))
                    seen = "\(bridge), due \(due.count), received \(received.count), named \(missing)"
                    // With repair a gap may be named before what fills it has come.
                    let here = losing.contains(channel) ? due.filter { !missing.contains($0) } : due
                    return received == here && missing.isSubset(of: due) ? true : nil
                }
            } catch let error as TimedOut {
                throw TimedOut(what: error.what, limit: error.limit, seen: seen)
            }
            let counts = try self.bridge(channel).gaps.counts
            #expect(counts.isBalanced, "\(channel): \(counts)")
        }
        for instance in [self.one, self.two] {
            for bridge in instance.host.statuses {
                #expect(bridge.egress.isBalanced && bridge.ingress.isBalanced, "\(bridge)")
                #expect(bridge.strayTickets == 0)
            }
        }
    }

    func stop() async throws {
        try await self.one.stop()
        try await self.two.stop()
    }
}
