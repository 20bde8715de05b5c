internal import TestSupport

/// Three instances that share what a fourth publishes at a steady pace, a receiver at each, and something that happens in between.
final class GroupRun {
    let upstream: any Upstream
    /// The last one's way to the broker is the proxy, and it is the one that is hurt.
    let members: [ChaosSide]
    private(set) var count = 0
    private let checker: Checker
    private let sender: ChaosSide
    private let proxy: StallingProxy
    private let folder: TestFolder
    private let kind: UpstreamKind
    private var mayLoseSilently = false
    /// How many greetings found nobody listening.
    private var greetings = 0

    private static let channels = (0..<4).map { "chaos/\($0)" }
    private static let channelNames = JSON.array(GroupRun.channels.map { .string($0) })
    /// How many numbers are sent at the least before and after a fault.
    private static let stretch = 50

    private static let retry = "retry: { initial: 50ms, max: 500ms }"

    /// Starts everything, and returns when every member gets a share.
    /// - Parameter scenario: the broker, which keeps what it acknowledged if it can.
    init(_ scenario: ChaosScenario, over upstream: any Upstream) async throws {
        self.kind = scenario.kind
        self.upstream = upstream
        self.checker = try Checker()
        self.folder = try TestFolder("group")
        self.proxy = try await StallingProxy(to: upstream.server.port)
        // Whoever publishes where nobody listens is told.
        let brokers = scenario.brokers(upstream).replacing("mqtt: {", with: "mqtt: { mandatory: true,")
            .replacing("amqp: {", with: "amqp: { mandatory: true,")
        let behind = brokers.replacing(":\(upstream.server.port)", with: ":\(self.proxy.port)")
        let rule = """
              up:
                broker: up
                channels: ["chaos/**"]
                guarantee: at_least_once
                \(Self.retry)

            """
        let member = rule + "    direction: in\n    consume: one_of\n    group: workers"
        let buffer = "    buffer: { type: disk, size: 64MiB, when_full: block }"
        self.sender = try await ChaosSide(
            "sender", client: "s", brokers: brokers, bridges: rule + "    direction: out\n    ack: buffered\n" + buffer,
            data: "\(self.folder.path)/sender")
        var members: [ChaosSide] = []
        for (client, brokers) in [("a", brokers), ("b", brokers), ("c", behind)] {
            members.append(
                try await ChaosSide(
                    "member-\(client)", client: client, brokers: brokers, bridges: member,
                    data: "\(self.folder.path)/\(client)"))
        }
        self.members = members
        try await self.checker.open(self.sender.client, self.sender.instance.url)
        for member in members {
            try await self.checker.open(member.client, member.instance.url)
            try await self.checker.subscribe(member.client, Self.channels)
        }
        _ = try await eventually(within: .seconds(120), every: .milliseconds(200), "a share for every member") {
            for channel in Self.channels { try await self.checker.publish(self.sender.client, channel, "greeting") }
            return members.allSatisfy { member in
                Self.channels.contains { !self.checker.messages(member.client, $0).isEmpty }
            } ? true : nil
        }
        self.greetings = try await eventually("the greetings to be settled") {
            let egress = try await self.sender.instance.bridge()["egress"]
            guard egress["buffered"] == 0, egress["in_flight"] == 0 else { return nil }
            return egress["dropped"]["unroutable"].int ?? 0
        }
    }

    /// Publishes before, during and after `fault`, and returns what became of it.
    /// - Parameter count: how many numbers are sent at the least while the fault lasts; by default the fault's own.
    func account(of fault: GroupFault, lasting count: Int? = nil) async throws -> GroupAccount {
        self.count = count ?? fault.count
        self.mayLoseSilently = fault.mayLoseSilently(over: self.kind)
        let label = JSON.string(self.sender.client)
        try self.checker.command(
            "pace", self.sender.client, ["label": label, "channels": Self.channelNames, "every": .number(0.01)])
        try await self.hear(Self.stretch)
        try await fault.happen(to: self)
        // What is heard now was published after the fault.
        try await self.hear(Self.stretch, further: true)
        let mark = self.checker.mark
        try self.checker.command("stop", self.sender.client, ["label": label])
        _ = try await self.checker.event("stopped", of: self.sender.client, from: mark)
        return try await self.account()
    }

