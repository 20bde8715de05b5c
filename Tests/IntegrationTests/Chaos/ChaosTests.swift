internal import TestSupport
internal import Testing

/// What becomes of messages while a broker dies: nothing is lost where that is promised, and whatever is lost is named, message by message.
@Suite(.serialized)
struct ChaosTests {
    private static let scenarios: [ChaosScenario] = [
        ChaosScenario(.redis, .kept), ChaosScenario(.redis, .repaired), ChaosScenario(.redis, .named),
        ChaosScenario(.mqtt, .repaired), ChaosScenario(.mqtt, .named), ChaosScenario(.amqp, .kept),
    ]

    @Test(arguments: Self.scenarios)
    func `a broker killed while both sides publish costs what the guarantee says, and the ledger names it exactly`(
        _ scenario: ChaosScenario
    ) async throws {
        guard scenario.kind.isAvailable else { return }
        var scenario = scenario
        scenario.isPatient = true
        try await scenario.withUpstream { upstream in
            let run = try await ChaosRun(scenario, over: upstream)
            for account in try await run.accounts(of: .brokerKilled, lasting: 50) {
                #expect(account.isExact, "\(account)")
                #expect(account.doubled == 0 && account.doubtful == 0, "\(account)")
                #expect(account.received + account.lost == account.sent, "\(account)")
                if scenario.losesNothing { #expect(account.lost == 0 && account.unfinished == 0, "\(account)") }
            }
            try await run.stop()
        }
    }
}
