import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import NIOCore
import TestSupport
import Testing

/// Marks, requests and answers as an upstream sees them, with the owners' part played by the test.
@Suite struct BridgeHostGapTests {
    private func host(rule: (inout BridgeRule) -> Void = { _ in }) throws -> HostUnderTest {
        let name = uniqueUpstream()
        return try HostUnderTest(
            .scripted(name) {
                $0.probe = nil
                rule(&$0)
            }, upstream: name)
    }

    private func message(_ name: String, _ payload: ByteBuffer, _ header: EnvelopeHeader? = nil) -> IngressMessage {
        IngressMessage(name: name, payload: payload, header: header)
    }

    private func gap(_ range: ClosedRange<UInt64>, id: UInt64 = 1) -> GapEvent {
        .named(
            Gap(
                id: id, bridge: BridgeIndex(0), channel: "a", instance: .other, epoch: 1, range: range, sender: .other,
                namedAt: 0))
    }

    private func messages(_ sequences: ClosedRange<UInt64>) -> [RepairedMessage] {
        sequences.map {
            RepairedMessage(channel: "a", header: .test(.other, sequence: $0), data: ByteBuffer(string: "\($0)"))
        }
    }

    private func mark(_ sequence: UInt64) -> SequenceMark {
        SequenceMark(channel: "a", origin: Origin(instance: .own, epoch: 1, sequence: sequence))
    }

    @Test func `gaps are in the status by name and by count`() async throws {
        try await self.host().running { host in
            host.host.noteGaps(
                [self.gap(2...4), .filled(id: 1, 3...3, wasFinal: false), .final(id: 1, count: 2)],
                of: BridgeIndex(0))
            let gaps = host.status.gaps
            #expect(gaps.counts.named == 3 && gaps.counts.closed == 1 && gaps.counts.final == 2)
            #expect(gaps.records.map(\.state) == [.final] && gaps.repair == nil)
        }
    }

