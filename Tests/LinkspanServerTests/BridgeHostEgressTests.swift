import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import NIOCore
import TestSupport
import Testing

@Suite struct BridgeHostEgressTests {
    private func host(
        options: [String: Bool] = [:], rule: (inout BridgeRule) -> Void = { _ in }
    ) throws -> HostUnderTest {
        let name = uniqueUpstream()
        return try HostUnderTest(.scripted(name, options: options, rule: rule), upstream: name)
    }

    @Test func `what was offered is taken in order, confirmed and accounted for`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            host.offer(.test("1"), .test("2", sequence: 2))
            host.offer(.test("3", sequence: 3))
            let work = run.link.takeWork(upTo: 2)
            #expect(work.texts == ["1", "2"])
            #expect(work.egress.map(\.ticket) == [1, 2])
            #expect(work.egress.first?.name == "sc/a")
            #expect(work.egress.first?.header == .test())
            #expect(run.link.takeWork(upTo: 2).texts == ["3"])
            run.link.confirm(1...2)
            run.link.refuse(3, .forbidden)
            #expect(host.status.egress.confirmed == 2)
            #expect(host.status.egress.dropped[.forbidden] == 1)
            #expect(host.isBalanced && host.status.bufferedBytes == 0)
        }
    }

    @Test func `a bridge without headers gets JSON envelopes`() async throws {
        try await self.host(options: ["header": false]).running { host in
            let run = try await host.connected()
            host.offer(.test(#"{"a":1}"#), .test("", sequence: 2))
            let work = run.link.takeWork(upTo: 10)
            #expect(
                work.texts == [
                    #"{"linkspan":1,"origin":"own-1","epoch":1,"seq":1,"hops":["own-1"],"at":7,"data":{"a":1}}"#,
                    #"{"linkspan":1,"origin":"own-1","epoch":1,"seq":2,"hops":["own-1"],"at":7}"#,
                ])
            #expect(work.egress.allSatisfy { $0.header == nil })
        }
    }

    @Test func `what came from another instance leaves with this one as its last hop`() async throws {
        try await self.host { $0.maximumHops = 2 }.running { host in
            let run = try await host.connected()
            host.offer(.test("1", hops: [.other]), .test("2", hops: [.other, InstanceID("third")!]))
            #expect(run.link.takeWork(upTo: 10).egress.compactMap(\.header?.hops) == [[.other, .own]])
            #expect(host.status.egress.filtered == 1 && host.isBalanced)
        }
    }

    @Test func `a channel without an upstream name is counted to the message`() async throws {
        try await self.host().running { host in
            host.offer(.test("1", name: nil), .test("2", name: nil))
            #expect(host.status.egress.dropped[.badName] == 2 && host.isBalanced)
        }
    }

    @Test func `what an absent upstream cannot take is dropped, counted to the message`() async throws {
        try await self.host { $0.buffer.sizeBytes = 10 * 65 }.running { host in
            for number in 1...25 { host.offer(.test("\(number % 10)", sequence: UInt64(number))) }
            #expect(host.status.egress.dropped[.bufferFull] == 15)
            let run = try await host.connected()
            #expect(run.link.takeWork(upTo: 100).egress.compactMap(\.header?.origin.sequence) == Array(16...25))
            #expect(host.isBalanced)
        }
    }

    @Test func `old messages expire while the upstream is away`() async throws {
        try await self.host { $0.buffer.age = .seconds(30) }.running { host in
            host.offer(.test("1"))
            _ = try await host.time.sleeps.first("a tick") { $0 == HostTime.tick }
            host.time.advance(by: .seconds(30))
            let run = try await host.connected()
            #expect(run.link.takeWork(upTo: 10).egress.isEmpty)
            #expect(host.status.egress.expired == 1 && host.isBalanced)
        }
    }

    @Test func `the bridge is woken once, until it looks again`() async throws {
        try await self.host().running { host in
            let run = try await host.connected()
            let wakes = EventLog<Int>()
            host.offer(.test("1"))
            run.link.onWork { wakes.append(1) }
            #expect(wakes.count == 1)
            host.offer(.test("2"))
            #expect(wakes.count == 1)
            #expect(run.link.takeWork(upTo: 2).texts == ["1", "2"])
            host.offer(.test("3"))
            #expect(wakes.count == 1, "it stopped at its own limit and comes back by itself")
            host.host.channelSubscribed("a")
            #expect(wakes.count == 2, "interest is always announced")
            #expect(run.link.takeWork(upTo: 2).texts == ["3"])
            host.offer(.test("4"))
            #expect(wakes.count == 3)
        }
    }

    @Test func `occupancy is mirrored raw, under reserved names, and accounted for`() async throws {
        try await self.host { rule in
            rule.include = ["plant/**"]
            rule.direction = .ingress
            rule.interest = .always
            rule.events = [.subscribe, .unsubscribe]
        }.running { host in
            let run = try await host.connected()
            #expect(run.settings.sends)
            host.host.channelSubscribed("plant/\"1\"")
            host.host.channelSubscribed("chat")
            host.host.channelUnsubscribed("plant/\"1\"")
            let work = run.link.takeWork(upTo: 10)
            #expect(work.egress.map(\.name) == ["sc/$linkspan/events/subscribe", "sc/$linkspan/events/unsubscribe"])
            #expect(work.egress.allSatisfy { $0.header == nil })
            #expect(
                work.texts.first
                    == #"{"channel":"plant/\"1\"","event":"subscribe","instance":"own-1","at":1795216176123}"#)
            run.link.confirm(1...2)
            #expect(host.status.egress.confirmed == 2 && host.isBalanced)
        }
    }
}

