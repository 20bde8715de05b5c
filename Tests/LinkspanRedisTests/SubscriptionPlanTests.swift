import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanRedis

@Suite struct SubscriptionPlanTests {
    private typealias Command = SubscriptionPlan.Command
    private typealias Settled = SubscriptionPlan.Settled

    private static let (a, b) = (UpstreamFilter.exact("sc/a"), UpstreamFilter.exact("sc/b"))
    private static let (wide, deep) = (UpstreamFilter.prefix("sc/"), UpstreamFilter.prefix("sc/deep/"))
    private static let noPermission = ErrorReply(
        text: "NOPERM this user has no permissions to access one of the channels")

    @Test func `names are subscribed in one command and settle as Redis confirms them`() throws {
        var plan = SubscriptionPlan()
        let asked = plan.interestChanged([.subscribe(Self.a), .subscribe(Self.b)])
        #expect(asked.commands.map(\.arguments) == [["SUBSCRIBE", "sc/a", "sc/b"]])
        #expect(asked.settled == [])
        #expect(
            try plan.confirmationReceived(.subscribe, name: "sc/a").settled == [Settled(filter: Self.a, accepted: true)]
        )
        #expect(
            try plan.confirmationReceived(.subscribe, name: "sc/b").settled == [Settled(filter: Self.b, accepted: true)]
        )
        #expect(plan.interestChanged([.unsubscribe(Self.a)]).commands.map(\.arguments) == [["UNSUBSCRIBE", "sc/a"]])
        #expect(plan.interestChanged([.unsubscribe(Self.a)]) == SubscriptionPlan.Step())
        #expect(plan.confirmedCount == 2)
        #expect(try plan.confirmationReceived(.unsubscribe, name: "sc/a") == SubscriptionPlan.Step())
        #expect(plan.confirmedCount == 1)
    }

    @Test func `a wider filter takes over once it is confirmed, and what it doubles meanwhile is known`() throws {
        var plan = SubscriptionPlan()
        _ = plan.interestChanged([.subscribe(Self.a)])
        _ = try plan.confirmationReceived(.subscribe, name: "sc/a")
        #expect(plan.interestChanged([.subscribe(Self.wide)]).commands.map(\.arguments) == [["PSUBSCRIBE", "sc/*"]])
        #expect(!plan.isSecondCopy(Self.a))
        let confirmed = try plan.confirmationReceived(.psubscribe, name: "sc/*")
        #expect(confirmed.settled == [Settled(filter: Self.wide, accepted: true)])
        #expect(confirmed.commands.map(\.arguments) == [["UNSUBSCRIBE", "sc/a"]])
        #expect(plan.isSecondCopy(Self.a) && !plan.isSecondCopy(Self.wide))
        _ = try plan.confirmationReceived(.unsubscribe, name: "sc/a")
        #expect(!plan.hasOverlap)
        // A name below it settles at once, without a command.
        let below = plan.interestChanged([.subscribe(Self.b)])
        #expect(below == SubscriptionPlan.Step(settled: [Settled(filter: Self.b, accepted: true)]))
    }

    @Test func `what a wider filter covered is subscribed before it goes`() throws {
        var plan = SubscriptionPlan()
        _ = plan.interestChanged([.subscribe(Self.wide)])
        _ = try plan.confirmationReceived(.psubscribe, name: "sc/*")
        _ = plan.interestChanged([.subscribe(Self.a)])
        let commands = plan.interestChanged([.unsubscribe(Self.wide)]).commands.map(\.arguments)
        #expect(commands == [["SUBSCRIBE", "sc/a"], ["PUNSUBSCRIBE", "sc/*"]])
        _ = try plan.confirmationReceived(.subscribe, name: "sc/a")
        #expect(plan.isSecondCopy(Self.a))
        _ = try plan.confirmationReceived(.punsubscribe, name: "sc/*")
        #expect(!plan.isSecondCopy(Self.a))
    }

    @Test func `a refused command is asked again name by name`() throws {
        var plan = SubscriptionPlan()
        _ = plan.interestChanged([.subscribe(Self.a), .subscribe(Self.b)])
        let again = try plan.errorReceived(Self.noPermission)
        #expect(again.commands.map(\.arguments) == [["SUBSCRIBE", "sc/a"], ["SUBSCRIBE", "sc/b"]])
        #expect(
            try plan.confirmationReceived(.subscribe, name: "sc/a").settled == [Settled(filter: Self.a, accepted: true)]
        )
        #expect(try plan.errorReceived(Self.noPermission).settled == [Settled(filter: Self.b, accepted: false)])
    }

    @Test func `a refused wider filter leaves the narrower ones to themselves`() throws {
        var plan = SubscriptionPlan()
        let asked = plan.interestChanged([.subscribe(Self.wide), .subscribe(Self.deep), .subscribe(Self.a)])
        #expect(asked.commands.map(\.arguments) == [["PSUBSCRIBE", "sc/*"]])
        let refused = try plan.errorReceived(Self.noPermission)
        #expect(refused.settled == [Settled(filter: Self.wide, accepted: false)])
        #expect(refused.commands.map(\.arguments) == [["PSUBSCRIBE", "sc/deep/*"], ["SUBSCRIBE", "sc/a"]])
    }

    @Test func `glob characters of a prefix are literal`() {
        let filter = UpstreamFilter.prefix("sc/[x]*?\\/")
        #expect(filter.redisName == "sc/\\[x\\]\\*\\?\\\\/*")
        #expect(UpstreamFilter(pattern: filter.redisName) == filter)
    }

    @Test func `answers to nothing are a protocol violation`() throws {
        var plan = SubscriptionPlan()
        #expect(throws: UpstreamError.self) { try plan.confirmationReceived(.subscribe, name: "sc/a") }
        #expect(throws: UpstreamError.self) { try plan.pongReceived() }
        #expect(throws: UpstreamError.self) { try plan.errorReceived(Self.noPermission) }
        _ = plan.interestChanged([.subscribe(Self.a)])
        #expect(throws: UpstreamError.self) { try plan.confirmationReceived(.subscribe, name: "sc/b") }
        #expect(throws: UpstreamError.self) { try plan.confirmationReceived(.unsubscribe, name: "sc/a") }
    }

    @Test func `any answer to PING is a sign of life`() throws {
        var plan = SubscriptionPlan()
        plan.pingSent()
        #expect(
            try plan.errorReceived(ErrorReply(text: "MISCONF Redis is configured to save")) == SubscriptionPlan.Step())
        plan.pingSent()
        try plan.pongReceived()
    }

    @Test func `with random interest every publish is delivered once, beside a naive Redis`() throws {
        var random = SeededRandom()
        let names = ["sc/a", "sc/b", "sc/deep/a", "sc/deep/b", "sc/deep/er/a", "else/a"]
        let filters =
            names.map(UpstreamFilter.exact) + ["sc/", "sc/deep/", "sc/deep/er/", ""].map(UpstreamFilter.prefix)
        for _ in 0..<400 {
            var model = ModelRedis()
            var plan = SubscriptionPlan()
            var wanted: Set<UpstreamFilter> = []
            // Settled without a break since, so that a publish must arrive.
            var steady: Set<UpstreamFilter> = []
            for publish in 0..<120 {
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    let filter = filters.randomElement(using: &random)!
                    let change: InterestChange =
                        if wanted.remove(filter) != nil { .unsubscribe(filter) } else { .subscribe(filter) }
                    if case .subscribe = change { wanted.insert(filter) } else { steady.remove(filter) }
                    let step = plan.interestChanged([change])
                    for settled in step.settled where settled.accepted { steady.insert(settled.filter) }
                    model.receive(step.commands)
                }
                model.carryOut(Int.random(in: 0...2, using: &random))
                let name = names.randomElement(using: &random)!
                let mustArrive = steady
                model.publish(
                    name, number: publish,
                    mustArrive: mustArrive.contains { $0 == .exact(name) || $0.covers(.exact(name)) })
                for _ in 0..<Int.random(in: 0...4, using: &random) { try model.deliverNext(to: &plan, &steady, wanted) }
            }
            while model.hasMore { try model.deliverNext(to: &plan, &steady, wanted) }
            #expect(model.delivered.values.allSatisfy { $0 == 1 }, "doubled; seed \(random.seed)")
            #expect(model.required.isSubset(of: Set(model.delivered.keys)), "lost; seed \(random.seed)")
            #expect(steady == wanted, "everything wanted settles; seed \(random.seed)")
            #expect(model.subscriptions.count == plan.confirmedCount)
            let overlap = model.subscriptions.contains { one in model.subscriptions.contains { $0.covers(one) } }
            #expect(!overlap, "the covering set is not minimal; seed \(random.seed)")
        }
    }
}

