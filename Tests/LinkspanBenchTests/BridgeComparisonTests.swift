import TestSupport
import Testing

@testable import LinkspanBench

/// A row of bridges with a real broker, as short as a figure can be had.
@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct BridgeComparisonTests {
    @Test func `a row compares a bridge with the bare loop, and loses nothing`() async throws {
        let comparison = BridgeComparison(
            tools: Programs.tools, cores: Cores(server: [], broker: [], generator: []), rounds: 1,
            measured: .seconds(2),
            note: { _ in })
        let outcome = await comparison.run(BridgeRow(upstream: .redis, way: .egress))
        #expect(outcome.failures == [])
        #expect(outcome.faults.isClean)
        #expect(outcome.median("bare loop", 0) != nil && outcome.median("linkspan", 0) != nil)
    }
}
