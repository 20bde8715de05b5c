import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import TestSupport
import Testing

/// `consume: one_of`: what the host makes of it, whatever the upstream.
@Suite struct BridgeHostGroupTests {
    private func problems(_ settings: LinkspanSettings) -> [String] {
        do throws(ConfigurationError) {
            try BridgeHost.check(settings, bridges: [ScriptedBridge.self])
            return []
        } catch {
            return error.problems.map { "\($0.path): \($0.message)" }
        }
    }

    private func settings(_ change: (inout BridgeRule) -> Void = { _ in }) -> LinkspanSettings {
        .scripted("x") { rule in
            rule.direction = .ingress
            rule.interest = .always
            rule.consumption = .oneOf(group: "workers")
            change(&rule)
        }
    }

    @Test func `a bridge that only receives may share`() {
        #expect(self.problems(self.settings()).isEmpty)
        #expect(self.problems(self.settings { $0.interest = .onDemand }).isEmpty)
    }

    @Test func `what a group cannot do is refused`() {
        let wrong = self.settings { rule in
            rule.direction = .both
            rule.events = [.publish, .subscribe]
            rule.repair = RepairSettings()
            rule.consumption = .oneOf(group: "a/b")
            rule = rule.link(to: "u")
        }
        #expect(
            self.problems(wrong) == [
                "bridges.b@u.group: no group can be called \"a/b\"",
                "bridges.b@u.consume: consume: one_of needs direction: in, since what this instance published would come back to any "
                    + "one of the group",
                "bridges.b@u.events: consume: one_of takes messages only, and tells the broker nothing of who listens",
                "bridges.b@u.repair: consume: one_of leaves no instance a whole sequence, so none sees what is missing",
                "bridges.b@u.brokers: consume: one_of takes one broker: each of several would choose another instance",
            ])
    }

    @Test func `a broker that cannot choose is refused`() {
        var settings = self.settings()
        settings.upstreams["u"]?.username = "alone"
        #expect(
            self.problems(settings) == [
                "bridges.b.consume: broker \"u\", as configured, gives every instance everything"
            ])
    }

    @Test func `a group that takes everything wants everything`() {
        var settings = self.settings()
        settings.upstreams["u"]?.username = "whole"
        #expect(self.problems(settings).isEmpty)
        settings.bridges[0].interest = .onDemand
        #expect(
            self.problems(settings) == [
                "bridges.b.interest: with consume: one_of broker \"u\" gives an instance messages of any channel, so it takes "
                    + "interest: always"
            ])
    }

    @Test func `a bridge is told the group and what every instance has to hear, and asks for that beside the rest`()
        async throws
    {
        let name = uniqueUpstream()
        let settings = LinkspanSettings.scripted(name) { rule in
            rule.direction = .ingress
            rule.interest = .always
            rule.consumption = .oneOf(group: "workers")
            rule.probe = ProbeSettings()
        }
        try await HostUnderTest(settings, upstream: name).running { host in
            let run = try await host.connected()
            #expect(run.settings.consumerGroup == "workers")
            let interest = run.link.takeWork(upTo: 10).interest
            #expect(interest == [.subscribe(.prefix("sc/")), .subscribe(.exact("sc/$linkspan/probe"))])
            let shared = interest.map { change in
                guard case .subscribe(let filter) = change else { return false }
                return run.settings.isShared(filter)
            }
            #expect(shared == [true, false])
            #expect(host.status.group == "workers")
        }
    }

    @Test func `how far a sender got is nothing to who sees a part of it`() async throws {
        let name = uniqueUpstream()
        let settings = LinkspanSettings.scripted(name) { rule in
            rule.direction = .ingress
            rule.interest = .always
            rule.consumption = .oneOf(group: "workers")
        }
        try await HostUnderTest(settings, upstream: name).running { host in
            let run = try await host.connected()
            let mark = SequenceMark(channel: "a", origin: Origin(instance: .other, epoch: 1, sequence: 3))
            let json = MarkMessage(sender: .other, marks: [mark]).json
            await run.link.deliver([IngressMessage(name: "sc/$linkspan/marks", payload: json)])
            #expect(host.acceptor.marks.count == 0 && host.status.ingress.received == 0 && host.isBalanced)
        }
    }
}
