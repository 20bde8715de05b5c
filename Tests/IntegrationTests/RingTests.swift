internal import Foundation
internal import TestSupport
internal import Testing

/// Three sites in a ring, each link a broker of its own, so that every message has two ways to every site.
@Suite(.serialized)
struct RingTests {
    private static let maximumHops = 3
    /// For how long links are cut; `make chaos RING=3600` says how many seconds.
    private static let duration = Duration.seconds(
        ProcessInfo.processInfo.environment["CHAOS_RING"].flatMap(Int.init) ?? 60)

    @Test func `a ring of three sites delivers every message once while its links are cut at random`() async throws {
        guard UpstreamKind.mqtt.isAvailable, UpstreamKind.redis.isAvailable else { return }
        let links = [try await RedisUpstream(), try await RedisUpstream(), try await RedisUpstream()]
        // One side of the ring has a second broker, of another type.
        let spare = try await MQTTUpstream()
        var listeners = try links.map(Self.listener)
        var hops: [Int] = []
        let sites = [
            try await self.site("a", left: ("ab", links[0]), right: ("ca", links[2]), spare: spare),
            try await self.site("b", left: ("ab", links[0]), right: ("bc", links[1]), spare: spare),
            try await self.site("c", left: ("bc", links[1]), right: ("ca", links[2]), spare: nil),
        ]
        let clients = ["a", "b", "c"]
        let channels = (0..<10).map { "ring/\($0)" }
        let checker = try Checker()
        for (client, site) in zip(clients, sites) {
            try await checker.open(client, site.url)
            try await checker.subscribe(client, channels)
        }
        for link in links { try await link.wait(for: 2 * channels.count, subscriptionsTo: channels) }

        let random = SeededRandom()
        var cuts = random
        var labels: [String] = []
        let end = ContinuousClock.now + Self.duration
        while ContinuousClock.now < end {
            // Both ways of a message may be cut one after the other, never at one time.
            for site in sites { try await site.waitForLinks() }
            for link in links { try await link.wait(for: 2 * channels.count, subscriptionsTo: channels) }
            let round = clients.map { "\($0)\(labels.count)" }
            labels += round
            async let first: Void = checker.flood("a", label: round[0], channels: channels, each: 20)
            async let second: Void = checker.flood("b", label: round[1], channels: channels, each: 20)
            async let third: Void = checker.flood("c", label: round[2], channels: channels, each: 20)
            let link = Int.random(in: 0..<links.count, using: &cuts)
            for kind in ["pubsub", "normal"] {
                try await links[link].ask("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            }
            _ = try await (first, second, third)
            for client in clients {
                let report = try await checker.collect(client, labels: round, channels: channels, each: 20, whole: true)
                #expect(
                    report.received == round.count * channels.count * 20 && report.missing == 0 && report.doubled == 0,
                    "client \(client), round \(labels.count / 3), seed \(random.seed): \(report)")
            }
            // Whoever listens lost its connection as well.
            _ = try await listeners[link].stop()
            hops += listeners[link].output.events.compactMap(Self.hops)
            listeners[link] = try Self.listener(links[link])
        }
        print("a ring for \(Self.duration): \(labels.count / 3) cuts, \(labels.count * channels.count * 20) messages")

        for client in clients {
            // No mark comes again, so this waits for its second, and finds what came after all had been counted.
            let report = try await checker.collect(
                client, labels: labels, channels: channels, each: 0, within: .seconds(1))
            #expect(report.received == 0, "client \(client), seed \(random.seed): \(report)")
        }
        hops += listeners.flatMap(\.output.events).compactMap(Self.hops)
        #expect(hops.count > 1_000)
        #expect(hops.max() ?? 0 <= Self.maximumHops && hops.contains(2), "\(Set(hops))")
        for site in sites {
            for name in site.links {
                let bridge = try await site.instance.bridge(name)
                #expect(bridge.isBalanced, "\(name): \(bridge)")
            }
            try await site.instance.stop()
        }
        for listener in listeners { _ = try await listener.stop() }
    }

    private static func listener(_ link: RedisUpstream) throws -> ChildProcess {
        try ChildProcess("redis-cli", ["-p", "\(link.server.port)", "--csv", "PSUBSCRIBE", "sc/ring/*"])
    }

    /// How many instances an envelope names, in one line of `redis-cli --csv`.
    private static func hops(in line: String) -> Int? {
        // The payload is quoted, so its own quotes are escaped.
        guard let start = line.firstRange(of: #"\"hops\":["#)?.upperBound,
            let end = line[start...].firstIndex(of: "]")
        else { return nil }
        return line[start..<end].split(separator: ",").count
    }

    // MARK: Sites

    private struct Site {
        let instance: Instance
        let links: [String]
        var url: String { self.instance.url }

        func waitForLinks() async throws {
            for link in self.links {
                _ = try await eventually("\(link) up") {
                    try await self.instance.bridge(link)["state"] == "up" ? true : nil
                }
            }
        }
    }

    private func site(
        _ name: String, left: (name: String, upstream: RedisUpstream), right: (name: String, upstream: RedisUpstream),
        spare: MQTTUpstream?
    ) async throws -> Site {
        var brokers = [left, right].map { $0.upstream.patientConfiguration(named: $0.name) }
        if let spare { brokers.append(spare.patientConfiguration(named: "spare")) }
        let left = spare == nil ? "broker: \(left.name)" : "brokers: [\(left.name), spare]"
        let common = "max_hops: \(Self.maximumHops), retry: { initial: 50ms, max: 200ms }"
        let instance = try await Instance(
            name, brokers: brokers.joined(separator: "\n"),
            bridges: """
                  left: { \(left), transit: [right], \(common) }
                  right: { broker: \(right.name), transit: [left], \(common) }
                """)
        let links = spare == nil ? ["left", "right"] : ["left@ab", "left@spare", "right"]
        return Site(instance: instance, links: links)
    }
}
