internal import TestSupport
internal import Testing

/// What becomes of messages that three instances share, while one of them or their broker dies.
@Suite(.serialized)
struct GroupChaosTests {
    private static let cases: [(UpstreamKind, GroupFault)] = [
        (.mqtt, .memberKilled), (.mqtt, .brokerRestarted), (.redis, .memberKilled), (.amqp, .memberKilled),
    ]

    @Test(arguments: Self.cases)
    func
        `a group loses nothing when a member or its broker ends and comes back, and its ledgers say what clients heard`(
            _ kind: UpstreamKind, _ fault: GroupFault
        ) async throws
    {
        guard kind.isAvailable else { return }
        var scenario = ChaosScenario(kind, .kept)
        scenario.isPatient = true
        try await scenario.withUpstream { upstream in
            let run = try await GroupRun(scenario, over: upstream)
            let account = try await run.account(of: fault, lasting: 50)
            #expect(account.isExact && account.unfinished == 0 && account.unanswered == 0, "\(account)")
            #expect(account.lost == 0 || fault.mayLose(over: kind), "\(account)")
            #expect(account.doubledAtOne == 0 || fault == .memberKilled, "\(account)")
            try await run.stop()
        }
    }
}
