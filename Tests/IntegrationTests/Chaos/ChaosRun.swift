internal import TestSupport

/// Two instances over one broker, a publisher at each that goes on at a steady pace, a receiver at each that checks, and
/// something that happens in between.
final class ChaosRun {
    let scenario: ChaosScenario
    let upstream: any Upstream
    let checker: Checker
    let one: ChaosSide
    /// Its way to the broker is the proxy.
    let two: ChaosSide
    let proxy: StallingProxy
    /// Where the broker writes; nil for its own folder.
    let dataFolder: String?
    private let folder: TestFolder
    private(set) var count = 0
    private var mayLose = false

    private static let channels = (0..<4).map { "chaos/\($0)" }
    private static let channelNames = JSON.array(ChaosRun.channels.map { .string($0) })
    /// How many numbers each publisher sends at the least before and after a fault.
    private static let stretch = 50

    private var sides: [ChaosSide] { [self.one, self.two] }
    private var directions: [(publisher: ChaosSide, receiver: ChaosSide)] {
        [(self.one, self.two), (self.two, self.one)]
    }

    /// Starts everything, and returns when messages flow both ways in all channels.
    init(_ scenario: ChaosScenario, over upstream: any Upstream, dataFolder: String? = nil) async throws {
        self.scenario = scenario
        self.dataFolder = dataFolder
        self.upstream = upstream
        self.checker = try Checker()
        self.folder = try TestFolder("chaos")
        self.proxy = try await StallingProxy(to: upstream.server.port)
        try await scenario.giveLogin(at: upstream)
        let brokers = scenario.brokers(upstream)
        // Several servers send clients on to one another, by their own addresses.
        let behind =
            scenario.place == .single
            ? brokers.replacing(":\(upstream.server.port)", with: ":\(self.proxy.port)") : brokers
        self.one = try await ChaosSide(
            "one", client: "a", brokers: brokers, bridges: scenario.bridges, data: "\(self.folder.path)/one")
        self.two = try await ChaosSide(
            "two", client: "b", brokers: behind, bridges: scenario.bridges, data: "\(self.folder.path)/two")
        for side in self.sides {
            try await self.checker.open(side.client, side.instance.url)
            try await self.checker.subscribe(side.client, Self.channels)
        }
        for (publisher, receiver) in self.directions {
            for channel in Self.channels {
                let greeting = JSON.string("from \(publisher.client)")
                _ = try await eventually(every: .milliseconds(200), "flow from \(publisher.name) to \(receiver.name)") {
                    publisher.greetings[channel, default: 0] += 1
                    try await self.checker.publish(publisher.client, channel, greeting)
                    return self.checker.messages(receiver.client, channel).contains(greeting) ? true : nil
                }
            }
        }
    }

    /// Publishes before, during and after `fault`, and returns what became of it: from the first instance to the second, and back.
    /// - Parameter count: how many numbers each publisher sends at the least while the fault lasts; by default the fault's own.
    func accounts(of fault: ChaosFault, lasting count: Int? = nil) async throws -> [ChaosAccount] {
        self.count = count ?? fault.count
        self.mayLose = fault.mayLose(self.scenario)
        for side in self.sides {
            try self.checker.command(
                "pace", side.client,
                ["label": .string(side.client), "channels": Self.channelNames, "every": .number(0.01)])
        }
        try await self.hear(Self.stretch)
        try await fault.happen(to: self)
        // What is heard now was published after the fault.
        try await self.hear(Self.stretch, further: true)

        let mark = self.checker.mark
        for side in self.sides { try self.checker.command("stop", side.client, ["label": .string(side.client)]) }
        for side in self.sides { _ = try await self.checker.event("stopped", of: side.client, from: mark) }
        var accounts: [ChaosAccount] = []
        for (publisher, receiver) in self.directions {
            accounts.append(try await self.account(from: publisher, to: receiver))
        }
        return accounts
    }

    func stop() async throws {
        for side in self.sides {
            let bridge = try await side.instance.bridge()
            guard bridge.isBalanced else { throw Unexpected(bridge) }
            try await side.instance.stop()
        }
        try await self.proxy.stop()
    }

