internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// Repair where a message has to cross two brokers: whoever carried it on answers for it at the second one.
@Suite(.serialized)
struct TransitRepairTests {
    /// What both hops promise, and the kind of broker at each.
    struct Way: Sendable, CustomTestStringConvertible {
        var first: UpstreamKind
        var second: UpstreamKind
        var guarantee: Guarantee

        var testDescription: String { "\(self.first) then \(self.second), \(self.guarantee.rawValue)" }
        var isAvailable: Bool { self.first.isAvailable && self.second.isAvailable }
    }

    /// Every kind with each guarantee, and at either hop.
    static let ways = [
        Way(first: .mqtt, second: .redis, guarantee: .atMostOnce),
        Way(first: .redis, second: .amqp, guarantee: .atMostOnce),
        Way(first: .redis, second: .amqp, guarantee: .atLeastOnce),
        Way(first: .amqp, second: .mqtt, guarantee: .atLeastOnce),
    ]

    @Test(arguments: Self.ways)
    func `what either of two brokers on the way lost comes after all, once and in order`(_ way: Way) async throws {
        guard way.isAvailable else { return }
        try await way.first.withCalm { first in
            try await way.second.withCalm { second in
                let chain = try await Chain(
                    TransitHop("first", to: "centre", first, way.guarantee),
                    TransitHop("second", to: "end", second, way.guarantee))
                var next = try await chain.flow(from: 1)
                let start = try #require(chain.received.first)
                for hops in [[chain.first], [chain.second], [chain.first, chain.second]] {
                    for hop in hops { hop.proxy.stall() }
                    let carried = chain.middle("second").egress.accepted
                    let lost = next...(next + 29)
                    try await chain.publish(lost)
                    next += 30
                    for hop in hops {
                        // What is to be lost at the second broker has to be there first, and after the first one lost it that takes its repair.
                        if hop.name == "second" {
                            try await chain.waitUntilCarried(carried + UInt64(next - lost.lowerBound))
                        }
                        try await chain.waitUntilSent()
                        try await hop.forget()
                        hop.proxy.cut()
                        try await chain.waitForLinks()
                        try await chain.publish(next...next)
                        next += 1
                    }
                    try await chain.expectAll(start...(next - 1), after: "\(hops.map(\.name)) lost \(lost)")
                }
                #expect(chain.middle("first").ingress.repaired > 0, "\(chain.middle("first"))")
                #expect(chain.end.bridge.ingress.repaired > 0, "\(chain.end.bridge)")
                try await chain.stop()
            }
        }
    }
}

/// One broker of the way. Whoever receives there stands behind a proxy, so that what it was sent can be lost.
private struct TransitHop {
    let name: String
    let upstream: any Upstream
    /// The instance that receives there.
    let receiver: String
    let guarantee: Guarantee
    let proxy: StallingProxy

    init(_ name: String, to receiver: String, _ upstream: any Upstream, _ guarantee: Guarantee) async throws {
        self.name = name
        self.receiver = receiver
        self.upstream = upstream
        self.guarantee = guarantee
        self.proxy = try await StallingProxy(to: upstream.server.port)
    }

    /// The broker's entry, for who sends there.
    var direct: String {
        let text = self.upstream.patientConfiguration(named: self.name)
        return self.guarantee == .atLeastOnce ? text.replacing("redis: {", with: "redis: { mode: streams,") : text
    }

    /// The same, for who receives there.
    var behindProxy: String { self.direct.replacing(":\(self.upstream.server.port)", with: ":\(self.proxy.port)") }

    /// Without probes, which would give up a stalled link before the test cuts it when the machine is slow.
    var rule: String {
        """
          \(self.name):
            broker: \(self.name)
            guarantee: \(self.guarantee.rawValue)
            linger: 1s
            probe: { every: 0s }
            retry: { initial: 50ms, max: 200ms }
            repair: { window: 5m, hold: 30s }
        """
    }

