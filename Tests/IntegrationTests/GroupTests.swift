internal import Glibc
internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// `consume: one_of`: instances that share what programs publish which know nothing of Linkspan.
@Suite(.serialized)
struct GroupTests {
    private static let bridges = """
          up:
            broker: up
            channels: [work]
            direction: in
            guarantee: at_least_once
            consume: one_of
            group: workers
            retry: { initial: 50ms, max: 500ms }
            probe: { every: 1s, deadline: 60s }
        """

    private static func mqtt(_ upstream: MQTTUpstream) -> String {
        """
          up:
            type: mqtt
            urls: ["\(upstream.server.url)"]
            mqtt: { keepalive: 60s }
        """
    }

    private static func redis(_ upstream: RedisUpstream) -> String {
        """
          up:
            type: redis
            urls: ["\(upstream.server.url)"]
            redis: { mode: streams, claim_after: 10s, ping_timeout: 60s }
        """
    }

    private static func add(_ numbers: Range<Int>, to upstream: RedisUpstream) async throws {
        let script = """
            for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
              redis.call('XADD', KEYS[1], '*', 'channel', 'sc/work', 'data', n)
            end
            """
        try await upstream.ask(
            "EVAL", script, "1", "sc/stream", "\(numbers.lowerBound)", "\(numbers.upperBound - 1)")
    }

    private static func publish(_ numbers: Range<Int>, to upstream: MQTTUpstream, topic: String) async throws {
        try await ChildProcess.run(
            "mosquitto_pub", ["-p", "\(upstream.server.port)", "-V", "5", "-q", "1", "-t", topic, "-l"],
            input: numbers.map { "\($0)\n" }.joined())
    }

    private func numbers(_ checker: Checker, _ client: String) -> [Int] {
        checker.messages(client, "work").compactMap(\.int)
    }

    private func wait(for count: Int, _ checker: Checker, _ clients: [String]) async throws {
        _ = try await eventually(within: .seconds(90), "\(count) different messages") {
            Set(clients.flatMap { self.numbers(checker, $0) }).count >= count ? true : nil
        }
    }

