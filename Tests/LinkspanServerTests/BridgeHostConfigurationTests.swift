import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Testing

@Suite struct BridgeHostConfigurationTests {
    private func problems(_ settings: LinkspanSettings) -> [String] {
        do throws(ConfigurationError) {
            try BridgeHost.check(settings, bridges: [ScriptedBridge.self])
            return []
        } catch {
            return error.problems.map { "\($0.path): \($0.message)" }
        }
    }

    @Test func `good settings have no problems`() {
        #expect(self.problems(.scripted("x")).isEmpty)
    }

    @Test func `every problem is reported at once`() {
        var settings = LinkspanSettings.scripted("x") { rule in
            rule.include = ["ok/**", "bad\\"]
            rule.exclude = [""]
            rule.nameTemplate = "no place"
            rule.transit = ["nowhere"]
        }
        settings.bridges.append(BridgeRule(name: "b", upstream: "missing"))
        settings.upstreams["carrier"] = UpstreamSettings(type: "pigeon", urls: [])
        settings.bridges.append(BridgeRule(name: "c", upstream: "carrier"))
        #expect(
            self.problems(settings) == [
                "bridges.b.channels.include[1]: the pattern ends with a lone `\\`",
                "bridges.b.channels.exclude[0]: a pattern may not be empty",
                "bridges.b.transit[0]: there is no bridge \"nowhere\"",
                "bridges.b.name: the template has no {channel}",
                "bridges.b.broker: there is no broker \"missing\"",
                "brokers.carrier.type: there is no bridge of type \"pigeon\"",
                "bridges.b: two bridges have this name",
            ])
    }

    @Test func `a rule that needs subscriptions by pattern is refused where the broker has none`() {
        var settings = LinkspanSettings.scripted("x") { rule in
            rule.include = ["news", "plant/**"]
            rule.interest = .always
        }
        #expect(self.problems(settings).isEmpty)
        settings.upstreams["u"]?.username = "exact"
        #expect(
            self.problems(settings) == [
                "bridges.b.interest: broker \"u\" has no subscriptions by pattern, and plant/** is one"
            ])
        settings.bridges[0].include = ["news"]
        #expect(self.problems(settings).isEmpty)
        settings.bridges[0].include = ["plant/**"]
        settings.bridges[0].interest = .onDemand
        #expect(self.problems(settings).isEmpty)
        settings.bridges[0].interest = .always
        settings.bridges[0].direction = .egress
        #expect(self.problems(settings).isEmpty)
    }

    @Test func `a broker's faults are reported once however many rules use it`() {
        var settings = LinkspanSettings.scripted("x")
        settings.upstreams["u"]?.username = "nobody"
        settings.bridges.append(BridgeRule(name: "c", upstream: "u"))
        #expect(
            self.problems(settings) == [
                "brokers.u.scripted.header: first fault", "brokers.u.scripted.stubborn: second fault",
            ])
        settings.upstreams["u"]?.urls = [UpstreamURL(scheme: "http", host: "x", port: 1)]
        settings.upstreams["u"]?.options["header"] = nil
        #expect(
            self.problems(settings) == [
                "brokers.u.urls[0]: scripted has no scheme \"http\"", "brokers.u.scripted.header: has no value",
            ])
        settings.upstreams["u"]?.urls = []
        #expect(self.problems(settings).first == "brokers.u.urls: a broker needs at least one URL")
    }

    @Test func `there are at most as many bridges as transit has bits`() {
        var settings = LinkspanSettings.scripted("x")
        settings.bridges = (0..<65).map { BridgeRule(name: "b\($0)", upstream: "u") }
        #expect(self.problems(settings) == ["bridges: 65 bridges, but an instance has at most 64"])
    }

    @Test func `a bridge is told which ways it is used`() async throws {
        let name = uniqueUpstream()
        let host = try HostUnderTest(
            .scripted(name) { rule in
                rule.direction = .ingress
                rule.guarantee = .atLeastOnce
            }, upstream: name)
        try await host.running { host in
            let settings = try await host.upstream.run(0).settings
            #expect(
                settings.receives && !settings.sends && settings.guarantee == .atLeastOnce && settings.instance == .own)
        }
    }
}

@Suite struct BridgeHostRouteTests {
    private func host(_ settings: LinkspanSettings) throws -> HostUnderTest {
        try HostUnderTest(settings, upstream: "unused")
    }

    @Test func `a channel leaves by every rule that selects it`() throws {
        var settings = LinkspanSettings.scripted("x") { $0.include = ["plant/**"] }
        var second = BridgeRule(name: "c", upstream: "u")
        second.exclude = ["plant/internal/**"]
        second.nameTemplate = "all/{channel}"
        settings.bridges.append(second)
        let host = try self.host(settings).host
        #expect(
            host.egressRoutes(for: "plant/1") == [
                EgressRoute(bridge: BridgeIndex(0), name: "sc/plant/1"),
                EgressRoute(bridge: BridgeIndex(1), name: "all/plant/1"),
            ])
        #expect(host.egressRoutes(for: "plant/internal/x").map(\.bridge) == [BridgeIndex(0)])
        #expect(host.egressRoutes(for: "a#b").map(\.name) == ["all/a%23b"])
    }

    @Test func `reserved channels and rules that only take in or only mirror have no route`() throws {
        #expect(try self.host(.scripted("x")).host.egressRoutes(for: "$linkspan/probe").isEmpty)
        #expect(try self.host(.scripted("x") { $0.direction = .ingress }).host.egressRoutes(for: "a").isEmpty)
        #expect(try self.host(.scripted("x") { $0.events = [.subscribe] }).host.egressRoutes(for: "a").isEmpty)
    }

    @Test func `a channel that cannot be named there has a route without a name`() throws {
        let long = ChannelName(String(repeating: "a", count: 64))
        #expect(
            try self.host(.scripted("x")).host.egressRoutes(for: long) == [
                EgressRoute(bridge: BridgeIndex(0), name: nil)
            ])
    }

    @Test func `transit has a bit for each bridge named, and never its own`() throws {
        var settings = LinkspanSettings.scripted("x")
        for name in ["c", "d"] { settings.bridges.append(BridgeRule(name: name, upstream: "u")) }
        settings.bridges[1].transit = ["b", "d", "c"]
        #expect(try self.host(settings).host.egressRoutes(for: "a").map(\.transit) == [0, 0b101, 0])
    }
}