    /// Lets the broker lose what it holds for who is away; with `at_most_once` it holds nothing.
    func forget() async throws {
        guard self.guarantee == .atLeastOnce else { return }
        switch self.upstream {
        case is MQTTUpstream:
            try await self.upstream.server.kill()
            try await self.upstream.server.restart()
        case let upstream as AMQPUpstream:
            // Not rabbitmqctl, which may take a minute on a busy machine.
            try await ChildProcess.run(
                "amqp-delete-queue",
                [
                    "-u", upstream.server.url(virtualHost: upstream.virtualHost),
                    "-q", "linkspan.\(self.receiver).\(self.name)",
                ])
        default: try await self.upstream.server.redis("XTRIM", "sc/stream", "MAXLEN", "0")
        }
    }
}

/// Three instances in a row: the middle one carries on at the second broker what it hears at the first.
private struct Chain {
    let first: TransitHop
    let second: TransitHop
    let begin: EmbeddedInstance
    let centre: EmbeddedInstance
    let end: EmbeddedInstance
    private let checker: Checker

    init(_ first: TransitHop, _ second: TransitHop) async throws {
        self.first = first
        self.second = second
        self.begin = try await EmbeddedInstance("begin", brokers: first.direct, bridges: first.rule)
        self.centre = try await EmbeddedInstance(
            "centre", brokers: [first.behindProxy, second.direct].joined(separator: "\n"),
            bridges: [first.rule + "\n    interest: always", second.rule + "\n    transit: [first]"]
                .joined(separator: "\n"))
        self.end = try await EmbeddedInstance("end", brokers: second.behindProxy, bridges: second.rule)
        self.checker = try Checker()
        try await self.checker.open("a", self.begin.url)
        try await self.checker.open("c", self.end.url)
        try await self.checker.subscribe("c", ["news"])
    }

    func middle(_ name: String) -> BridgeStatus {
        self.centre.host.statuses.first { $0.name == name } ?? self.centre.bridge
    }

    func publish(_ numbers: ClosedRange<Int>) async throws {
        for number in numbers { try await self.checker.publish("a", "news", .number(Double(number))) }
    }

    /// Publishes until the far end hears it, from `number` on, and says which one comes next.
    func flow(from number: Int) async throws -> Int {
        var next = number
        _ = try await eventually(within: .seconds(60), every: .milliseconds(50), "flow to the far end") {
            try await self.publish(next...next)
            next += 1
            return self.received.contains { $0 >= number } ? true : nil
        }
        return next
    }

    var received: [Int] { self.checker.messages("c", "news").compactMap(\.int) }

    /// Waits until the middle has handed so many messages to its second bridge, since it began.
    func waitUntilCarried(_ count: UInt64) async throws {
        try await self.wait("\(count) messages carried on") { self.middle("second").egress.accepted >= count }
    }

    /// Waits until the brokers have all that was handed to them.
    func waitUntilSent() async throws {
        try await self.wait("everything at the brokers") {
            [self.begin.bridge, self.middle("second")].allSatisfy { $0.egress.pending == 0 }
        }
    }

    func waitForLinks() async throws {
        try await self.wait("all links") {
            (self.centre.host.statuses + [self.begin.bridge, self.end.bridge]).allSatisfy { $0.state == .up }
        }
    }

    func expectAll(_ numbers: ClosedRange<Int>, after what: String) async throws {
        try await self.wait("everything that was published, after \(what)") { self.received.count >= numbers.count }
        #expect(self.received == Array(numbers), "\(what)")
    }

    private func wait(_ what: String, _ isSo: () -> Bool) async throws {
        do {
            _ = try await eventually(within: .seconds(90), what) { isSo() ? true : nil }
        } catch let error as TimedOut {
            throw TimedOut(
                what: error.what, limit: error.limit,
                seen:
                    "received \(self.received), \(self.end.bridge), \(self.centre.host.statuses), \(self.begin.bridge)")
        }
    }

    func stop() async throws {
        for instance in [self.begin, self.centre, self.end] {
            instance.expectBalance()
            try await instance.stop()
        }
        for hop in [self.first, self.second] { try await hop.proxy.stop() }
    }
}