    @Test(.enabled(if: ServerKind.redis.canBeTested))
    func `each message is at one of three instances, and what a killed one had not acknowledged comes to another`()
        async throws
    {
        let upstream = try await RedisUpstream()
        let one = try await EmbeddedInstance("one", brokers: Self.redis(upstream), bridges: Self.bridges)
        let two = try await Instance("two", brokers: Self.redis(upstream), bridges: Self.bridges)
        let three = try await Instance("three", brokers: Self.redis(upstream), bridges: Self.bridges)
        let checker = try Checker()
        for (client, url) in [("a", one.url), ("b", two.url), ("c", three.url)] {
            try await checker.open(client, url)
            try await checker.subscribe(client, ["work"])
        }
        // Signs of life reach every instance, though each message goes to one.
        _ = try await eventually(within: .seconds(90), "proof, and word of the others") {
            one.bridge.probe?.ingress == .proven && one.bridge.probe?.peers.count == 2 ? true : nil
        }
        for instance in [two, three] { try await instance.wait(forBridge: "up") }
        try await Self.add(0..<1000, to: upstream)
        try await self.wait(for: 1000, checker, ["a", "b", "c"])
        #expect(["a", "b", "c"].flatMap { self.numbers(checker, $0) }.count == 1000)

        // What it is given from now on it can neither take nor acknowledge, until it is killed.
        three.process.signal(SIGSTOP)
        try await Self.add(1000..<2000, to: upstream)
        three.process.signal(SIGKILL)
        _ = try await three.process.exit()
        try await Self.add(2000..<3000, to: upstream)
        try await self.wait(for: 3000, checker, ["a", "b", "c"])
        let survivors = self.numbers(checker, "a") + self.numbers(checker, "b")
        #expect(survivors.count == Set(survivors).count, "no survivor's message came twice")
        one.expectBalance()
        #expect(one.bridge.gaps.counts.named == 0)

        try await upstream.server.restart()
        _ = try await eventually(within: .seconds(90), "the bridges to be back") {
            try await two.bridge()["state"] == "up" && one.bridge.state == .up ? true : nil
        }
        try await Self.add(3000..<3500, to: upstream)
        try await self.wait(for: 3500, checker, ["a", "b", "c"])
        one.expectBalance()
        try await one.stop()
        try await two.stop()
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `each message is at one of three instances of an MQTT group, and all of them are proven`() async throws {
        let upstream = try await MQTTUpstream()
        var instances: [EmbeddedInstance] = []
        let checker = try Checker()
        for client in ["a", "b", "c"] {
            let instance = try await EmbeddedInstance(client, brokers: Self.mqtt(upstream), bridges: Self.bridges)
            instances.append(instance)
            try await checker.open(client, instance.url)
            try await checker.subscribe(client, ["work"])
        }
        for instance in instances {
            _ = try await eventually(within: .seconds(90), "proof, and word of the others") {
                instance.bridge.probe?.ingress == .proven && instance.bridge.probe?.peers.count == 2 ? true : nil
            }
        }
        try await Self.publish(0..<600, to: upstream, topic: "sc/work")
        try await self.wait(for: 600, checker, ["a", "b", "c"])
        #expect(["a", "b", "c"].flatMap { self.numbers(checker, $0) }.count == 600)
        for instance in instances {
            instance.expectBalance()
            #expect(instance.bridge.ingress.delivered > 0)
        }
        for instance in instances { try await instance.stop() }
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `an MQTT member that was killed has its turns when it is back, also after mosquitto was restarted`()
        async throws
    {
        let upstream = try await MQTTUpstream()
        let proxy = try await StallingProxy(to: upstream.server.port)
        let behind = Self.mqtt(upstream).replacing(":\(upstream.server.port)", with: ":\(proxy.port)")
        let one = try await EmbeddedInstance("one", brokers: Self.mqtt(upstream), bridges: Self.bridges)
        let two = try await EmbeddedInstance("two", brokers: Self.mqtt(upstream), bridges: Self.bridges)
        let three = try await Instance("three", brokers: behind, bridges: Self.bridges)
        let checker = try Checker()
        for (client, url) in [("a", one.url), ("b", two.url), ("c", three.url)] {
            try await checker.open(client, url)
            try await checker.subscribe(client, ["work"])
        }
        try await upstream.wait(forMembers: 3)
        try await Self.publish(0..<300, to: upstream, topic: "sc/work")
        try await self.wait(for: 300, checker, ["a", "b", "c"])

        three.process.signal(SIGKILL)
        _ = try await three.process.exit()
        let before = self.numbers(checker, "c")
        try await Self.publish(300..<600, to: upstream, topic: "sc/work")
        try await upstream.server.restart()
        try await upstream.wait(forMembers: 2)
        try await Self.publish(600..<900, to: upstream, topic: "sc/work")

        // It reaches its broker when its client is there, so that what it is given is seen.
        proxy.turnAway(true)
        let again = try await Instance("three", brokers: behind, bridges: Self.bridges, port: three.port)
        try await checker.open("c", again.url)
        try await checker.subscribe("c", ["work"])
        proxy.turnAway(false)
        try await self.wait(for: 900, checker, ["a", "b", "c"])

        // What a member had not acknowledged when it or the broker went may come to it once more.
        let after = self.numbers(checker, "c").dropFirst(before.count).filter { $0 >= 300 }
        let others = ["a", "b"].map { self.numbers(checker, $0) }
        #expect(!after.isEmpty && Set(after).isDisjoint(with: others.joined()) && after.allSatisfy { $0 < 600 })
        #expect(others.joined().filter { $0 >= 600 }.sorted() == Array(600..<900))
        for share in others + [before, Array(after)] {
            var seen: Set<Int> = []
            let first = share.filter { seen.insert($0).inserted }
            #expect(first == first.sorted())
        }
        for instance in [one, two] {
            instance.expectBalance()
            #expect(instance.bridge.gaps.counts.named == 0)
            try await instance.stop()
        }
        try await again.stop()
        try await proxy.stop()
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `a raw message that one instance was given reaches the clients of all, once, by another bridge`() async throws
    {
        let upstream = try await MQTTUpstream()
        let bridges =
            Self.bridges.replacing("  up:\n", with: "  devices:\n") + "\n"
                + """
                  bus: { broker: up, channels: [work], name: "bus/{channel}", interest: always, transit: [devices] }
                """
        let one = try await EmbeddedInstance("one", brokers: Self.mqtt(upstream), bridges: bridges)
        let two = try await EmbeddedInstance("two", brokers: Self.mqtt(upstream), bridges: bridges)
        let checker = try Checker()
        for (client, url) in [("a", one.url), ("b", two.url)] {
            try await checker.open(client, url)
            try await checker.subscribe(client, ["work"])
        }
        for instance in [one, two] {
            _ = try await eventually(within: .seconds(90), "proof of both bridges") {
                instance.host.statuses.allSatisfy { $0.probe?.ingress == .proven } ? true : nil
            }
        }
        try await Self.publish(0..<200, to: upstream, topic: "sc/work")
        for client in ["a", "b"] {
            try await self.wait(for: 200, checker, [client])
            #expect(self.numbers(checker, client).count == 200)
        }
        for instance in [one, two] {
            instance.expectBalance()
            #expect(instance.host.statuses.allSatisfy { $0.gaps.counts.named == 0 })
            try await instance.stop()
        }
    }
}

extension MQTTUpstream {
    /// Waits until so many instances of the group have subscribed since mosquitto was started.
    fileprivate func wait(forMembers count: Int) async throws {
        _ = try await eventually(within: .seconds(90), "\(count) members at the broker") {
            self.server.log.count { $0.hasSuffix(" $share/workers/sc/work") } >= count ? true : nil
        }
    }
}
