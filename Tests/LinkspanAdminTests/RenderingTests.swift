import Foundation
import LinkspanBridgeKit
import LinkspanCore
import LinkspanWire
import Testing

@testable import LinkspanAdmin
@testable import LinkspanServer

/// Snapshots in, texts out.
struct RenderingTests {
    @Test func `readiness waits for the client port and for required bridges only`() {
        #expect(OperatorSnapshot.with([.busy("a", state: .waiting)]).awaited == [])
        #expect(OperatorSnapshot.with([.busy("a", isRequired: true)]).awaited == [])
        for state in [BridgeState.connecting, .waiting, .stopped] {
            let snapshot = OperatorSnapshot.with([.busy("a", isRequired: true, state: state)], isListening: false)
            #expect(snapshot.awaited == ["client port", "bridge a"])
        }
    }

    @Test func `a required bridge is waited for until its directions are proven`() {
        func awaited(_ egress: ProbeState?, _ ingress: ProbeState?) -> [String] {
            var bridge = BridgeStatus.busy("a", isRequired: true)
            bridge.probe = .with(egress, ingress)
            return OperatorSnapshot.with([bridge]).awaited
        }
        #expect(awaited(.proven, .proven) == [] && awaited(.assumed, nil) == [] && awaited(nil, .proven) == [])
        for state in [ProbeState.suspect, .broken] {
            #expect(awaited(state, .proven) == ["bridge a"] && awaited(nil, state) == ["bridge a"])
        }
    }

    @Test func `of a bridge with several brokers one is enough`() {
        let links = ["a@one", "a@two"].map { BridgeStatus.busy($0, isRequired: true) }
        var broken = links
        broken[0].state = .waiting
        #expect(OperatorSnapshot.with(broken).awaited == [])
        broken[1].probe = .with(.broken, .broken)
        #expect(OperatorSnapshot.with(broken).awaited == ["bridge a"])
    }

    @Test func `an instance whose id is in use elsewhere is not ready`() {
        var bridge = BridgeStatus.busy("a")
        let twin = InstanceLife(instance: InstanceID("edge-1")!, epoch: 7, nonce: 0xAB)
        bridge.probe = .with(.proven, .proven, duplicates: [twin])
        let snapshot = OperatorSnapshot.with([bridge])
        #expect(snapshot.awaited == ["instance id"])
        #expect(Self.samples(of: snapshot)["linkspan_duplicate_instance"] == 1)
        let text = StatusText(StatusReport(snapshot)).text
        #expect(text.contains("\n  another instance uses this id, started 7 (ab)\n"))
    }

