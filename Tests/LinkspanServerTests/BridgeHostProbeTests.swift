import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import NIOCore
import TestSupport
import Testing

/// Moves time by whole ticks of the host, each of which has done its work when the next one is waited for.
private struct Ticks {
    let host: HostUnderTest
    private var next = 0

    init(_ host: HostUnderTest) {
        self.host = host
    }

    mutating func pass(_ count: Int) async throws {
        for _ in 0..<count {
            self.next = try await self.waiting() + 1
            self.host.time.advance(by: HostTime.tick)
            _ = try await self.waiting()
        }
    }

    private func waiting() async throws -> Int {
        try await self.host.time.sleeps.first(from: self.next, "a tick") { $0 == HostTime.tick }.index
    }
}

/// Probes between the host and a bridge that does what its test says; every 4 s, deadline 12 s, so that the host's timer ticks each second.
@Suite struct BridgeHostProbeTests {
    private static let name = "sc/$linkspan/probe"

    private func host(
        options: [String: Bool] = [:], holds: Bool = false, _ rule: (inout BridgeRule) -> Void = { _ in }
    ) throws -> HostUnderTest {
        let upstream = uniqueUpstream()
        return try HostUnderTest(
            .scripted(upstream, options: options) {
                $0.probe = ProbeSettings(every: .seconds(4), deadline: .seconds(12))
                rule(&$0)
            }, upstream: upstream, holds: holds)
    }

    /// Brings back what a bridge took, as an upstream would.
    private func echo(_ messages: [EgressMessage], to run: ScriptedRun) {
        run.link.deliver(messages.map { IngressMessage(name: $0.name, payload: $0.payload, header: $0.header) }) {}
    }

