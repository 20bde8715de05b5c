import LinkspanBridgeKit
import LinkspanCore
import TestSupport
import Testing

@testable import LinkspanServer

/// Why a message goes where it goes.
@Suite struct ChannelRouteTests {
    private static func settings() -> LinkspanSettings {
        var settings = LinkspanSettings.scripted("x") { rule in
            rule.include = ["plant/**", "chat"]
            rule.exclude = ["plant/internal/*"]
            rule.transit = ["second"]
            rule.events = [.publish, .subscribe, .unsubscribe]
        }
        var second = BridgeRule(name: "second", upstream: "u")
        second.direction = .ingress
        second.interest = .always
        second.include = ["plant/**"]
        second.guarantee = .atLeastOnce
        settings.bridges.append(second)
        var third = BridgeRule(name: "third", upstream: "u")
        third.direction = .egress
        third.events = [.subscribe]
        settings.bridges.append(third)
        return settings
    }

    private static func routes(_ channel: ChannelName) throws -> [ChannelRoute] {
        try BridgeHost.routes(of: channel, in: self.settings(), bridges: [ScriptedBridge.self])
    }

    @Test func `every bridge tells what it does with a channel`() throws {
        let routes = try Self.routes("plant/1")
        #expect(routes.map(\.bridge) == ["b", "second", "third"])
        #expect(routes.map(\.name) == ["sc/plant/1", "sc/plant/1", "sc/plant/1"])
        #expect(routes.map(\.egress) == [.carried, .notCarried("direction in"), .notCarried("events has no publish")])
        #expect(routes.map(\.ingress) == [.carried, .carried, .notCarried("direction out")])
        #expect(routes.map(\.carriesOnward) == [["second"], [], []])
        #expect(routes.map(\.isMirrored) == [true, false, true])
        #expect(routes[1].guarantee == .atLeastOnce && routes[1].interest == .always && routes[1].link == nil)
    }

    @Test(arguments: [
        ("plant/internal/ops", "channels.exclude has plant/internal/*"),
        ("other", "no glob of channels.include matches"),
        ("$linkspan/probe", "reserved for the instances themselves"),
        (
            "plant/" + String(repeating: "a", count: 60),
            "its name would be longer than the 64 bytes of the broker"
        ),
    ])
    func `what keeps a channel from a bridge is named`(_ channel: String, _ reason: String) throws {
        let route = try Self.routes(ChannelName(channel))[0]
        #expect(route.egress == .notCarried(reason) && route.ingress == .notCarried(reason))
        #expect(route.carriesOnward.isEmpty)
    }

    @Test func `a channel that only one of two carries does not come by the other`() throws {
        #expect(try Self.routes("chat")[0].carriesOnward.isEmpty)
    }

    @Test func `settings that are wrong are told, not explained`() {
        var settings = Self.settings()
        settings.bridges[0].nameTemplate = "nothing"
        #expect(throws: ConfigurationError.self) {
            try BridgeHost.routes(of: "a", in: settings, bridges: [ScriptedBridge.self])
        }
    }

    @Test func `running bridges tell how they stand and whether the channel is subscribed`() async throws {
        let name = uniqueUpstream()
        let settings = LinkspanSettings.scripted(name) { $0.probe = ProbeSettings() }
        try await HostUnderTest(settings, upstream: name).running { host in
            _ = try await host.connected()
            #expect(
                host.host.routes(of: "a")[0].link
                    == ChannelRoute.Link(state: .up, egress: .suspect, ingress: .suspect, isWanted: false))
            host.host.channelSubscribed("a")
            #expect(host.host.routes(of: "a")[0].link?.isWanted == true)
        }
    }
}
