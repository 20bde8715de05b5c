internal import LinkspanServer
internal import TestSupport
internal import Testing

/// The main job: instances share channels through a real broker.
@Suite(.serialized)
struct SharingTests {
    @Test(arguments: UpstreamKind.allCases)
    func `ten thousand publishes on each side arrive once and in order at every subscriber of both`(
        _ kind: UpstreamKind
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withCalm { upstream in
            let pair = try await InstancePair(over: upstream, isPatient: true)
            let channels = (0..<50).map { "load/\($0)" }
            let checker = try Checker()
            for client in ["a", "b"] {
                try await checker.open(client, pair.one.url)
                try await checker.subscribe(client, channels)
            }
            // The other protocol on the other side: what crosses the upstream belongs to neither.
            for client in ["c", "d"] {
                try await checker.open(client, pair.two.url, protocol: 1)
                try await checker.subscribe(client, channels)
            }
            try await upstream.wait(for: 2 * channels.count, subscriptionsTo: channels)

            async let first: Void = checker.flood("a", label: "one", channels: channels, each: 200)
            async let second: Void = checker.flood("c", label: "two", channels: channels, each: 200)
            _ = try await (first, second)
            for client in ["a", "b", "c", "d"] {
                let report = try await checker.collect(client, labels: ["one", "two"], channels: channels, each: 200)
                #expect(report == .complete(20_000), "client \(client)")
            }
            // One conversation from first to last: at_most_once promises nothing across two.
            let two = try await pair.two.bridge()
            #expect(pair.one.bridge.connects == 1, "\(pair.one.bridge)")
            #expect(two["connects"] == 1, "\(two)")
            try await pair.stop()
        }
    }

    @Test(arguments: UpstreamKind.allCases)
    func `a program that knows nothing of Linkspan publishes into a channel`(_ kind: UpstreamKind) async throws {
        guard kind.isAvailable else { return }
        try await kind.withCalm { upstream in
            let instance = try await Instance("one", brokers: upstream.configuration, bridges: InstancePair.bridges)
            let checker = try Checker()
            try await checker.open("a", instance.url)
            try await checker.subscribe("a", ["news"])
            let shell = try ChildProcess(
                Instance.program, ["subscribe", "--url", instance.url, "--count", "1", "news"])
            try await upstream.wait(for: 1, subscriptionsTo: ["news"])
            _ = try await shell.errors.first("subscription of the shell's client") {
                $0.lowercased().contains("subscribed")
            }

            try await upstream.publish(#"{"hello":"world","n":[1,2.50,null]}"#, to: "news")
            #expect(try await checker.message("a", "news") == ["hello": "world", "n": [1, .number(2.5), .null]])
            // Passed through byte by byte, the fraction's last zero included.
            #expect(
                try await shell.output.first("line of the shell's client").event
                    == #"{"hello":"world","n":[1,2.50,null]}"#)
            #expect(try await shell.exit() == .status(0))

            try await upstream.publish("not JSON", to: "news")
            #expect(try await checker.message("a", "news", from: 0, where: { $0 == "not JSON" }) == "not JSON")
            #expect(checker.messages("a", "news").count == 2)
            try await instance.stop()
        }
    }

    @Test(arguments: UpstreamKind.allCases)
    func `any number of subscribers makes one upstream subscription, and the last one to go removes it`(
        _ kind: UpstreamKind
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withCalm { upstream in
            let instance = try await Instance("one", brokers: upstream.configuration, bridges: InstancePair.bridges)
            let checker = try Checker()
            let clients = (0..<20).map { "client\($0)" }
            for client in clients {
                try await checker.open(client, instance.url)
                try await checker.subscribe(client, ["news"])
            }
            try await upstream.wait(for: 1, subscriptionsTo: ["news"])

            for client in clients.prefix(10) { try await checker.unsubscribe(client, ["news"]) }
            for client in clients.dropFirst(10).dropLast(2) { try checker.command("vanish", client) }
            // Two are left; a second channel shows when the bridge has dealt with all that went before it.
            try await checker.subscribe("client19", ["marker"])
            try await upstream.wait(for: 2, subscriptionsTo: ["news", "marker"])
            try await checker.unsubscribe("client19", ["marker"])
            try await upstream.wait(for: 1, subscriptionsTo: ["news", "marker"])

            try await checker.unsubscribe("client18", ["news"])
            try checker.command("vanish", "client19")
            try await upstream.wait(for: 0, subscriptionsTo: ["news", "marker"])

            try await checker.subscribe("client18", ["news"])
            try await upstream.wait(for: 1, subscriptionsTo: ["news"])
            try await upstream.publish("1", to: "news")
            #expect(try await checker.message("client18", "news") == 1)
            try await instance.stop()
        }
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `the server serves while its broker is unreachable, and shares when it comes`() async throws {
        let upstream = try await MQTTUpstream()
        try await upstream.server.stop()
        let pair = try await InstancePair(over: upstream)
        let checker = try Checker()
        try await checker.open("a", pair.one.url)
        try await checker.open("b", pair.two.url)
        try await checker.subscribe("a", ["news"])
        try await checker.subscribe("b", ["news"])
        try await checker.publish("a", "news", "before")
        #expect(try await checker.message("a", "news") == "before")

        try await upstream.server.restart()
        try await pair.flow(checker, from: "a", to: "b", "news")
        try await pair.flow(checker, from: "b", to: "a", "news")
        try await pair.stop()
    }
}
