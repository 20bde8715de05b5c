internal import Foundation
internal import TestSupport
internal import Testing

/// Buffers on disk, with the real program and real brokers.
@Suite(.serialized)
struct BufferTests {
    /// An instance that keeps what it cannot send in `folder`, so that another one can take over from it.
    private func sender(
        over upstream: any Upstream, _ folder: TestFolder, ack: String = "local", fileBlocks: Int? = nil
    ) async throws -> Instance {
        try await Instance(
            "sender", brokers: upstream.durable,
            bridges: """
                  up:
                    broker: up
                    guarantee: at_least_once
                    ack: \(ack)
                    buffer: { type: disk, size: 64MiB, when_full: block }
                    retry: { initial: 100ms, max: 500ms }
                """, server: "  data: \(folder.path)", fileBlocks: fileBlocks)
    }

    private func receiver(over upstream: any Upstream) async throws -> Instance {
        try await Instance(
            "receiver", brokers: upstream.durable,
            bridges: """
                  up: { broker: up, guarantee: at_least_once, interest: always, retry: { initial: 100ms, max: 500ms } }
                """)
    }

    /// A sender whose broker is gone.
    private func stranded(
        over upstream: any Upstream, _ folder: TestFolder, ack: String = "local", fileBlocks: Int? = nil
    ) async throws -> Instance {
        let sender = try await self.sender(over: upstream, folder, ack: ack, fileBlocks: fileBlocks)
        try await sender.wait(forBridge: "up")
        try await upstream.server.kill()
        try await sender.wait(forBridge: "waiting")
        return sender
    }

    /// Kills `first`, lets its broker return, has a receiver listen to `channels` as client `b`, and starts an instance in the place of `first`.
    private func replace(
        _ first: Instance, over upstream: any Upstream, _ folder: TestFolder, _ checker: Checker, _ channels: [String]
    ) async throws -> (second: Instance, receiver: Instance) {
        first.process.signal(SIGKILL)
        _ = try await first.process.exit()
        try await upstream.server.restart()
        let receiver = try await self.receiver(over: upstream)
        try await receiver.wait(forBridge: "up")
        try await checker.open("b", receiver.url)
        try await checker.subscribe("b", channels)
        try await upstream.hears(receiver)
        return (try await self.sender(over: upstream, folder), receiver)
    }

    /// Waits until the buffer of the sender holds `count` messages, all of them written.
    private func written(_ count: Int, by sender: Instance) async throws {
        _ = try await eventually("\(count) messages on disk") {
            let bridge = try await sender.bridge()
            return bridge["egress"]["buffered"].int == count && bridge["buffer"]["unwritten"] == 0 ? true : nil
        }
    }

    @Test(arguments: [UpstreamKind.mqtt, .redis])
    func `an instance killed while its broker is away sends everything after its restart, each message once`(
        _ kind: UpstreamKind
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withFaults { upstream in
            let folder = try TestFolder("buffer")
            let channels = (0..<5).map { "disk/\($0)" }
            let first = try await self.stranded(over: upstream, folder)
            let checker = try Checker()
            try await checker.open("a", first.url)
            try await checker.flood("a", label: "disk", channels: channels, each: 200)
            try await self.written(1005, by: first)
            #expect(try await first.bridge().isBalanced)
            let (second, receiver) = try await self.replace(first, over: upstream, folder, checker, channels)
            let report = try await checker.collect("b", labels: ["disk"], channels: channels, each: 200)
            #expect(report == .complete(1000))
            let bridge = try await eventually("an empty buffer") { () -> JSON? in
                let bridge = try await second.bridge()
                return bridge["egress"]["confirmed"] == 1005 ? bridge : nil
            }
            #expect(bridge["buffer"]["recovered"] == 1005 && bridge.isBalanced, "\(bridge)")
            try await second.stop()
            try await receiver.stop()
        }
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `what was acknowledged as buffered survives a kill at that very moment`() async throws {
        let upstream = try await MQTTUpstream()
        let folder = try TestFolder("buffered")
        let channels = (0..<5).map { "acked/\($0)" }
        let first = try await self.stranded(over: upstream, folder, ack: "buffered")
        let receipt = try await Instance.run("publish", "--url", first.url, "--receipt", "other", "1")
        #expect(receipt.count == 1 && receipt[0].hasPrefix(#"{"id":"sender/"#), "\(receipt)")
        #expect(receipt[0].hasSuffix(#"/1","bridges":{"up":"buffered"}}"#), "\(receipt)")
        let checker = try Checker()
        try await checker.open("a", first.url)
        // Returns when the last one is answered.
        try await checker.flood("a", label: "acked", channels: channels, each: 400)
        let (second, receiver) = try await self.replace(first, over: upstream, folder, checker, channels)
        let report = try await checker.collect("b", labels: ["acked"], channels: channels, each: 400)
        #expect(report == .complete(2000))
        try await second.stop()
        try await receiver.stop()
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested && ChildProcess.find("prlimit") != nil))
    func `a full disk is a state with a name, and loses nothing once there is room`() async throws {
        let upstream = try await MQTTUpstream()
        let folder = try TestFolder("full")
        // Files may have 512 KiB, and the first one would have 4 MiB.
        let sender = try await self.stranded(over: upstream, folder, fileBlocks: 512)
        let checker = try Checker()
        try await checker.open("a", sender.url)
        let channels = (0..<5).map { "full/\($0)" }
        try await checker.flood("a", label: "full", channels: channels, each: 2000)
        let failing = try await eventually("a failing buffer") { () -> JSON? in
            let bridge = try await sender.bridge()
            return bridge["buffer"]["state"] == "failing" ? bridge : nil
        }
        #expect(failing["buffer"]["unwritten"].int ?? 0 > 0 && failing.isBalanced, "\(failing)")
        #expect(failing["egress"]["buffered"] == 10005)
        let lines = try await sender.process.errors.first(within: .seconds(60), "a log line") {
            $0.contains("Disk buffer cannot be written") && $0.contains("File too large")
        }
        #expect(lines.event.contains("level=error") || lines.event.contains("error"))

        try await ChildProcess.run("prlimit", ["--pid", "\(sender.process.identifier)", "--fsize=unlimited"])
        _ = try await eventually("a buffer that is written again") {
            try await sender.bridge()["buffer"]["state"] == "ready" ? true : nil
        }
        try await self.written(10005, by: sender)
        try await upstream.server.restart()
        let end = try await eventually("an empty buffer") { () -> JSON? in
            let bridge = try await sender.bridge()
            return bridge["egress"]["confirmed"] == 10005 ? bridge : nil
        }
        #expect(end.isBalanced && end["egress"]["recovered"] == .null, "\(end)")
        try await sender.stop()
    }
}

extension Upstream {
    /// The broker with settings that keep the promise `at_least_once`.
    fileprivate var durable: String {
        Self.kind == .redis
            ? self.configuration.replacing("redis: {", with: "redis: { mode: streams,") : self.configuration
    }

    /// Waits until the broker hands on to `instance` what a third one sends.
    fileprivate func hears(_ instance: Instance) async throws {
        let bridges = "  up: { broker: up, guarantee: at_least_once, retry: { initial: 100ms, max: 500ms } }"
        let prober = try await Instance("prober", brokers: self.durable, bridges: bridges)
        let checker = try Checker()
        try await checker.open("there", instance.url)
        try await checker.subscribe("there", ["probe"])
        try await checker.open("here", prober.url)
        _ = try await eventually("the broker delivers") {
            try await checker.publish("here", "probe", "hello")
            return checker.messages("there", "probe").isEmpty ? nil : true
        }
        try await prober.stop()
    }
}
