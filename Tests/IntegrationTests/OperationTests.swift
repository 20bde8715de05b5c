internal import TestSupport
internal import Testing

/// What an operator sees and does.
@Suite(.serialized)
struct OperationTests {
    @Test(arguments: UpstreamKind.allCases)
    func `what does not fit into the buffer while the broker is away is counted with its reason`(
        _ kind: UpstreamKind
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withFaults { upstream in
            let bridges = """
                  up:
                    broker: up
                    buffer: { size: 16KiB, when_full: drop_oldest }
                    retry: { initial: 100ms, max: 1s }
                """
            let instance = try await Instance("one", brokers: upstream.configuration, bridges: bridges)
            try await instance.wait(forBridge: "up")
            let checker = try Checker()
            try await checker.open("a", instance.url)
            try await upstream.server.kill()
            try await instance.wait(forBridge: "waiting")

            let channels = (0..<10).map { "away/\($0)" }
            try await checker.flood("a", label: "away", channels: channels, each: 100)
            // A thousand messages and ten end marks, each of 64 bytes and its payload.
            let during = try await instance.bridge()
            #expect(during["egress"]["accepted"] == 1010)
            #expect(during["egress"]["dropped"]["buffer_full"].int ?? 0 > 700)
            #expect(during.isBalanced, "\(during)")

            try await upstream.server.restart()
            let after = try await eventually(within: .seconds(60), "an empty buffer") { () -> JSON? in
                let bridge = try await instance.bridge()
                let isEmpty = bridge["egress"]["buffered"] == 0 && bridge["egress"]["in_flight"] == 0
                return isEmpty && bridge["state"] == "up" ? bridge : nil
            }
            #expect(after["egress"]["accepted"] == 1010)
            #expect(after["egress"]["confirmed"].int ?? 0 > 0)
            #expect(after.isBalanced, "\(after)")
            try await instance.stop()
        }
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested && ServerKind.redis.canBeTested))
    func `two bridges carry the same channels: a broker dies, and every message arrives once`() async throws {
        let (mqtt, redis) = (try await MQTTUpstream(), try await RedisUpstream())
        let brokers = [mqtt.configuration, redis.configuration.replacing("up:", with: "other:")].joined(separator: "\n")
        let bridges = """
              first: { broker: up, retry: { initial: 100ms, max: 1s } }
              second: { broker: other, retry: { initial: 100ms, max: 1s } }
            """
        let one = try await Instance("one", brokers: brokers, bridges: bridges)
        let two = try await Instance("two", brokers: brokers, bridges: bridges)
        let checker = try Checker()
        let channels = (0..<10).map { "both/\($0)" }
        try await checker.open("a", one.url)
        try await checker.open("b", two.url)
        try await checker.subscribe("b", channels)
        try await mqtt.wait(for: channels.count, subscriptionsTo: channels)
        try await redis.wait(for: channels.count, subscriptionsTo: channels)

        try await checker.flood("a", label: "whole", channels: channels, each: 100)
        #expect(
            try await checker.collect("b", labels: ["whole"], channels: channels, each: 100) == .complete(1000))

        async let killed: Void = mqtt.server.kill()
        async let flood: Void = checker.flood("a", label: "half", channels: channels, each: 100)
        _ = try await (killed, flood)
        let report = try await checker.collect("b", labels: ["half"], channels: channels, each: 100)
        #expect(report.missing == 0 && report.doubled == 0, "\(report)")

        let second = try await two.bridge("second")
        #expect(second["ingress"]["duplicate"].int ?? 0 > 0, "\(second)")
        try await one.stop()
        try await two.stop()
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `a service at the broker hears who listens`() async throws {
        let upstream = try await MQTTUpstream()
        let service = try ChildProcess(
            "mosquitto_sub", ["-p", "\(upstream.server.port)", "-t", "sc/$linkspan/events/+"])
        _ = try await eventually("the subscription") { upstream.foreignSubscriptions == 1 ? true : nil }
        let bridges = "  up: { broker: up, events: [publish, subscribe, unsubscribe] }"
        let instance = try await Instance("one", brokers: upstream.configuration, bridges: bridges)
        try await instance.wait(forBridge: "up")
        let checker = try Checker()
        for client in ["a", "b"] {
            try await checker.open(client, instance.url)
            try await checker.subscribe(client, ["news"])
        }
        try await checker.unsubscribe("a", ["news"])
        try checker.command("vanish", "b")

        var seen: [String] = []
        var mark = 0
        for _ in 1...2 {
            let found = try await service.output.first(from: mark, "event") { $0.hasPrefix("{") }
            mark = found.index + 1
            let event = try JSON(parsing: found.event)
            #expect(event["channel"] == "news")
            #expect(event["instance"] == "one")
            seen.append(event["event"].string ?? "")
        }
        #expect(seen == ["subscribe", "unsubscribe"])
        try await instance.stop()
        try await service.stop()
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `SIGTERM sends clients away with 4101 and what is buffered to the broker`() async throws {
        let upstream = try await MQTTUpstream()
        let listener = try ChildProcess("mosquitto_sub", ["-p", "\(upstream.server.port)", "-t", "sc/#"])
        _ = try await eventually("the subscription") { upstream.foreignSubscriptions == 1 ? true : nil }
        let instance = try await Instance("one", brokers: upstream.configuration, bridges: InstancePair.bridges)
        try await instance.wait(forBridge: "up")
        let checker = try Checker()
        try await checker.open("a", instance.url)
        try await checker.publish("a", "news", "last words")
        #expect(try await instance.stop() == .status(0))
        #expect(try await checker.event("closed", of: "a")["code"] == 4101)
        _ = try await listener.output.first("message") { $0.contains("last words") }
        try await listener.stop()
    }

    @Test
    func `a taken port and a wrong file are told, with their exit status`() async throws {
        let instance = try await Instance("one")
        let second = try ChildProcess(
            Instance.program, ["serve", "--config", instance.file, "--host", "127.0.0.1", "--port", "\(instance.port)"])
        #expect(try await second.exit() == .status(71))
        // What a process wrote last may still be on its way when it has ended.
        _ = try await second.errors.first("the reason") { $0.contains("cannot listen on 127.0.0.1:\(instance.port)") }

        let folder = try TestFolder("wrong")
        let file = try folder.write("version: 1\nserver:\n  clients: { prot: 1 }\n", to: "bridges.yaml")
        let wrong = try ChildProcess(Instance.program, ["serve", "--config", file])
        #expect(try await wrong.exit() == .status(78))
        _ = try await wrong.errors.first("the mistake") { $0.contains("bridges.yaml:3:14: unknown key \"prot\"") }
        try await instance.stop()
    }
}