@Suite struct BridgeHostInterestTests {
    @Test func `one channel is one upstream subscription, left after the linger time`() async throws {
        let name = uniqueUpstream()
        try await HostUnderTest(.scripted(name) { $0.include = ["plant/**"] }, upstream: name).running { host in
            let run = try await host.connected()
            host.host.channelSubscribed("plant/1")
            host.host.channelSubscribed("chat")
            host.host.channelSubscribed("$linkspan/probe")
            #expect(run.link.takeWork(upTo: 0).interest.ofChannels == [.subscribe(.exact("sc/plant/1"))])
            #expect(host.status.interestCount == 2, "marks, and the channel")
            let wakes = EventLog<Int>()
            run.link.onWork { wakes.append(1) }
            host.host.channelUnsubscribed("plant/1")
            _ = try await host.time.sleeps.first("a tick") { $0 == HostTime.tick }
            host.time.advance(by: .seconds(10))
            try await wakes.wait(count: 1, "wake")
            #expect(run.link.takeWork(upTo: 0).interest.ofChannels == [.unsubscribe(.exact("sc/plant/1"))])
            #expect(host.status.interestCount == 1)
        }
    }

    @Test func `a standing rule subscribes by prefix, whatever the channels do`() async throws {
        let name = uniqueUpstream()
        let settings = LinkspanSettings.scripted(name) { rule in
            rule.include = ["plant/**", "plant/a/*", "news"]
            rule.interest = .always
        }
        try await HostUnderTest(settings, upstream: name).running { host in
            let run = try await host.connected()
            host.host.channelSubscribed("plant/1")
            #expect(
                run.link.takeWork(upTo: 1).interest.ofChannels == [
                    .subscribe(.prefix("sc/plant/")), .subscribe(.exact("sc/news")),
                ])
        }
    }

    @Test func `a rule that only sends subscribes to nothing`() async throws {
        let name = uniqueUpstream()
        for interest in Interest.allCases {
            let settings = LinkspanSettings.scripted(name) { rule in
                rule.direction = .egress
                rule.interest = interest
            }
            let host = try HostUnderTest(settings, upstream: name)
            host.host.channelSubscribed("a")
            #expect(host.status.interestCount == 0)
        }
    }

    @Test func `a channel that cannot be named upstream is counted`() async throws {
        let host = try HostUnderTest(.scripted("x"), upstream: "x")
        host.host.channelSubscribed(ChannelName(String(repeating: "a", count: 64)))
        #expect(host.status.refusedInterest == 1 && host.status.interestCount == 1)
    }

    @Test func `refused filters are shown`() async throws {
        let name = uniqueUpstream()
        try await HostUnderTest(.scripted(name), upstream: name).running { host in
            let run = try await host.connected()
            host.host.channelSubscribed("a")
            _ = run.link.takeWork(upTo: 1)
            run.link.interestSettled(.exact("sc/a"), accepted: false)
            #expect(host.status.rejectedFilters == 1)
        }
    }
}
