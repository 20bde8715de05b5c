internal import Foundation
internal import TestSupport
internal import Testing

/// What a delivery costs in counts, which a busy or slow machine does not change. Seconds are for docs/performance.md.
struct CountTests {
    private static let program: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/linkspan-counts"
    }()

    private func counts() async throws -> [String: Double] {
        let lines = try await ChildProcess.run(Self.program, [])
        return try lines.reduce(into: [:]) { counts, line in
            let parts = line.split(separator: " ")
            try #require(parts.count == 2, "\(line)")
            let count: Double = try #require(Double(parts[1]))
            counts[String(parts[0])] = count
        }
    }

    @Test func `a subscriber costs one system call per turn and nothing else`() async throws {
        let counts = try await self.counts()
        guard counts["counted"] == 1 else { return }
        for window in [1, 16] {
            func value(_ name: String) throws -> Double { try #require(counts["window-\(window).\(name)"]) }
            // Anything done for each delivery counts 1. What timers do meanwhile is shared among the deliveries: under a thousandth of
            // each here, a fiftieth on a machine that is slow and busy.
            #expect(try value("allocations.delivery") < 0.1, "\(counts)")
            #expect(try value("locks.delivery") < 0.1, "\(counts)")
            #expect(try value("reads.delivery") < 0.1, "\(counts)")
            // What one turn brings leaves in one write: a message each, or all of a window. Some windows may come in two pieces.
            #expect(try value("writes.delivery") < (window == 1 ? 1.001 : 2.0 / 16), "\(counts)")
            #expect(try value("writes.delivery") > (window == 1 ? 0.999 : 0.999 / 16), "\(counts)")
            // Without optimisation 18 for a turn of one publish and 48 for one of sixteen; twice that is a change to look at.
            #expect(try value("allocations.turn") < (window == 1 ? 36 : 96), "\(counts)")
        }
    }
}
