internal import TestSupport
internal import Testing

/// `make chaos`: every fault in every scenario, and the table of `docs/chaos.md`.
@Suite(.enabled(if: ChaosReport.file != nil))
struct AllFaultsTests {
    /// Side by side, since they share nothing; in the order of the table.
    private static let scenarios: [[ChaosScenario]] = [
        [ChaosScenario(.amqp, .kept), ChaosScenario(.amqp, .repaired), ChaosScenario(.amqp, .named)],
        [
            ChaosScenario(.redis, .kept), ChaosScenario(.redis, .repaired), ChaosScenario(.redis, .named),
            ChaosScenario(.redis, .kept, .cluster), ChaosScenario(.redis, .repaired, .cluster),
            ChaosScenario(.redis, .named, .cluster), ChaosScenario(.redis, .kept, .sentinel),
            ChaosScenario(.redis, .repaired, .sentinel), ChaosScenario(.redis, .named, .sentinel),
        ],
        [ChaosScenario(.mqtt, .kept), ChaosScenario(.mqtt, .repaired), ChaosScenario(.mqtt, .named)],
    ]

    @Test func `every fault costs what the guarantee says, and the ledger names it`() async throws {
        let file = try #require(ChaosReport.file)
        async let first = Self.rows(Self.scenarios[0])
        async let second = Self.rows(Self.scenarios[1])
        async let third = Self.rows(Self.scenarios[2])
        let rows = await first + second + third
        // After the others, which share the one RabbitMQ that may be hurt.
        async let amqp = Self.groupRows(.amqp)
        async let redis = Self.groupRows(.redis)
        async let mqtt = Self.groupRows(.mqtt)
        let groups = await amqp + redis + mqtt
        try ChaosReport.write(rows, groups: groups, to: file)
        for broken in (rows + groups).compactMap(\.broken) { Issue.record("\(broken)") }
    }

    private static func groupRows(_ kind: UpstreamKind) async -> [ChaosReport.Row] {
        var rows: [ChaosReport.Row] = []
        for fault in GroupFault.allCases where kind.isAvailable {
            let scenario = ChaosScenario(kind, .kept)
            let name = "group, \(scenario.broker), \(fault.rawValue)"
            if let only = ChaosReport.only, !only.isEmpty, !name.contains(only) { continue }
            var row: ChaosReport.Row
            do {
                var account: GroupAccount?
                try await scenario.withUpstream { upstream in
                    let run = try await GroupRun(scenario, over: upstream)
                    account = try await run.account(of: fault)
                    try await run.stop()
                }
                row = ChaosReport.row(kind, fault, try #require(account))
            } catch {
                row = ChaosReport.row(kind, fault, failed: error)
            }
            print(row.text)
            rows.append(row)
        }
        return rows
    }

    private static func rows(_ scenarios: [ChaosScenario]) async -> [ChaosReport.Row] {
        var rows: [ChaosReport.Row] = []
        for scenario in scenarios where scenario.kind.isAvailable {
            for fault in ChaosFault.allCases where fault.canHappen(to: scenario) {
                let name = "\(scenario.testDescription), \(fault.rawValue)"
                if let only = ChaosReport.only, !only.isEmpty, !name.contains(only) { continue }
                let row = await Self.row(scenario, fault)
                print(row.text)
                rows.append(row)
            }
        }
        return rows
    }

    private static func row(_ scenario: ChaosScenario, _ fault: ChaosFault) async -> ChaosReport.Row {
        if let reason = fault.missing { return ChaosReport.row(scenario, fault, notDone: reason) }
        var scenario = scenario
        scenario.logsIn = fault == .login
        scenario.hasShortQueues = fault == .queueLimit
        var accounts: [ChaosAccount] = []
        do {
            try await Self.withFolder(of: scenario, fault) { folder in
                try await scenario.withUpstream(folder: folder) { upstream in
                    let run = try await ChaosRun(scenario, over: upstream, dataFolder: folder)
                    accounts = try await run.accounts(of: fault)
                    try await run.stop()
                }
            }
            return ChaosReport.row(scenario, fault, accounts)
        } catch {
            return ChaosReport.row(scenario, fault, failed: error)
        }
    }

    /// For a disk that fills up: a file system of a few megabytes, for mosquitto and Redis. The limit of RabbitMQ is its own.
    private static func withFolder(
        of scenario: ChaosScenario, _ fault: ChaosFault, _ body: (String?) async throws -> Void
    ) async throws {
        guard fault == .disk, scenario.kind != .amqp else { return try await body(nil) }
        let folder = try TestFolder("small")
        try await ChildProcess.run("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder.path])
        let result: Result<Void, any Error>
        do { result = .success(try await body(folder.path)) } catch { result = .failure(error) }
        try await ChildProcess.run("umount", ["-l", folder.path])
        try result.get()
    }
}