    @Test func `a mark follows the messages that it speaks of, and is in no ledger`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            host.offer(.test("1"), .test("2", sequence: 2))
            host.host.channelsQuiet([self.mark(2)], on: BridgeIndex(0))
            #expect(run.link.takeWork(upTo: 10).texts == ["1", "2"])
            try await host.time.afterTick {
                let work = run.link.takeWork(upTo: 10)
                #expect(work.egress.map(\.name) == ["sc/$linkspan/marks"])
                #expect(work.egress.map { MarkMessage($0.payload)?.marks } == [[self.mark(2)]])
                #expect(work.egress.first?.header == nil && work.egress.first?.lifetime == .seconds(60))
                run.link.confirm(1...3)
            }
            #expect(host.status.egress.accepted == 2 && host.status.egress.confirmed == 2 && host.isBalanced)
            #expect(host.status.strayTickets == 0)
        }
    }

    @Test func `marks wait for the upstream and are told again when it comes back`() async throws {
        try await self.host().running { host in
            host.host.channelsQuiet([self.mark(7)], on: BridgeIndex(0))
            let run = try await host.connected()
            try await host.time.afterTick { #expect(run.link.takeWork(upTo: 10).egress.count == 1) }
            let sleeps = host.time.sleeps.count
            run.fail(.lost, "gone")
            _ = try await host.time.skipRetry(from: sleeps)
            let next = try await host.connected(1)
            try await host.time.afterTick {
                #expect(next.link.takeWork(upTo: 10).egress.map { MarkMessage($0.payload)?.marks } == [[self.mark(7)]])
            }
        }
    }

    @Test func `marks of others reach the owners, where the rule carries the channel`() async throws {
        try await self.host { $0.exclude = ["internal/**"] }.running { host in
            let run = try await host.connected()
            func marks(_ sender: InstanceID, _ channel: ChannelName) -> IngressMessage {
                let mark = SequenceMark(channel: channel, origin: Origin(instance: sender, epoch: 1, sequence: 3))
                return self.message("sc/$linkspan/marks", MarkMessage(sender: sender, marks: [mark]).json)
            }
            await run.link.deliver([
                marks(.other, "a"), marks(.own, "a"), marks(.other, "internal/x"), marks(.other, "$linkspan/x"),
                self.message("sc/$linkspan/marks", ByteBuffer(string: "nonsense")),
            ])
            #expect(host.acceptor.marks.events.map(\.channel) == ["a"])
            #expect(host.status.ingress.received == 0 && host.isBalanced)
        }
    }

    @Test func `what is missing is asked for, and the answer reaches the owners`() async throws {
        try await self.host { $0.repair = RepairSettings() }.running { host in
            let run = try await host.connected()
            _ = run.link.takeWork(upTo: 10)
            host.host.noteGaps([self.gap(2...4)], of: BridgeIndex(0))
            try await host.passPauseBeforeAsking()
            let work = try await host.work(of: run)
            #expect(work.map(\.name) == ["sc/$linkspan/repair"])
            let expected = RepairRequest(
                requester: .own, sender: .other,
                wants: [.init(channel: "a", instance: .other, epoch: 1, ranges: [2...4])])
            #expect(work.map { RepairMessage($0.payload) } == [.request(expected)])

            for json in RepairMessage.json(sender: .other, self.messages(2...4)) {
                await run.link.deliver([self.message("sc/$linkspan/repair", json)])
            }
            #expect(host.acceptor.delivered.events.map { String(buffer: $0.data) } == ["2", "3", "4"])
            #expect(host.status.ingress.received == 3 && host.status.ingress.delivered == 3 && host.isBalanced)
        }
    }

    /// Bridge `b` at one upstream and bridge `c` at another, with the same channels.
    private func twoBridges(_ one: String, _ two: String, probe: ProbeSettings? = nil) -> LinkspanSettings {
        var settings = LinkspanSettings.scripted(one) {
            $0.probe = probe
            $0.repair = RepairSettings()
        }
        settings.upstreams["v"] = settings.upstreams["u"]
        settings.upstreams["v"]?.urls = [UpstreamURL(scheme: "scripted", host: two, port: 1)]
        var second = settings.bridges[0]
        second.name = "c"
        second.upstream = "v"
        settings.bridges.append(second)
        return settings
    }

    /// What a bridge took that is about repair.
    private func repair(in work: LinkWork) -> [RepairMessage?] {
        work.egress.filter { $0.name == "sc/$linkspan/repair" }.map { RepairMessage($0.payload) }
    }

    @Test func `a bridge that stands and proves nothing leaves asking and answering to one that is proven`()
        async throws
    {
        let (one, two) = (uniqueUpstream() + "-1", uniqueUpstream() + "-2")
        let probe = ProbeSettings(every: .seconds(4), deadline: .seconds(12))
        try await HostUnderTest(self.twoBridges(one, two, probe: probe), upstream: two).running { host in
            let doubtful = try await ScriptedUpstream.named(one).run(0)
            doubtful.link.connected(UpstreamFacts())
            let proven = try await host.connected()
            host.offer(.test("1"), .test("2", sequence: 2))
            host.host.offer([.test("1"), .test("2", sequence: 2)], to: BridgeIndex(1))?()
            _ = doubtful.link.takeWork(upTo: 10)
            let probes = proven.link.takeWork(upTo: 10).egress.filter { $0.name == "sc/$linkspan/probe" }
            await proven.link.deliver(probes.map { self.message($0.name, $0.payload, $0.header) })
            #expect(host.host.statuses.map { $0.probe?.egress } == [.suspect, .proven])

            host.host.noteGaps([self.gap(2...2)], of: BridgeIndex(0))
            try await host.passPauseBeforeAsking()
            let work = EventLog<LinkWork>()
            _ = try await eventually("a request through the second bridge") {
                work.append(proven.link.takeWork(upTo: 10))
                return work.events.contains { !self.repair(in: $0).isEmpty } ? true : nil
            }
            #expect(self.repair(in: doubtful.link.takeWork(upTo: 10)).isEmpty)

            let asked = RepairRequest(
                requester: .other, sender: .own,
                wants: [.init(channel: "a", instance: .own, epoch: 1, ranges: [2...2])])
            await doubtful.link.deliver([self.message("sc/$linkspan/repair", RepairMessage.json(asked))])
            let answered = RepairedMessage(channel: "a", header: .test(sequence: 2), data: ByteBuffer(string: "2"))
            #expect(self.repair(in: proven.link.takeWork(upTo: 10)) == [.answer(sender: .own, [answered])])
            #expect(self.repair(in: doubtful.link.takeWork(upTo: 10)).isEmpty)
            #expect(host.host.statuses.allSatisfy { $0.egress.isBalanced && $0.ingress.isBalanced })
        }
    }

    @Test func `without an upstream of its own a gap is asked for through another bridge of the channel`() async throws
    {
        let (one, two) = (uniqueUpstream() + "-1", uniqueUpstream() + "-2")
        try await HostUnderTest(self.twoBridges(one, two), upstream: two).running { host in
            let run = try await host.connected()
            _ = run.link.takeWork(upTo: 10)
            host.host.noteGaps([self.gap(2...2)], of: BridgeIndex(0))
            try await host.passPauseBeforeAsking()
            let work = try await host.work(of: run)
            #expect(work.map(\.name) == ["sc/$linkspan/repair"])
        }
    }

    @Test func `a sender answers who asks for what it sent, and nobody else's requests`() async throws {
        try await self.host { $0.repair = RepairSettings() }.running { host in
            let run = try await host.connected()
            host.offer(.test("1"), .test("2", sequence: 2), .test("3", sequence: 3))
            _ = run.link.takeWork(upTo: 10)
            run.link.confirm(1...3)
            func ask(_ sender: InstanceID) -> IngressMessage {
                let request = RepairRequest(
                    requester: .other, sender: sender,
                    wants: [.init(channel: "a", instance: .own, epoch: 1, ranges: [2...9])])
                return self.message("sc/$linkspan/repair", RepairMessage.json(request))
            }
            await run.link.deliver([ask(InstanceID("third")!)])
            #expect(run.link.takeWork(upTo: 10).egress.isEmpty)
            await run.link.deliver([ask(.own)])
            let answers = run.link.takeWork(upTo: 10).egress.map { RepairMessage($0.payload) }
            let expected = [(2, "2"), (3, "3")].map { sequence, text in
                RepairedMessage(
                    channel: "a", header: .test(sequence: UInt64(sequence)), data: ByteBuffer(string: text))
            }
            #expect(answers == [.answer(sender: .own, expected)])
            #expect(host.status.gaps.repair?.answered == 2 && host.isBalanced)
        }
    }

    @Test(arguments: [Direction.ingress, .egress])
    func `a rule with one direction repairs all the same, its own side of it`(_ direction: Direction) async throws {
        try await self.host {
            $0.repair = RepairSettings()
            $0.direction = direction
            $0.interest = .onDemand
        }.running { host in
            let run = try await host.connected()
            #expect(run.settings.receives && run.settings.sends)
            let filters = run.link.takeWork(upTo: 10).interest
            #expect(filters.contains(.subscribe(.exact("sc/$linkspan/repair"))))
            #expect(filters.contains(.subscribe(.exact("sc/$linkspan/marks"))) == (direction == .ingress))
        }
    }
}

extension HostUnderTest {
    /// A request waits for up to 31.25 ms, so that not everybody asks at once.
    fileprivate func passPauseBeforeAsking() async throws {
        _ = try await self.time.sleeps.first("the pause before a request") { $0 < .milliseconds(32) }
        self.time.advance(by: .milliseconds(32))
    }
}
