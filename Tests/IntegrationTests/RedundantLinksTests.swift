internal import TestSupport
internal import Testing

/// A bridge that has several brokers.
@Suite(.serialized)
struct RedundantLinksTests {
    @Test(arguments: [UpstreamKind.mqtt, .redis])
    func `a broker that dies in mid-stream costs nothing while another of a different type carries the same channels`(
        _ dying: UpstreamKind
    ) async throws {
        guard UpstreamKind.mqtt.isAvailable, UpstreamKind.redis.isAvailable else { return }
        let mqtt = try await MQTTUpstream()
        let redis = try await RedisUpstream()
        let brokers = [mqtt.patientConfiguration(named: "mqtt"), redis.patientConfiguration(named: "redis")]
        let bridges = """
              up:
                brokers: [mqtt, redis]
                linger: 1s
                retry: { initial: 100ms, max: 1s }
            """
        let one = try await Instance("one", brokers: brokers.joined(separator: "\n"), bridges: bridges)
        let two = try await Instance("two", brokers: brokers.joined(separator: "\n"), bridges: bridges)
        let channels = (0..<20).map { "load/\($0)" }
        let checker = try Checker()
        for (client, instance) in [("a", one), ("b", two)] {
            try await checker.open(client, instance.url)
            try await checker.subscribe(client, channels)
        }
        try await mqtt.wait(for: 2 * channels.count, subscriptionsTo: channels)
        try await redis.wait(for: 2 * channels.count, subscriptionsTo: channels)

        async let first: Void = checker.flood("a", label: "one", channels: channels, each: 1_000)
        async let second: Void = checker.flood("b", label: "two", channels: channels, each: 1_000)
        _ = try await eventually("messages on both links") {
            let links = [try await two.bridge("up@mqtt"), try await two.bridge("up@redis")]
            let received = links.map { $0["ingress"]["received"].int ?? 0 }
            return received.allSatisfy { $0 > 1_000 } ? true : nil
        }
        try await (dying == .mqtt ? mqtt.server : redis.server).kill()
        _ = try await (first, second)

        for client in ["a", "b"] {
            let report = try await checker.collect(client, labels: ["one", "two"], channels: channels, each: 1_000)
            #expect(report == .complete(40_000), "client \(client)")
        }
        for instance in [one, two] {
            #expect(try await instance.bridge("up@\(dying.rawValue)")["state"] != "up")
            let survivor = dying == .mqtt ? "up@redis" : "up@mqtt"
            #expect(try await instance.bridge(survivor)["failures"] == 0, "two faults are one more than it can bear")
            for link in ["up@mqtt", "up@redis"] {
                let bridge = try await instance.bridge(link)
                #expect(bridge.isBalanced, "\(link): \(bridge)")
            }
        }
        try await one.stop()
        try await two.stop()
    }
}