    @Test func `a probe leaves first, beside the ledger, and comes back as proof`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            #expect(host.status.probe?.egress == .suspect && !host.status.isReady)
            host.offer(.test("1"))
            let work = run.link.takeWork(upTo: 10)
            #expect(work.interest.ofChannels == [.subscribe(.exact(Self.name))])
            #expect(work.egress.map(\.name) == [Self.name, "sc/a"])
            #expect(work.egress.map(\.ticket) == [1, 2])
            #expect(work.egress[0].lifetime == .seconds(12) && work.egress[1].lifetime == nil)
            run.link.confirm(1...2)
            self.echo(Array(work.egress.prefix(1)), to: run)
            #expect(host.status.probe?.egress == .proven && host.status.probe?.ingress == .proven)
            #expect(host.status.isReady)
            #expect(host.status.egress.accepted == 1 && host.status.egress.confirmed == 1)
            #expect(host.status.ingress.received == 0 && host.isBalanced && host.status.strayTickets == 0)
        }
    }

    @Test func `an upstream without headers carries probes inside the payload`() async throws {
        try await self.host(options: ["header": false]).running { host in
            let run = try await host.connected()
            let work = run.link.takeWork(upTo: 10)
            #expect(work.texts[0].hasPrefix("{\"linkspan\":1,\"origin\":\"own-1\","))
            self.echo(work.egress, to: run)
            #expect(host.status.probe?.egress == .proven)
        }
    }

    @Test func `a bridge that looked hears of the next probe, and of one more once it is subscribed`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            var ticks = Ticks(host)
            let wakes = EventLog<Bool>()
            run.link.onWork { wakes.append(true) }
            _ = try await wakes.wait(count: 1, "wake")
            #expect(run.link.takeWork(upTo: 10).egress.count == 1)
            run.link.interestSettled(.exact(Self.name), accepted: true)
            _ = try await wakes.wait(count: 2, "wake")
            #expect(run.link.takeWork(upTo: 10).egress.count == 1)
            try await ticks.pass(1)
            _ = try await wakes.wait(count: 3, "wake")
            #expect(run.link.takeWork(upTo: 10).egress.count == 1)
        }
    }

    @Test func `an upstream that accepts and forgets is given up at the deadline, and begun anew`() async throws {
        try await self.host { $0.guarantee = .atLeastOnce }.running { host in
            let run = try await host.connected()
            var ticks = Ticks(host)
            host.offer(.test("1"))
            let work = run.link.takeWork(upTo: 10)
            run.link.confirm(1...2)
            self.echo(Array(work.egress.prefix(1)), to: run)
            try await ticks.pass(4)
            host.offer(.test("2"))
            #expect(run.link.takeWork(upTo: 10).egress.count == 2)
            try await ticks.pass(11)
            #expect(host.status.state == .up && host.status.probe?.egress == .broken)
            try await ticks.pass(1)
            _ = try await run.farewells.first("the end of the run") { $0 }
            _ = try await host.time.skipRetry()
            let second = try await host.connected(1)
            #expect(host.status.failures == 1 && host.status.probe?.restartCount == 1)
            let again = second.link.takeWork(upTo: 10)
            #expect(again.texts.last == "2" && again.egress.count == 2)
            second.link.confirm(5...6)
            self.echo(Array(again.egress.prefix(1)), to: second)
            #expect(host.status.isReady && host.isBalanced && host.status.strayTickets == 0)
        }
    }

    @Test func `while the server takes nothing the upstream is not blamed`() async throws {
        try await self.host(holds: true).running { host in
            let run = try await host.connected()
            var ticks = Ticks(host)
            self.echo(run.link.takeWork(upTo: 10).egress, to: run)
            run.link.deliver([IngressMessage(name: "sc/a", payload: ByteBuffer(string: "1"))]) {}
            try await ticks.pass(4)
            #expect(run.link.takeWork(upTo: 10).egress.count == 1)
            try await ticks.pass(20)
            #expect(host.status.state == .up && host.status.failures == 0)
            host.acceptor.takeAll()
            try await ticks.pass(12)
            _ = try await run.farewells.first("the end of the run") { $0 }
        }
    }

    @Test func `other instances are shown, and one with our own id is found`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            _ = run.link.takeWork(upTo: 10)
            for (instance, sentAt) in [(InstanceID.other, UInt64(7)), (.own, 1_795_216_176_124)] {
                let probe = Probe(
                    life: InstanceLife(instance: instance, epoch: 3, nonce: 4), bridge: "theirs", number: 1,
                    every: .seconds(5), deadline: .seconds(15), seen: [])
                run.link.deliver([
                    IngressMessage(name: Self.name, payload: probe.json, header: probe.header(at: sentAt))
                ]) {}
            }
            let report = try #require(host.status.probe)
            #expect(report.peers.map(\.sender) == [ProbeSender(instance: .other, bridge: "theirs")])
            #expect(report.duplicates.map(\.epoch) == [3])
            #expect(report.ingress == .proven && report.egress == .suspect)
        }
    }

    @Test func `what only looks like a probe changes nothing and reaches nobody`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            for payload in ["", "{}", "not json", "{\"bridge\":1}"] {
                run.link.deliver([
                    IngressMessage(name: Self.name, payload: ByteBuffer(string: payload)),
                    IngressMessage(name: Self.name, payload: ByteBuffer(string: payload), header: .test(.other)),
                ]) {}
            }
            #expect(host.status.probe?.peers.isEmpty == true && host.status.probe?.ingress == .suspect)
            #expect(host.acceptor.delivered.count == 0 && host.status.ingress.received == 0)
        }
    }

    @Test func `a rule that only receives sends probes, and does without where it may send nothing`() async throws {
        try await self.host { $0.direction = .ingress }.running { host in
            let run = try await host.connected()
            #expect(run.settings.sends)
            #expect(run.link.takeWork(upTo: 10).egress.map(\.name) == [Self.name])
            run.fail(.refused, "not allowed to publish")
            let mute = try await host.connected(1)
            #expect(!mute.settings.sends)
            let work = mute.link.takeWork(upTo: 10)
            #expect(work.egress.isEmpty && work.interest.ofChannels == [.subscribe(.exact(Self.name))])
            #expect(host.status.probe?.egress == nil && host.status.probe?.ingress == .assumed)
            #expect(host.status.isReady)
        }
    }

    @Test func `a rule that only sends subscribes to nothing`() async throws {
        try await self.host { $0.direction = .egress }.running { host in
            let run = try await host.connected()
            let work = run.link.takeWork(upTo: 10)
            #expect(work.interest.isEmpty && work.egress.map(\.name) == [Self.name])
            #expect(host.status.probe?.egress == .assumed && host.status.probe?.ingress == nil)
        }
    }

    @Test func `a rule that receives everything hears probes as well`() async throws {
        try await self.host {
            $0.interest = .always
            $0.include = ["plant/**"]
        }.running { host in
            let run = try await host.connected()
            let work = run.link.takeWork(upTo: 10)
            #expect(Set(work.interest.ofChannels) == [.subscribe(.prefix("sc/plant/")), .subscribe(.exact(Self.name))])
        }
        try await self.host { $0.interest = .always }.running { host in
            let run = try await host.connected()
            #expect(run.link.takeWork(upTo: 10).interest == [.subscribe(.prefix("sc/"))])
            run.link.interestSettled(.prefix("sc/"), accepted: false)
            #expect(host.status.probe?.obstacle == "the upstream refused the subscription to probes")
        }
    }

    @Test func `probes never hold up an orderly stop`() async throws {
        let host = try self.host()
        let running = Task { try await host.host.run() }
        let run = try await host.connected()
        #expect(run.link.takeWork(upTo: 10).egress.count == 1)
        running.cancel()
        try await running.value
        #expect(host.status.state == .stopped && host.isBalanced)
        #expect(host.status.egress.dropped.total == 0)
    }
}
