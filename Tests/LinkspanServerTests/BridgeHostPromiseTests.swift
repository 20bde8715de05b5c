import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import TestSupport
import Testing

@Suite struct BridgeHostPromiseTests {
    private static let kept = UpstreamPromise("persistence", .kept, "it writes")
    private static let broken = UpstreamPromise("persistence", .broken, "it forgets")
    private static let assumed = UpstreamPromise("session", .assumed, "it does not tell")

    private func host(_ rule: (inout BridgeRule) -> Void = { _ in }) throws -> HostUnderTest {
        let name = uniqueUpstream()
        let settings = LinkspanSettings.scripted(name) { bridge in
            bridge.guarantee = .atLeastOnce
            bridge.retryMaximum = .seconds(20)
            rule(&bridge)
        }
        return try HostUnderTest(settings, upstream: name)
    }

    @Test func `an upstream that breaks a promise is not used, is told, and is asked again at the slowest pace`()
        async throws
    {
        try await self.host().running { host in
            host.offer(.test("1"))
            let run = try await host.upstream.run(0)
            run.link.connected(UpstreamFacts(product: "weak", promises: [Self.broken, Self.assumed]))
            run.link.onWork {}
            #expect(run.link.takeWork(upTo: 10).isEmpty, "nothing may leave")
            #expect(try await run.farewells.first("the end of the run").event, "it was asked to end")
            let retry = try await host.time.sleeps.first("a retry pause") { $0 != HostTime.tick }.event
            #expect(retry >= .seconds(15))
            #expect(host.status.state == .waiting && !host.status.isReady && host.status.connects == 0)
            #expect(host.status.lastError == "persistence: it forgets")
            #expect(host.status.promises == [Self.broken, Self.assumed])
            #expect(host.status.egress.buffered == 1 && host.isBalanced)

            host.time.advance(by: retry)
            let second = try await host.upstream.run(1)
            #expect(host.status.promises == [Self.broken, Self.assumed], "known until something else is")
            second.link.connected(UpstreamFacts(promises: [Self.kept]))
            #expect(host.status.promises == [Self.kept])
            #expect(second.link.takeWork(upTo: 10).texts == ["1"])
            #expect(host.status.isReady && host.status.lastError == nil)
        }
    }

    @Test func `a promise that a bridge cannot do without is shown after it gave up`() async throws {
        try await self.host().running { host in
            let run = try await host.upstream.run(0)
            run.link.noted(Self.broken)
            run.fail(.promise, "persistence: it forgets")
            _ = try await host.time.skipRetry()
            let second = try await host.upstream.run(1)
            #expect(host.status.promises == [Self.broken] && !host.status.isReady)
            second.link.connected(UpstreamFacts())
            #expect(host.status.promises.isEmpty && host.status.isReady)
        }
    }

    @Test func `with promises reported the upstream is used and told`() async throws {
        try await self.host { $0.promises = .reported }.running { host in
            host.offer(.test("1"))
            let run = try await host.upstream.run(0)
            run.link.connected(UpstreamFacts(promises: [Self.broken]))
            #expect(run.link.takeWork(upTo: 10).texts == ["1"])
            #expect(host.status.isReady && host.status.promises == [Self.broken])
        }
    }

    @Test func `a promise that breaks later costs readiness, not the conversation`() async throws {
        try await self.host().running { host in
            let run = try await host.upstream.run(0)
            run.link.connected(UpstreamFacts(promises: [Self.assumed, Self.kept]))
            #expect(host.status.isReady)
            run.link.noted(UpstreamPromise("session", .broken, "it shrank"))
            #expect(host.status.promises.map(\.state) == [.broken, .kept])
            #expect(host.status.state == .up && !host.status.isReady)
            host.offer(.test("1"))
            #expect(run.link.takeWork(upTo: 10).texts == ["1"])
            run.fail(.lost, "gone")
            _ = try await host.time.skipRetry()
            let second = try await host.upstream.run(1)
            run.link.noted(Self.broken)
            second.link.connected(UpstreamFacts(promises: [Self.kept]))
            #expect(host.status.promises == [Self.kept], "a conversation that ended has no say any more")
        }
    }

    @Test func `a promise found broken while the bridge converses ends that, and one that is kept again is told`()
        async throws
    {
        try await self.host().running { host in
            let run = try await host.upstream.run(0)
            run.link.reviewed([Self.broken])
            #expect(host.status.promises.isEmpty, "nothing was looked at before the upstream accepted us")
            run.link.connected(UpstreamFacts(promises: [Self.kept]))
            run.link.reviewed([Self.kept, Self.assumed])
            #expect(host.status.state == .up && host.status.promises == [Self.kept, Self.assumed])
            host.offer(.test("1"))
            run.link.reviewed([Self.broken])
            #expect(run.link.takeWork(upTo: 10).isEmpty, "nothing may leave any more")
            #expect(try await run.farewells.first("the end of the run").event, "it was asked to end")
            let retry = try await host.time.sleeps.first("a retry pause") { $0 != HostTime.tick }.event
            #expect(retry >= .seconds(15) && host.status.lastError == "persistence: it forgets")
            #expect(host.status.egress.buffered == 1 && host.isBalanced)
            host.time.advance(by: retry)
            let second = try await host.upstream.run(1)
            run.link.reviewed([Self.broken])
            second.link.connected(UpstreamFacts(promises: [Self.kept]))
            #expect(second.link.takeWork(upTo: 10).texts == ["1"] && host.status.isReady)
        }
    }

    @Test func `with promises reported one that breaks while the bridge converses costs readiness only`() async throws {
        try await self.host { $0.promises = .reported }.running { host in
            let run = try await host.upstream.run(0)
            run.link.connected(UpstreamFacts(promises: [Self.kept]))
            run.link.reviewed([Self.broken])
            #expect(host.status.promises == [Self.broken] && host.status.state == .up)
            host.offer(.test("1"))
            #expect(run.link.takeWork(upTo: 10).texts == ["1"])
            run.link.reviewed([Self.kept])
            #expect(host.status.promises == [Self.kept])
        }
    }
}
