import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import NIOCore
import TestSupport
import Testing

@Suite struct BridgeHostIngressTests {
    private func message(_ name: String, _ payload: String, _ header: EnvelopeHeader? = nil) -> IngressMessage {
        IngressMessage(name: name, payload: ByteBuffer(string: payload), header: header)
    }

    private func host(
        options: [String: Bool] = [:], holds: Bool = false, rule: (inout BridgeRule) -> Void = { _ in }
    ) throws -> HostUnderTest {
        let name = uniqueUpstream()
        return try HostUnderTest(.scripted(name, options: options, rule: rule), upstream: name, holds: holds)
    }

    @Test func `each message reaches its channel or is refused with its reason`() async throws {
        try await self.host { $0.exclude = ["internal/**"] }.running { host in
            let run = try await host.connected()
            let deep = String(repeating: "[", count: 200) + String(repeating: "]", count: 200)
            await run.link.deliver([
                self.message("sc/a", #"{"x":1}"#, .test(.other)),
                self.message("sc/a%23b", "hello"),
                self.message("sc/internal/x", "1"),
                self.message("elsewhere", "1"),
                self.message("sc/%61", "1"),
                self.message("sc/$linkspan/events/subscribe", "{}"),
                self.message("sc/a", ""),
                self.message("sc/a", deep),
                self.message("sc/a", String(repeating: "1", count: 3 << 20)),
            ])
            let delivered = host.acceptor.delivered.events
            #expect(delivered.map(\.channel) == ["a", "a#b"])
            #expect(delivered.map { String(buffer: $0.data) } == [#"{"x":1}"#, #""hello""#])
            #expect(delivered.map(\.header) == [.test(.other), nil])
            let ledger = host.status.ingress
            #expect(ledger.received == 9 && ledger.delivered == 2 && host.isBalanced)
            let expected: [IngressRefusal: UInt64] = [
                .notMatched: 1, .badName: 2, .reserved: 1, .empty: 1, .invalid: 1, .tooLarge: 1,
            ]
            for (reason, count) in expected { #expect(ledger.refused[reason] == count, "\(reason)") }
        }
    }

    @Test func `JSON envelopes are taken apart`() async throws {
        try await self.host(options: ["header": false]).running { host in
            let run = try await host.connected()
            await run.link.deliver([
                self.message(
                    "sc/a", #"{"linkspan":1,"origin":"other-1","epoch":1,"seq":1,"hops":["other-1"],"at":7,"data":[1]}"#
                )
            ])
            #expect(host.acceptor.delivered.events.map(\.header) == [.test(.other)])
            #expect(host.acceptor.delivered.events.map { String(buffer: $0.data) } == ["[1]"])
        }
    }

    @Test func `own messages, second copies and far travellers are judged and counted`() async throws {
        try await self.host { $0.maximumHops = 1 }.running { host in
            let run = try await host.connected()
            await run.link.deliver([
                self.message("sc/a", "1", .test(.other, sequence: 1)),
                self.message("sc/a", "1", .test(.other, sequence: 1)),
                self.message("sc/a", "1", .test(.own, sequence: 1)),
                self.message("sc/a", "1", .test(.other, sequence: 2, hops: [.other, InstanceID("x")!])),
            ])
            let ledger = host.status.ingress
            #expect(ledger.delivered == 1 && ledger.duplicate == 1 && ledger.looped == 1)
            #expect(ledger.refused[.tooManyHops] == 1 && host.isBalanced)
            #expect(host.acceptor.hopLimits.events == [1])
        }
    }

    @Test func `a batch counts as held until the owners took it, and only then is acknowledged`() async throws {
        try await self.host(holds: true).running { host in
            let run = try await host.connected()
            let taken = EventLog<Int>()
            run.link.deliver([self.message("sc/a", "1"), self.message("sc/b", "2")]) { taken.append(1) }
            #expect(taken.count == 0)
            #expect(host.status.ingress.held == 2 && host.isBalanced)
            host.acceptor.takeAll()
            #expect(taken.count == 1)
            #expect(host.status.ingress.held == 0 && host.status.ingress.delivered == 2 && host.isBalanced)
        }
    }

    @Test func `a batch of which nothing remains is acknowledged at once`() async throws {
        try await self.host(holds: true).running { host in
            let run = try await host.connected()
            await run.link.deliver([self.message("elsewhere", "1")])
            await run.link.deliver([])
            #expect(host.status.ingress.refused[.badName] == 1)
        }
    }

    @Test func `a rule that only sends takes nothing in`() async throws {
        try await self.host { $0.direction = .egress }.running { host in
            let run = try await host.connected()
            await run.link.deliver([self.message("sc/a", "1")])
            #expect(host.status.ingress.refused[.notMatched] == 1 && host.acceptor.delivered.count == 0)
        }
    }
}
