internal import Foundation
internal import Glibc
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// Who listens, as a service at the broker hears it, when instances die without a word.
@Suite(.serialized)
struct OccupancyTests {
    private static let bridges = """
          up:
            broker: up
            events: [publish, subscribe, unsubscribe]
            retry: { initial: 50ms, max: 500ms }
            probe: { every: 500ms, deadline: 4s }
        """

    /// The same with a second bridge to the same broker, which hears all that the first one hears.
    private static let twoBridges =
        bridges.replacing("    events:", with: "    channels: [news, chat]\n    events:")
        + "\n"
        + bridges.replacing("  up:", with: "  side:").replacing(
            "    events:", with: "    channels: [\"side/**\"]\n    events:")

    /// Events that a stock subscriber heard, as `subscribe two news` or `unsubscribe two news by one`.
    private func told(_ service: ChildProcess) -> [String] {
        service.output.events.compactMap { line in
            guard let event = try? JSON(parsing: line), let kind = event["event"].string else { return nil }
            let by = event["by"].string.map { " by \($0)" } ?? ""
            return "\(kind) \(event["instance"].string ?? "?") \(event["channel"].string ?? "?")" + by
        }
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `subscriptions of a killed instance are withdrawn by one of the others, once`() async throws {
        let upstream = try await MQTTUpstream()
        let service = try ChildProcess(
            "mosquitto_sub", ["-p", "\(upstream.server.port)", "-t", "sc/$linkspan/events/+"])
        _ = try await eventually("the subscription") { upstream.foreignSubscriptions == 1 ? true : nil }
        let one = try await EmbeddedInstance("one", brokers: upstream.configuration, bridges: Self.twoBridges)
        let other = try await EmbeddedInstance("other", brokers: upstream.configuration, bridges: Self.bridges)
        let two = try await Instance("two", brokers: upstream.configuration, bridges: Self.bridges)
        let checker = try Checker()
        try await checker.open("a", one.url)
        try await checker.subscribe("a", ["news"])
        try await checker.open("b", two.url)
        try await checker.subscribe("b", ["news", "chat"])
        // Whoever came later learns of what was there before: both know of all three subscriptions in the end.
        for (instance, count) in [(one, 2), (other, 3)] {
            _ = try await eventually(within: .seconds(60), "the others' subscriptions") {
                instance.bridge.occupancy?.entryCount == count ? true : nil
            }
        }

        two.process.signal(SIGKILL)
        _ = try await two.process.exit()
        for (instance, count) in [(one, 0), (other, 1)] {
            _ = try await eventually(within: .seconds(90), "the withdrawal") {
                instance.bridge.occupancy?.entryCount == count ? true : nil
            }
        }
        _ = try await eventually(within: .seconds(60), "the second bridge's account") {
            one.host.statuses[1].occupancy?.entryCount == 0 ? true : nil
        }
        let withdrawals = try await eventually(within: .seconds(60), "the service hears it") { () -> [String]? in
            let told = self.told(service).filter { $0.hasPrefix("unsubscribe") }
            return told.count >= 2 ? told.sorted() : nil
        }
        #expect(withdrawals == ["unsubscribe two chat by one", "unsubscribe two news by one"])
        #expect(one.bridge.occupancy?.withdrawnCount == 2 && other.bridge.occupancy?.withdrawnCount == 0)
        #expect(one.host.statuses[1].occupancy?.withdrawnCount == 0, "its first bridge has done it")
        one.expectBalance()
        other.expectBalance()
        try await one.stop()
        try await other.stop()
        try await service.stop()
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `when the only instance is killed, its next run takes back what nobody is subscribed to any more`()
        async throws
    {
        let upstream = try await MQTTUpstream()
        let service = try ChildProcess(
            "mosquitto_sub", ["-p", "\(upstream.server.port)", "-t", "sc/$linkspan/events/+"])
        _ = try await eventually("the subscription") { upstream.foreignSubscriptions == 1 ? true : nil }
        let folder = try TestFolder("journal")
        let server = "  data: \(folder.path)"
        let one = try await Instance("one", brokers: upstream.configuration, bridges: Self.bridges, server: server)
        let checker = try Checker()
        try await checker.open("a", one.url)
        try await checker.subscribe("a", ["news", "chat"])
        let journal = folder.file("occupancy/one/up")
        _ = try await eventually("the journal") {
            let text = (try? String(contentsOfFile: journal, encoding: .utf8)) ?? ""
            return text.contains("news") && text.contains("chat") ? true : nil
        }
        one.process.signal(SIGKILL)
        _ = try await one.process.exit()
        let again = try await Instance(
            "one", brokers: upstream.configuration, bridges: Self.bridges, server: server, port: one.port)
        try await checker.open("b", again.url)
        try await checker.subscribe("b", ["news"])
        _ = try await service.output.first("what is taken back") {
            $0.contains(#""channel":"chat","event":"unsubscribe","instance":"one""#)
        }
        let told = self.told(service)
        #expect(told.filter { $0.hasPrefix("unsubscribe") } == ["unsubscribe one chat"], "\(told)")
        try await again.stop()
        try await service.stop()
    }
}