    // MARK: Publishers and receivers

    private func progress(_ client: String, _ label: String) async throws -> (sent: Int, heard: Int) {
        let mark = self.checker.mark
        try self.checker.command("progress", client, ["label": .string(label), "channels": Self.channelNames])
        let event = try await self.checker.event("progress", of: client, from: mark)
        return (event["sent"].int ?? 0, event["heard"].int ?? -1)
    }

    /// Waits until `publishers`, or both sides, have sent `count` more numbers.
    func send(further count: Int, by publishers: [ChaosSide]? = nil) async throws {
        var goals: [(side: ChaosSide, count: Int)] = []
        for side in publishers ?? self.sides {
            goals.append((side, try await self.progress(side.client, side.client).sent + count))
        }
        for goal in goals {
            _ = try await eventually(within: .seconds(120), "\(goal.count) messages of \(goal.side.name)") {
                try await self.progress(goal.side.client, goal.side.client).sent >= goal.count ? true : nil
            }
        }
    }

    /// Waits until each receiver has heard number `count` of the other side, or so many after what is sent by now.
    private func hear(_ count: Int, further: Bool = false) async throws {
        for (publisher, receiver) in self.directions {
            let sent = try await self.progress(publisher.client, publisher.client).sent
            let goal = count + (further ? sent : 0)
            var last = -1
            do {
                _ = try await eventually(within: .seconds(180), "number \(goal) of \(publisher.name)") {
                    for side in self.sides { try side.expectToRun() }
                    last = try await self.progress(receiver.client, publisher.client).heard
                    return last >= goal ? true : nil
                }
            } catch let error as TimedOut {
                var bridges: [JSON] = []
                for side in self.sides { bridges.append(try await side.status) }
                throw TimedOut(what: error.what, limit: error.limit, seen: "\(last), \(bridges)")
            }
        }
    }

    // MARK: Instances

    func kill(_ side: ChaosSide) async throws {
        let mark = self.checker.mark
        try await side.kill()
        _ = try await self.checker.event("closed", of: side.client, from: mark)
    }

    func stop(_ side: ChaosSide) async throws {
        let mark = self.checker.mark
        try await side.instance.stop()
        _ = try await self.checker.event("closed", of: side.client, from: mark)
    }

    /// Starts the instance again, connects its client, and lets that go on publishing.
    func restart(_ side: ChaosSide, hoursBack: Int = 0) async throws {
        try await side.restart(hoursBack: hoursBack)
        let mark = self.checker.mark
        try self.checker.command("reopen", side.client)
        _ = try await self.checker.event("open", of: side.client, from: mark)
        try await self.checker.subscribe(side.client, Self.channels)
        try self.checker.command("resume", side.client, ["label": .string(side.client)])
    }

    // MARK: Accounts

    /// Waits until everything came that must, and the ledger and the receiver agree; what they say at last if they never do.
    private func account(from publisher: ChaosSide, to receiver: ChaosSide) async throws -> ChaosAccount {
        let clock = ContinuousClock()
        let limit = clock.now + .seconds(60)
        var agreed = 0
        while true {
            let before = try await self.heard(of: publisher, by: receiver)
            let status = try await receiver.status
            let heard = try await self.heard(of: publisher, by: receiver)
            let account = try ChaosAccount(heard, gaps: status["gaps"]["list"].elements, from: publisher)
            let isComplete = self.mayLose || account.unfinished == 0 && account.lost == 0
            // Status is from between the two questions, so it speaks of what was heard only when nothing came meanwhile.
            agreed = before == heard && account.isExact && isComplete ? agreed + 1 : 0
            if agreed == 2 || clock.now > limit { return account }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    private func heard(of publisher: ChaosSide, by receiver: ChaosSide) async throws -> JSON {
        let mark = self.checker.mark
        try self.checker.command(
            "account", receiver.client, ["label": .string(publisher.client), "channels": Self.channelNames])
        return try await self.checker.event("accounted", of: receiver.client, from: mark)
    }
}