/// Carries out commands in order and sends a message once for each subscription that matches, as Redis does.
private struct ModelRedis {
    private enum Sent {
        case confirmation(SubscriptionPlan.Verb, UpstreamFilter)
        case message(number: Int, by: UpstreamFilter)
    }

    private var commands: [SubscriptionPlan.Command] = []
    private var stream: [Sent] = []
    private(set) var subscriptions: Set<UpstreamFilter> = []
    private(set) var delivered: [Int: Int] = [:]
    private(set) var required: Set<Int> = []

    var hasMore: Bool { !self.commands.isEmpty || !self.stream.isEmpty }

    mutating func receive(_ commands: [SubscriptionPlan.Command]) {
        self.commands += commands
    }

    mutating func carryOut(_ count: Int) {
        for command in self.commands.prefix(count) {
            for filter in command.filters {
                if command.verb.subscribes {
                    self.subscriptions.insert(filter)
                } else {
                    self.subscriptions.remove(filter)
                }
                self.stream.append(.confirmation(command.verb, filter))
            }
        }
        self.commands.removeFirst(min(count, self.commands.count))
    }

    mutating func publish(_ name: String, number: Int, mustArrive: Bool) {
        if mustArrive { self.required.insert(number) }
        for filter in self.subscriptions where filter == .exact(name) || filter.covers(.exact(name)) {
            self.stream.append(.message(number: number, by: filter))
        }
    }

    mutating func deliverNext(
        to plan: inout SubscriptionPlan, _ steady: inout Set<UpstreamFilter>, _ wanted: Set<UpstreamFilter>
    ) throws {
        if self.stream.isEmpty { self.carryOut(1) }
        guard !self.stream.isEmpty else { return }
        switch self.stream.removeFirst() {
        case .confirmation(let verb, let filter):
            let step = try plan.confirmationReceived(verb, name: filter.redisName)
            for settled in step.settled where settled.accepted && wanted.contains(settled.filter) {
                steady.insert(settled.filter)
            }
            self.receive(step.commands)
        case .message(let number, let filter):
            if !plan.isSecondCopy(filter) { self.delivered[number, default: 0] += 1 }
        }
    }
}
