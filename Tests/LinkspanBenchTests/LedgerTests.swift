import TestSupport
import Testing

@testable import LinkspanBench

/// What the page says about the price of the ledger, from the pieces to the page.
struct LedgerTests {
    @Test func `each piece does its work, and costs something`() {
        let (costs, absence) = LedgerBenchmark(span: .milliseconds(1)).run()
        #expect(absence == nil)
        #expect(Set(costs.map(\.name)).count == costs.count)
        for cost in costs { #expect(cost.nanoseconds > 0 && cost.instructions == nil, "\(cost)") }
        for place in [LedgerPiece.Place.egress, .ingress] {
            let parts = costs.filter { $0.place == place }.map(\.nanoseconds)
            #expect(!parts.isEmpty && abs(costs.sum(place).nanoseconds - parts.reduce(0, +)) < 0.001)
        }
    }

    @Test func `every message pays for what is listed, and for nothing that was not counted`() {
        let costs = [
            LedgerCost(name: "a", title: "A", place: .egress, nanoseconds: 2, instructions: 20),
            LedgerCost(name: "b", title: "B", place: .egress, nanoseconds: 3, instructions: 30),
            LedgerCost(name: "c", title: "C", place: .chosen, nanoseconds: 100, instructions: 1000),
            LedgerCost(name: "d", title: "D", place: .ingress, nanoseconds: 1, instructions: nil),
        ]
        #expect(costs.sum(.egress) == (5, 50))
        #expect(costs.sum(.ingress).nanoseconds == 1 && costs.sum(.ingress).instructions == nil)
        let page = LedgerSection(report: self.report(rows: [], ledger: costs)).markdown
        #expect(page?.contains("| out | **every message** | 5.00 | 50.0 |") == true, "\(page ?? "")")
        #expect(page?.contains("| in | **every message** | 1.00 | - |") == true, "\(page ?? "")")
    }

    @Test func `a row with a bridge beside it is judged by the goal of the row`() {
        var row = RowOutcome(
            name: "r", title: "R", reference: "floor-each", ours: "linkspan",
            contenders: ["floor-each", "linkspan", "linkspan-bridged"],
            measures: [(.serverMicrosecondsPerMessage, .atMostTimes(1.5))])
        row.add([10], Faults(), of: "floor-each")
        row.add([14], Faults(), of: "linkspan")
        row.add([16], Faults(), of: "linkspan-bridged")
        #expect(row.isGoalMet(0) == true && row.isGoalMet(0, by: "linkspan-bridged") == false)
        let page = LedgerSection(report: self.report(rows: [row], ledger: [])).markdown
        #expect(page?.contains("| 10.0 | 14.0 | 1.40 | 16.0 | 1.60 | ≤ 1.50 × | missed |") == true, "\(page ?? "")")
    }

    @Test func `nothing measured is nothing said`() {
        #expect(LedgerSection(report: self.report(rows: [], ledger: [])).markdown == nil)
    }

    private func report(rows: [RowOutcome], ledger: [LedgerCost]) -> BenchmarkReport {
        let machine = MachineFacts(
            processor: "p", cores: 4, memoryGigabytes: 1, system: "s", kernel: "k", congestionControl: "c", busyCores: 0
        )
        return BenchmarkReport(
            machine: machine, versions: [], absences: [], rounds: 1, measured: .seconds(1), cores: .all, rows: rows,
            ledger: ledger)
    }
}

/// What a row makes of its runs.
struct RowOutcomeTests {
    private func outcome(mustSucceed: Set<String>? = nil) -> RowOutcome {
        RowOutcome(
            name: "r", title: "R", reference: "floor", ours: "linkspan", contenders: ["floor", "linkspan", "other"],
            mustSucceed: mustSucceed, measures: [(.serverMicrosecondsPerMessage, .atMostTimes(1.25))])
    }

    @Test func `a ratio is of runs that stood next to each other`() {
        var row = self.outcome()
        // The machine is twice as slow in the second round, and ours always a tenth dearer.
        for (floor, linkspan) in [(10.0, 11.0), (20, 22), (10, 11), (20, 22)] {
            row.add([floor], Faults(), of: "floor")
            row.add([linkspan], Faults(), of: "linkspan")
        }
        #expect(row.ratio("linkspan", 0).map { abs($0 - 1.1) < 0.001 } == true)
        #expect(row.isGoalMet(0) == true)
    }

    @Test func `who runs less often is compared with the nearest run of the reference`() {
        var row = self.outcome()
        row.add([10], Faults(), of: "floor")
        row.add([15], Faults(), of: "other")
        row.add([30], Faults(), of: "linkspan")
        row.add([20], Faults(), of: "floor")
        #expect(row.ratio("other", 0) == 1.5)
        #expect(row.ratio("linkspan", 0) == 1.5)
    }

    @Test func `a failed run of somebody who has to succeed fails the row, and of others does not`() {
        var row = self.outcome(mustSucceed: ["floor", "linkspan", "other"])
        row.failed("other", "gone")
        #expect(row.failures == ["other: gone"] && !row.isClean)
        row = self.outcome()
        row.failed("other", "gone")
        #expect(row.peerFailures == ["other: gone"] && row.isClean)
    }
}

/// A row of choices with a real broker, as short as a figure can be had.
@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct ChoiceComparisonTests {
    @Test(arguments: [BridgeRow.Way.egress, .ingress])
    func `choices are measured on an instance each, and nothing is lost`(way: BridgeRow.Way) async throws {
        let comparison = ChoiceComparison(
            tools: Programs.tools, cores: Cores(server: [], broker: [], generator: []), rounds: 1,
            measured: .seconds(3), note: { _ in })
        let row = ChoiceRow(
            name: "smoke", title: "Smoke", upstream: .redis, way: way,
            choices: [
                .init(name: "as it comes", carriesHeader: way == .ingress),
                .init(name: "ack: confirmed", rule: way == .egress ? "ack: confirmed" : "", asksForAnswers: true),
            ])
        let outcome = await comparison.run(row)
        #expect(outcome.isClean, "\(outcome.failures) \(outcome.faults)")
        for choice in row.choices { #expect(outcome.median(choice.name, 0).map { $0 > 0 } == true) }
    }
}