    func stop() async throws {
        for side in self.members + [self.sender] { try await side.instance.stop() }
        try await self.proxy.stop()
    }

    // MARK: Publisher and receivers

    private func sent() async throws -> Int {
        let (mark, client) = (self.checker.mark, self.sender.client)
        try self.checker.command("progress", client, ["label": .string(client), "channels": Self.channelNames])
        return try await self.checker.event("progress", of: client, from: mark)["sent"].int ?? 0
    }

    /// Waits until `count` more numbers are sent.
    func send(further count: Int) async throws {
        let goal = try await self.sent() + count
        _ = try await eventually(within: .seconds(120), "\(goal) messages sent") {
            try await self.sent() >= goal ? true : nil
        }
    }

    /// Waits until each client has heard number `count` or a later one, or so many after what is sent by now.
    private func hear(_ count: Int, further: Bool = false) async throws {
        let goal = try await self.sent() * (further ? 1 : 0) + count
        var last: [Int] = []
        do {
            _ = try await eventually(within: .seconds(180), every: .milliseconds(200), "number \(goal) at each member")
            {
                for member in self.members { try member.expectToRun() }
                let heard = try await self.shared()["members"]
                last = self.members.map { heard[$0.client]["last"].int ?? -1 }
                return last.allSatisfy { $0 >= goal } ? true : nil
            }
        } catch let error as TimedOut {
            var bridges: [JSON] = []
            for side in self.members + [self.sender] { bridges.append(try await side.instance.bridge()) }
            throw TimedOut(what: error.what, limit: error.limit, seen: "\(last), \(bridges)")
        }
    }

    // MARK: The member that is hurt

    func killOne() async throws {
        let mark = self.checker.mark
        try await self.members[2].kill()
        _ = try await self.checker.event("closed", of: self.members[2].client, from: mark)
    }

    /// Starts it again. It reaches its broker when its client is there again, so that nothing is delivered to nobody.
    func restartOne() async throws {
        let member = self.members[2]
        self.proxy.turnAway(true)
        try await member.restart()
        let mark = self.checker.mark
        try self.checker.command("reopen", member.client)
        _ = try await self.checker.event("open", of: member.client, from: mark)
        try await self.checker.subscribe(member.client, Self.channels)
        self.proxy.turnAway(false)
    }

    // MARK: Accounts

    /// Waits until everything came that must, and the ledgers and the receivers agree; what they say at last if they never do.
    private func account() async throws -> GroupAccount {
        let clock = ContinuousClock()
        let limit = clock.now + .seconds(60)
        // Where something may be lost, only time tells that it is.
        let goal = self.mayLoseSilently ? 20 : 2
        var (agreed, received) = (0, -1)
        while true {
            let account = try await self.momentaryAccount()
            let agrees =
                account.disagreements.isEmpty && account.unfinished == 0 && (self.mayLoseSilently || account.isExact)
            agreed = agrees && received == account.received ? agreed + 1 : 0
            received = account.received
            if agreed == goal || clock.now > limit { return account }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    /// What was heard may be later than what the ledgers say of it.
    private func momentaryAccount() async throws -> GroupAccount {
        var members: [(ChaosSide, JSON)] = []
        for member in self.members { members.append((member, try await member.instance.bridge())) }
        let sender = try await self.sender.instance.bridge()
        return try GroupAccount(
            try await self.shared(), members: members, sender: sender, greetings: self.greetings)
    }

    /// What the clients of the members have heard, together and each.
    private func shared() async throws -> JSON {
        let (mark, client) = (self.checker.mark, self.sender.client)
        try self.checker.command(
            "share", client,
            [
                "label": .string(client), "channels": Self.channelNames,
                "clients": .array(self.members.map { .string($0.client) }),
            ])
        return try await self.checker.event("shared", of: client, from: mark)
    }
}
