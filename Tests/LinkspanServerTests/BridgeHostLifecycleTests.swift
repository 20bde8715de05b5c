import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import ServiceLifecycle
import TestSupport
import Testing

@Suite struct BridgeHostLifecycleTests {
    private func host(
        _ rule: (inout BridgeRule) -> Void = { _ in }, drainLimit: Duration = .seconds(5), options: [String: Bool] = [:]
    ) throws -> HostUnderTest {
        let name = uniqueUpstream()
        return try HostUnderTest(
            .scripted(name, options: options, rule: rule), upstream: name, drainLimit: drainLimit)
    }

    @Test func `after a loss the bridge comes back with its whole interest, and what was in flight is counted`()
        async throws
    {
        try await self.host { $0.retryInitial = .milliseconds(400) }.running { host in
            let run = try await host.connected()
            for channel in ["a", "b", "c"] { host.host.channelSubscribed(ChannelName(channel)) }
            _ = run.link.takeWork(upTo: 10)
            host.offer(.test("1"), .test("2"), .test("3"))
            _ = run.link.takeWork(upTo: 2)
            run.link.confirm(1...1)
            run.fail(.lost, "broken pipe")

            let retry = try await host.time.sleeps.first("a retry pause") { $0 != HostTime.tick }
            #expect(retry.event >= .milliseconds(400))
            #expect(host.status.state == .waiting && host.status.lastError == "broken pipe")
            #expect(host.status.retryDelay == retry.event)
            #expect(host.status.egress.dropped[.linkLost] == 1 && host.isBalanced)
            host.offer(.test("4"))
            host.time.advance(by: retry.event)

            let second = try await host.connected(1)
            let work = second.link.takeWork(upTo: 10)
            #expect(Set(work.interest.ofChannels) == Set(["a", "b", "c"].map { .subscribe(.exact("sc/\($0)")) }))
            #expect(work.texts == ["3", "4"])
            run.link.confirm(3...4)
            #expect(host.status.egress.inFlight == 2, "a conversation that ended has no say any more")
            second.link.confirm(3...4)
            #expect(host.status.egress.confirmed == 3 && host.isBalanced)
            #expect(host.status.state == .up && host.status.connects == 2 && host.status.failures == 1)
            #expect(host.status.lastError == nil && host.status.facts?.product == "script")
        }
    }

    @Test func `at least once sends again what was in flight, in order`() async throws {
        try await self.host { $0.guarantee = .atLeastOnce }.running { host in
            let run = try await host.connected()
            host.offer(.test("1"), .test("2"), .test("3"))
            _ = run.link.takeWork(upTo: 10)
            run.link.confirm(2...2)
            run.fail(.silent, "no answer")
            _ = try await host.time.skipRetry()
            let second = try await host.connected(1)
            #expect(second.link.takeWork(upTo: 10).texts == ["1", "3"])
            #expect(host.status.egress.dropped.total == 0 && host.isBalanced)
        }
    }

    @Test func `all URLs are tried in turn before the pace slows`() async throws {
        let first = uniqueUpstream()
        let second = uniqueUpstream("b")
        let host = try HostUnderTest(.scripted(first, second), upstream: first)
        try await host.running { host in
            try await host.upstream.run(0).fail(.unreachable, "refused")
            let (delay, next) = try await host.time.skipRetry()
            #expect(delay <= .milliseconds(500))
            let run = try await ScriptedUpstream.named(second).run(0)
            run.link.connected(UpstreamFacts())
            #expect(host.status.upstream == "scripted://\(second):1" && host.status.state == .up)
            run.fail(.lost, "gone")
            _ = try await host.time.skipRetry(from: next)
            _ = try await host.upstream.run(1)
        }
    }

    @Test
    func `a bridge at a later URL returns to the preferred one when that is back, and settles first what is under way`()
        async throws
    {
        let preferred = uniqueUpstream()
        let spare = uniqueUpstream("b")
        let host = try HostUnderTest(.scripted(preferred, spare), upstream: preferred)
        try await host.running { host in
            try await host.upstream.run(0).fail(.unreachable, "refused")
            _ = try await host.time.skipRetry()
            let run = try await ScriptedUpstream.named(spare).run(0)
            run.link.connected(UpstreamFacts())
            host.offer(.test("1"), .test("2"))
            #expect(run.link.takeWork(upTo: 1).texts == ["1"])

            let look = try await host.time.sleeps.first("a look") { $0 == HostTime.look }
            host.time.advance(by: HostTime.look)
            let second = try await host.time.sleeps.first(from: look.index + 1, "the next look") { $0 == HostTime.look }
            #expect(host.status.state == .up, "nothing listens at the preferred URL")

            host.reachable.append(preferred)
            host.time.advance(by: HostTime.look)
            _ = try await host.time.sleeps.first(from: second.index + 1, "the wait for what is under way") {
                $0 == .seconds(5)
            }
            #expect(run.link.takeWork(upTo: 10).texts == [])
            #expect(run.farewells.events == [])
            run.link.confirm(1...1)
            let again = try await host.connected(1)
            #expect(run.farewells.events == [true])
            #expect(host.status.upstream == "scripted://\(preferred):1" && host.status.failures == 1)
            #expect(again.link.takeWork(upTo: 10).texts == ["2"])
            #expect(host.status.egress.dropped.total == 0 && host.isBalanced)
        }
    }

