import Foundation
import TestSupport
import Testing

@testable import LinkspanBench

/// Frames as clients write them.
struct ClientFrameTests {
    @Test(arguments: 0..<9) func `a piece is masked as the whole message is`(offset: Int) {
        let text = (0..<61).map { UInt8($0) &* 37 }
        let frame = ClientFrame.masked(text)
        var piece = Array(text[offset...])
        piece.withUnsafeMutableBytes { ClientFrame.mask($0.baseAddress!, $0.count, messageOffset: offset) }
        #expect(piece == Array(frame[(ClientFrame.headerLength(text.count) + offset)...]))
    }
}

/// The generator against the yardstick and the server, as processes.
struct LoadTests {
    private func floor(_ faults: String...) throws -> (ServerProcess, UInt16, ScratchFolder) {
        let folder = try ScratchFolder()
        let port = try Loopback.freePort()
        let process = try ServerProcess(
            ["\(Programs.folder)/linkspan-bench", "floor", "--port", "\(port)"] + faults, cores: [],
            log: folder.file("floor.log"))
        try process.awaitPort(port, within: .seconds(60))
        return (process, port, folder)
    }

    /// A hundred messages and more to each of three subscribers, however slow the machine is.
    private func plan(_ port: UInt16) -> LoadPlan {
        var plan = LoadPlan(dialect: .socketCluster, port: port)
        plan.subscribersPerChannel = 3
        plan.pace = .perSecond(1000)
        plan.warmUp = .milliseconds(100)
        plan.measured = .milliseconds(100)
        plan.patience = .seconds(60)
        return plan
    }

    @Test func `an orderly server is clean, and every publish is delivered`() async throws {
        let (process, port, folder) = try self.floor()
        defer { withExtendedLifetime((process, folder)) {} }
        let result = try await LoadGenerator(self.plan(port)).measure(process.meter)
        #expect(result.faults.isClean)
        #expect(result.delivered > 0 && result.serverNanoseconds > 0)
    }

    @Test(arguments: ["drop", "repeat", "swap", "corrupt"])
    func `a server with a fault is found out`(fault: String) async throws {
        let (process, port, folder) = try self.floor("--\(fault)-every", "10")
        defer { withExtendedLifetime((process, folder)) {} }
        var plan = self.plan(port)
        plan.drainLimit = .seconds(1)
        let result = try await LoadGenerator(plan).measure(process.meter)
        let faults = result.faults
        let seen = [
            "drop": faults.lost, "repeat": faults.repeated, "swap": faults.reordered, "corrupt": faults.damaged,
        ]
        #expect(try #require(seen[fault]) > 0)
    }

    @Test func `slow readers get an unbroken part, and others everything`() async throws {
        // So little that even a generator that stands still for a second is no slow reader itself.
        let row = Row(
            name: "smoke", title: "500 messages/s of 1 KiB to 2 subscribers, beside 3 that read a tenth of that",
            scenario: .overload(3, bytesPerSecond: 50_000) { plan in
                plan.subscribersPerChannel = 2
                plan.payloadSize = 1024
                plan.pace = .perSecond(500)
                plan.patience = .seconds(60)
                plan.drainLimit = .seconds(60)
            },
            reference: .linkspan, contenders: [.linkspan], measures: [(.bytesPerSlowReader, nil)])
        let comparison = Comparison(
            tools: Programs.tools, cores: Cores(server: [], broker: [], generator: []), rounds: 1,
            measured: .milliseconds(500), note: { _ in })
        let outcome = await comparison.run(row)
        #expect(outcome.isClean, "\(outcome.failures) \(outcome.faults)")
        #expect(outcome.median("linkspan", 0) != nil)
    }

    @Test func `what a slow reader misses is found out`() async throws {
        let (process, port, folder) = try self.floor("--drop-every", "10")
        defer { withExtendedLifetime((process, folder)) {} }
        var plan = self.plan(port)
        // The floor drops for whoever subscribed last, and that is the slow one while nobody else does.
        plan.subscribersPerChannel = 0
        plan.completion = .acknowledgement(every: 64)
        plan.pace = .window(64)
        let generator = try LoadGenerator(plan)
        let readers = SlowReaders(1, of: plan, bytesPerSecond: 1 << 20)
        let (_, outcome) = try await readers.read(process.meter) { try await generator.measure(process.meter) }
        #expect(outcome.faults.lost > 0)
    }

    @Test func `a row compares the server with the yardstick`() async throws {
        let comparison = Comparison(
            tools: Programs.tools, cores: Cores(server: [], broker: [], generator: []), rounds: 1,
            measured: .milliseconds(100),
            note: { _ in })
        let row = Row(
            name: "smoke", title: "10 channels of 10 subscribers",
            scenario: .traffic { plan in
                plan.channels = 10
                plan.subscribersPerChannel = 10
                plan.pace = .window(4)
                plan.patience = .seconds(60)
            }, reference: .floorEach, contenders: [.floorEach, .linkspan],
            measures: [(.serverMicrosecondsPerMessage, nil), (.messagesPerSecond, nil)])
        let outcome = await comparison.run(row)
        #expect(outcome.failures == [])
        #expect(outcome.faults.isClean)
        #expect(outcome.ratio("linkspan", 0) != nil)
    }
}
