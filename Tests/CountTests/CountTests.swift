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
            // Without optimisation 14 for a turn of one publish and 46 for one of sixteen; twice that is a change to look at.
            #expect(try value("allocations.turn") < (window == 1 ? 28 : 92), "\(counts)")
        }
    }

    @Test func `with a ring a subscriber costs a part of a system call per turn and nothing else`() async throws {
        let counts = try await self.counts()
        // Where the kernel refuses rings, what is counted is what the test above has looked at.
        guard counts["counted"] == 1, counts["ring.refusals"] == 0 else { return }
        for window in [1, 16] {
            func value(_ name: String) throws -> Double { try #require(counts["ring-\(window).\(name)"]) }
            #expect(try value("allocations.delivery") < 0.1, "\(counts)")
            #expect(try value("locks.delivery") < 0.1, "\(counts)")
            #expect(try value("reads.delivery") < 0.1, "\(counts)")
            // One call for 30 subscribers and two for 300, in a turn that comes in one piece; a call each would be 1, or 1/16.
            #expect(try value("writes.delivery") < 0.05, "\(counts)")
            #expect(try value("writes.turn") > 0.9 && value("writes.turn") < 8, "\(counts)")
            #expect(try value("allocations.turn") < (window == 1 ? 28 : 92), "\(counts)")
        }
    }

    @Test func `a message out or in through a bridge costs no lock and no system call of its own`() async throws {
        let counts = try await self.counts()
        guard counts["counted"] == 1 else { return }
        for (way, allocations) in [("egress", 8.1), ("ingress", 11.0)] {
            func value(_ name: String) throws -> Double { try #require(counts["\(way).\(name)"]) }
            // A message more in a turn of many. Where a turn comes in two pieces instead of one, 48 messages share what that costs.
            #expect(try value("locks.message") < 0.25, "\(counts)")
            #expect(try value("writes.message") < 0.25, "\(counts)")
            #expect(try value("reads.message") < 0.25, "\(counts)")
            // Without optimisation; a release build allocates for one message in ten.
            #expect(try value("allocations.message") < allocations * 1.3, "\(counts)")
            // A wake-up of the bridge and what the client is sent; nothing at all would mean that nothing was counted.
            #expect(try value("writes.turn") > 0.9 && value("writes.turn") < 8, "\(counts)")
        }
    }

    /// Nothing that callgrind counts depends on the machine, but much depends on the kind of processor.
    private static let countsInstructions: Bool = {
        #if arch(x86_64)
            if ChildProcess.find("valgrind") != nil { return true }
            if ProcessInfo.processInfo.environment["CI"] == "true" { return true }
            FileHandle.standardError.write(Data("SKIPPED: valgrind is not installed; `make test` installs it\n".utf8))
        #endif
        return false
    }()

    @Test(.enabled(if: countsInstructions))
    func `a delivery, a publish and a message through a bridge cost as many instructions as they did`() async throws {
        guard try await self.counts()["counted"] == 1 else { return }
        let folder = try TestFolder("counts")
        // Debian's valgrind does not understand what compilers of today say for debuggers.
        try await ChildProcess.run("strip", ["--strip-debug", "-o", folder.file("counts"), Self.program])
        // What the loop of the server does, and the thread of the bridge, as far as each call of counts_now, in a file for each.
        try await ChildProcess.run(
            "valgrind",
            [
                "--tool=callgrind", "--dump-before=counts_now", "--callgrind-out-file=\(folder.file("out"))",
                "--toggle-collect=$s8NIOPosix19SelectableEventLoopC3runyyKF",
                "--toggle-collect=$s15linkspan_counts20CountingConversationC4turnyyF", folder.file("counts"), "few",
            ], within: .seconds(600))
        func instructions(_ number: Int) throws -> Double {
            let text = try String(contentsOfFile: folder.file("out.\(number)"), encoding: .utf8)
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("summary: ") })
            return try #require(Double(line.dropFirst("summary: ".count)))
        }
        // Every second file is of ten turns, first for 10 subscribers and then for 110. The limits are without optimisation, and a third
        // above what was counted: 2,700 and 175 for a delivery, 260,000 and 1,090,000 for a turn of 1 and of 16 publishes. On a busy
        // machine sixteen may come in two or three pieces, each with a write for each subscriber. From the eighteenth on 110 of them are
        // written to by a ring: 4,100 and 260 for a delivery.
        for (window, file, delivery, turn) in [
            (1, 2, 3600.0, 350_000.0), (16, 6, 600.0, 2_000_000.0), (1, 18, 5400.0, 350_000.0),
            (16, 22, 900.0, 2_000_000.0),
        ] {
            let (few, many) = (try instructions(file), try instructions(file + 2))
            let counted = "\(window) per turn: \(few) instructions for 10 subscribers, \(many) for 110"
            print(counted)
            #expect((many - few) / Double(100 * 10 * window) < delivery, "\(counted)")
            #expect(few / 10 < turn, "\(counted)")
            // A count of nothing would be below any limit.
            #expect(many > few && few / 10 > turn / 10, "\(counted)")
        }
        // Ten turns of 16 messages through a bridge, then of 64. Counted were 224,000 out, which is mostly the parsing of the publish, and
        // 54,000 in.
        for (way, file, message) in [("egress", 10, 300_000.0), ("ingress", 14, 75_000.0)] {
            let (few, many) = (try instructions(file), try instructions(file + 2))
            let counted = "\(way): \(few) instructions for turns of 16, \(many) for turns of 64"
            print(counted)
            #expect((many - few) / Double(10 * (64 - 16)) < message, "\(counted)")
            #expect(few / Double(10 * 16) > message / 10, "\(counted)")
        }
    }
}