    @Test func `what probes have shown is in the metrics, the report and its text`() throws {
        var bridge = BridgeStatus.busy("a")
        bridge.probe = .with(.proven, .suspect)
        let samples = Self.samples(of: .with([bridge]))
        let labels = "bridge=\"a\",type=\"mqtt\""
        #expect(samples["linkspan_bridge_proof{\(labels),direction=\"out\",state=\"proven\"}"] == 1)
        #expect(samples["linkspan_bridge_proof{\(labels),direction=\"in\",state=\"proven\"}"] == 0)
        #expect(samples["linkspan_bridge_proof{\(labels),direction=\"in\",state=\"suspect\"}"] == 1)
        #expect(samples["linkspan_bridge_probe_round_trip_microseconds{\(labels)}"] == 1450)
        #expect(samples["linkspan_bridge_peers{\(labels),state=\"proven\"}"] == 1)
        #expect(samples["linkspan_bridge_probe_restarts_total{\(labels)}"] == 1)
        let report = StatusReport(.with([bridge]))
        #expect(try StatusReport(json: report.json()) == report)
        let text = StatusText(report).text
        #expect(text.contains("\n  proof  out proven  in suspect  1.4 ms  sent 9  returned 8  restarts 1\n"))
        #expect(
            text.contains(
                "\n  peer  edge-2  hub  heard proven  hears us unknown  2.0 ms  last 1200 ms ago  missed 3\n"))
    }

    @Test func `promises are in the metrics, the report and its text`() throws {
        let bridge = BridgeStatus.busy("a")
        let samples = Self.samples(of: .with([bridge]))
        for (state, count) in [("kept", 1), ("assumed", 1), ("broken", 0)] {
            #expect(samples["linkspan_bridge_promises{bridge=\"a\",type=\"mqtt\",state=\"\(state)\"}"] == count)
        }
        let report = StatusReport(.with([bridge]))
        #expect(report.bridges[0].promises.map(\.name) == ["session", "persistence"])
        let text = StatusText(report).text
        #expect(text.contains("\n  promise  session  kept: the broker had kept it\n"))
        #expect(text.contains("\n  promise  persistence  assumed: nobody [2J knows\n"), "no escapes of others")
    }

    @Test func `a group that shares what arrives is in the report and its text`() throws {
        var bridge = BridgeStatus.busy("a")
        #expect(StatusReport(.with([bridge])).bridges[0].group == nil)
        bridge.group = "workers"
        let report = StatusReport(.with([bridge]))
        #expect(report.bridges[0].group == "workers")
        #expect(StatusText(report).text.contains("\n  group  workers: one of its instances gets each message\n"))
    }

    @Test func `a broken promise of a required bridge keeps the instance from being ready`() {
        var bridge = BridgeStatus.busy("a", isRequired: true)
        bridge.promises.append(UpstreamPromise("granted_qos", .broken, "QoS 0"))
        #expect(OperatorSnapshot.with([bridge]).awaited == ["bridge a"])
        bridge.enforcesPromises = false
        #expect(OperatorSnapshot.with([bridge]).awaited == [])
    }

    @Test func `metrics show both sums of the ledger, and they hold`() throws {
        let samples = Self.samples(of: .with([.busy("plant")]))
        func value(_ name: String) -> Int {
            samples.filter { $0.key.hasPrefix("linkspan_bridge_\(name){bridge=\"plant\",type=\"mqtt\"") }.values.reduce(
                0, +)
        }
        #expect(value("egress_accepted_total") == 21)
        #expect(
            value("egress_accepted_total")
                == value("egress_confirmed_total") + value("egress_filtered_total") + value("egress_expired_total")
                + value("egress_dropped_total") + value("egress_buffered_messages") + value("egress_in_flight_messages")
        )
        #expect(value("ingress_received_total") == 15)
        #expect(
            value("ingress_received_total")
                == value("ingress_delivered_total") + value("ingress_duplicate_total") + value("ingress_looped_total")
                + value("ingress_refused_total") + value("ingress_held_messages"))
        #expect(
            samples["linkspan_bridge_egress_dropped_total{bridge=\"plant\",type=\"mqtt\",reason=\"buffer_full\"}"] == 3)
        #expect(value("gap_named_messages_total") == value("gap_messages") && value("gap_messages") == 4)
        #expect(samples["linkspan_bridge_gap_messages{bridge=\"plant\",type=\"mqtt\",state=\"final\"}"] == 2)
        #expect(value("repair_answered_total") == 6)
        #expect(samples["linkspan_publishes_total"] == 30)
        #expect(samples["linkspan_ready"] == 1)
    }

    @Test func `every metric is described once, and only counters end in total`() {
        var kinds: [String: String] = [:]
        for line in MetricsText(.with([.busy("a"), .busy("b")])).text.split(separator: "\n")
        where line.hasPrefix("# TYPE") {
            let words = line.split(separator: " ").map(String.init)
            #expect(kinds.updateValue(words[3], forKey: words[2]) == nil, "\(words[2])")
        }
        #expect(kinds.count > 30)
        for (name, kind) in kinds { #expect(name.hasSuffix("_total") == (kind == "counter"), "\(name)") }
    }

    @Test func `hooks show their counts with every reason, in metrics, report and text`() throws {
        var hook = HookStatus(name: "accounts")
        hook.isLeftAlone = true
        hook.asked = 9
        hook.answered = 4
        hook.failures = [.timedOut: 2, .breakerOpen: 1]
        hook.presumed = [.deny: 3]
        hook.waiting = 1
        hook.underWay = 1
        hook.repeated = 5
        var snapshot = OperatorSnapshot.with([])
        snapshot.hooks = [hook]
        let samples = Self.samples(of: snapshot).filter { $0.key.hasPrefix("linkspan_hook_") }
        func value(_ name: String) -> Int? { samples["linkspan_hook_\(name){hook=\"accounts\"}"] }
        #expect(value("left_alone") == 1)
        #expect(value("questions_total") == 9)
        #expect(value("answers_total") == 4)
        #expect(value("repeated_attempts_total") == 5)
        #expect(value("waiting_questions") == 1)
        #expect(value("open_requests") == 1)
        let failures = samples.filter { $0.key.contains("failures_total") }
        #expect(failures.count == HookFailure.allCases.count)
        #expect(failures["linkspan_hook_failures_total{hook=\"accounts\",reason=\"timed_out\"}"] == 2)
        #expect(samples["linkspan_hook_presumed_decisions_total{hook=\"accounts\",decision=\"deny\"}"] == 3)
        let report = StatusReport(snapshot)
        #expect(try StatusReport(json: report.json()) == report)
        #expect(
            StatusText(report).text.hasSuffix(
                """

                accounts  hook  left alone
                  asked 9 = answered 4 + failed 3 + waiting 1 + under way 1
                  failed: breaker_open 1, timed_out 2
                """))
    }

    @Test func `every counter of the server is shown`() {
        var counters = ServerCounters()
        for (index, path) in ServerCounters.paths.enumerated() { counters[keyPath: path] = 1_000_000 + index }
        var snapshot = OperatorSnapshot.with([])
        snapshot.counters = counters
        let shown = Set(Self.samples(of: snapshot).values)
        let missing = ServerCounters.paths.indices.filter { !shown.contains(1_000_000 + $0) }
        #expect(missing.map { "\(ServerCounters.paths[$0])" } == [])
    }

    @Test func `every metric is on its page`() throws {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/metrics.md")
        let text = String(decoding: try Data(contentsOf: page), as: UTF8.self)
        var snapshot = OperatorSnapshot.with([.busy("plant")])
        snapshot.hooks = [HookStatus(name: "accounts")]
        snapshot.certificateEnds = 1
        let names = Set(Self.samples(of: snapshot).keys.map { String($0.prefix { $0 != "{" }) })
        #expect(names.filter { !text.contains("`\($0)`") }.sorted() == [])
    }

    @Test(arguments: [
        ("{\"user\":\"ann\"}", RevokedParty.user("ann")), (" { \"token\" : \"t-1\" } ", .token("t-1")),
    ])
    func `a revocation is of a user or of a token`(_ body: String, _ party: RevokedParty) throws {
        #expect(try RevokeRequest(body: Array(body.utf8)).party == party)
    }

    @Test(arguments: [
        "", "[]", "{}", "{\"user\":1}", "{\"user\":\"\"}", "{\"usr\":\"ann\"}", "{\"user\":\"ann\",\"token\":\"t\"}",
        "{\"user\":null}",
    ])
    func `what is no revocation is refused`(_ body: String) {
        #expect(throws: RevokeRequest.Problem.self) { try RevokeRequest(body: Array(body.utf8)) }
    }

    @Test func `a label with quotes and line breaks stays one label`() {
        let text = MetricsText(.with([.busy("a\"b\\c\nd")])).text
        #expect(text.contains("linkspan_bridge_up{bridge=\"a\\\"b\\\\c\\nd\",type=\"mqtt\"} 1\n"))
    }

    @Test func `a report survives its JSON`() throws {
        let report = StatusReport(.with([.busy("plant", isRequired: true, state: .waiting), .busy("hub")]))
        let json = try report.json()
        #expect(try StatusReport(json: json) == report)
        let text = String(decoding: json, as: UTF8.self)
        #expect(text.contains("\"in_flight\":2"))
        #expect(text.contains("\"buffer_full\":3"))
        #expect(
            text.contains(
                "\"from\":2,\"missing\":2,\"named_at\":1700000000000,\"origin\":\"edge-2\",\"state\":\"final\",\"to\":4"
            ))
        #expect(text.contains("\"retry_ms\":1500"))
        #expect(text.contains("\"awaited\":[\"bridge plant\"]"))
    }

    @Test func `people read states, sums and reasons`() {
        let text = StatusText(StatusReport(.with([.busy("plant", isRequired: true, state: .waiting)]))).text
        #expect(
            text == """
                edge-1  Linkspan 1.2.3  not ready: bridge plant
                clients 2  subscriptions 0  channels 0  published 30  delivered 60

                plant  mqtt  waiting  required  mqtt://127.0.0.1:1883 (mosquitto 2)
                  probes are off
                  promise  session  kept: the broker had kept it
                  promise  persistence  assumed: nobody [2J knows
                  out  accepted 21 = confirmed 6 + filtered 1 + expired 2 + dropped 7 + buffered 3 + in flight 2
                  in   received 15 = delivered 5 + duplicate 4 + looped 3 + refused 2 + held 1
                  gaps named 4 = open 1 + closed 1 + final 2
                    final  news [2J  edge-2/7  2 to 4  missing 2
                    open  news [2J  edge-2/7  9  missing 1
                  repair  repaired 0  sent again 6  remembered 5 (700 bytes)
                  connects 7  failures 8  filters 9  rejected filters 1  buffered bytes 640
                  dropped: buffer_full 3, link_lost 4
                  refused: reserved 2
                  last error: no route [2J
                  pause before the next attempt: 1500 ms
                """)
        #expect(StatusText(StatusReport(.with([])), isColoured: true).text.contains("\u{1B}[32mready\u{1B}[0m"))
    }

    @Test func `a publish keeps its data byte for byte`() throws {
        let request = try Self.request("{ \"channel\": \"n\\u0065ws\", \"data\": { \"a\" : 1.50 } }")
        #expect(request.channel == "news")
        #expect(request.data?.description == "{ \"a\" : 1.50 }")
        #expect(try Self.request("{\"channel\":\"\"}").data == nil)
        #expect(try Self.request("{\"channel\":\"a\",\"data\":null}").data == .null)
    }

    @Test(arguments: [
        "", "[]", "{\"channel\":1}", "{}", "{\"channel\":\"a\"", "{\"channel\":\"a\",\"dta\":1}",
        "{\"channel\":\"$linkspan/probe\",\"data\":1}", "{\"channel\":\"abcdefghi\"}",
        "{\"channel\":\"a\",\"data\":[[[[1]]]]}",
    ])
    func `what is no publish is refused`(_ body: String) {
        #expect(throws: PublishRequest.Problem.self) { try Self.request(body) }
    }

    private static func request(_ body: String) throws -> PublishRequest {
        var limits = LimitSettings()
        limits.channelNameBytes = 8
        limits.jsonDepth = 4
        return try PublishRequest(body: Array(body.utf8), limits: limits)
    }

    private static func samples(of snapshot: OperatorSnapshot) -> [String: Int] {
        var samples: [String: Int] = [:]
        for line in MetricsText(snapshot).text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " ") else { continue }
            samples[String(line[..<space])] = Int(line[line.index(after: space)...])
        }
        return samples
    }
}
