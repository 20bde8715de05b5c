internal import Foundation
internal import TestSupport
internal import Testing

/// `linkspan explain`, offline and against a real `linkspan serve`.
struct ExplainCommandTests {
    private static func file(port: Int) throws -> String {
        let text = """
            version: 1
            instance: { id: edge-1 }
            server:
              clients: { host: 127.0.0.1, port: 0 }
              operator: { port: \(port), key: "0123456789abcdef0123456789abcdef" }
            brokers:
              hub: { type: mqtt, urls: ["mqtt://127.0.0.1:1"] }
            bridges:
              plant: { broker: hub, channels: ["plant/**"], retry: { initial: 10ms, max: 10ms } }
              audit: { broker: hub, channels: ["**"], direction: out, name: "audit/{channel}" }
            """
        return try TestFolder("explain").write(text, to: "bridges.yaml")
    }

    @Test func `explain reads the file alone, and asks the running instance when told to`() async throws {
        let file = try Self.file(port: TestPorts.next())
        let offline = try await Program.run("explain", "--config", file, "plant/1")
        #expect(offline.exit == .status(0), "\(offline.errors)")
        #expect(
            offline.output == [
                "plant/1", "", "plant  mqtt hub", "  name  sc/plant/1",
                "  out   at_most_once, what is published here, up to 4 hops",
                "  in    at_most_once, while somebody listens here", "", "audit  mqtt hub", "  name  audit/plant/1",
                "  out   at_most_once, what is published here, up to 4 hops", "  in    no: direction out",
            ])
        #expect(try await Program.run("explain", "--config", file, "--live", "chat").exit == .status(69))

        let serve = try Program.start("serve", "--config", file)
        _ = try await serve.errors.first("start of the operator port") { $0.contains("Serving operators") }
        let live = try await Program.run("explain", "--config", file, "--live", "--json", "chat/ü &1")
        #expect(live.exit == .status(0), "\(live.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(live.output.joined().utf8)) as? [String: Any])
        #expect(report["channel"] as? String == "chat/ü &1")
        let bridges = try #require(report["bridges"] as? [[String: Any]])
        #expect(bridges.map { $0["out"] as? Bool } == [false, true])
        #expect(bridges[0]["why_not_in"] as? String == "no glob of channels.include matches")
        #expect(bridges[1]["out_proof"] as? String == "broken")
        #expect(try await serve.stop() == .status(0))
    }

    @Test func `explain names the group that shares a channel, and what carries it onward`() async throws {
        let text = """
            version: 1
            instance: { id: edge-1 }
            brokers:
              hub: { type: mqtt, urls: ["mqtt://127.0.0.1:1"] }
            bridges:
              devices: { broker: hub, channels: ["device/**"], direction: in, consume: one_of }
              bus: { broker: hub, channels: ["device/**"], name: "bus/{channel}", transit: [devices] }
            """
        let file = try TestFolder("explain-group").write(text, to: "bridges.yaml")
        let told = try await Program.run("explain", "--config", file, "device/1")
        #expect(told.exit == .status(0), "\(told.errors)")
        #expect(told.output.contains("  in    at_most_once, always, one of group devices"), "\(told.output)")
        #expect(
            told.output.contains(
                "  out   at_most_once, what is published here, and what comes by devices, up to 4 hops"),
            "\(told.output)")
    }

    @Test func `a wrong file is told as check tells it`() async throws {
        let file = try TestFolder("explain").write("version: 1\nbridges: { a: { brokr: b } }\n", to: "bridges.yaml")
        let run = try await Program.run("explain", "--config", file, "news")
        #expect(run.exit == .status(78))
        #expect(run.errors.contains { $0.contains("unknown key \"brokr\"") })
    }
}