    @Test func `a preferred URL that fails at once is looked at less often`() async throws {
        let preferred = uniqueUpstream()
        let spare = uniqueUpstream("b")
        let host = try HostUnderTest(.scripted(preferred, spare), upstream: preferred)
        host.reachable.append(preferred)
        try await host.running { host in
            try await host.upstream.run(0).fail(.unreachable, "refused")
            var (_, next) = try await host.time.skipRetry()
            for attempt in 0..<3 {
                try await ScriptedUpstream.named(spare).run(attempt).link.connected(UpstreamFacts())
                let pause = HostTime.look * (1 << attempt)
                next = try await host.time.sleeps.first(from: next, "a look") { $0 == pause }.index + 1
                host.time.advance(by: pause)
                try await host.upstream.run(attempt + 1).fail(.refused, "not yet")
                let retry = try await host.time.sleeps.first(from: next, "a retry") { $0 < .seconds(1) }
                next = retry.index + 1
                host.time.advance(by: retry.event)
            }
        }
    }

    @Test func `a refused password waits at the slowest pace`() async throws {
        try await self.host { $0.retryMaximum = .seconds(60) }.running { host in
            try await host.upstream.run(0).fail(.refused, "bad password")
            #expect(try await host.time.skipRetry().delay >= .seconds(45))
            _ = try await host.upstream.run(1)
        }
    }

    @Test func `an orderly stop sends what is buffered, then says good-bye`() async throws {
        let host = try self.host()
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: host.host)], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        let running = Task { try await group.run() }
        let run = try await host.connected()
        host.offer(.test("1"), .test("2"))
        _ = run.link.takeWork(upTo: 1)
        await group.triggerGracefulShutdown()
        _ = try await host.time.sleeps.first("the drain") { $0 == .seconds(5) }
        #expect(run.link.takeWork(upTo: 10).texts == ["2"])
        run.link.confirm(1...1)
        #expect(host.status.state == .up, "one message is still in flight")
        run.link.confirm(2...2)
        try await running.value
        #expect(run.farewells.events == [true])
        #expect(host.status.state == .stopped)
        #expect(host.status.egress.confirmed == 2 && host.isBalanced)
        host.offer(.test("3"))
        #expect(host.status.egress.dropped[.stopped] == 1 && host.isBalanced)
    }

    @Test func `draining ends at its limit and counts what is left`() async throws {
        let host = try self.host(drainLimit: .seconds(2))
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: host.host)], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        let running = Task { try await group.run() }
        let run = try await host.connected()
        host.offer(.test("1"), .test("2"), .test("3"))
        _ = run.link.takeWork(upTo: 1)
        await group.triggerGracefulShutdown()
        _ = try await host.time.sleeps.first("the drain") { $0 == .seconds(2) }
        host.time.advance(by: .seconds(2))
        try await running.value
        // In flight when the link closed at most once; waiting ones never left.
        #expect(host.status.egress.dropped[.linkLost] == 1)
        #expect(host.status.egress.dropped[.stopped] == 2 && host.isBalanced)
    }

    @Test func `a bridge that is between two attempts does not hold up the stop`() async throws {
        let host = try self.host()
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: host.host)], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        let running = Task { try await group.run() }
        try await host.upstream.run(0).fail(.unreachable, "refused")
        _ = try await host.time.sleeps.first("a retry pause") { $0 != HostTime.tick }
        host.offer(.test("1"))
        await group.triggerGracefulShutdown()
        try await running.value
        #expect(host.status.egress.dropped[.stopped] == 1 && host.isBalanced)
    }

    @Test func `a bridge that ignores its end is left behind in bounded time`() async throws {
        let host = try self.host(options: ["stubborn": true])
        let running = Task { try await host.host.run() }
        let run = try await host.connected()
        host.offer(.test("1"))
        running.cancel()
        _ = try await host.time.sleeps.first("the farewell") { $0 == .seconds(3) }
        host.time.advance(by: .seconds(3))
        try await running.value
        #expect(host.status.state == .stopped)
        #expect(host.status.egress.dropped[.stopped] == 1 && host.isBalanced)
        #expect(run.link.takeWork(upTo: 10).isEmpty)
        run.fail(.lost, "at last")
    }
}
