import Foundation
import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import TestSupport
import Testing

/// Disk buffers with real files, below a host whose upstream is in the test's hand.
@Suite struct DiskBufferTests {
    private static func settings(
        _ upstream: String, _ folder: TestFolder, rule: (inout BridgeRule) -> Void = { _ in }
    ) -> LinkspanSettings {
        var settings = LinkspanSettings.scripted(upstream) { bridge in
            bridge.guarantee = .atLeastOnce
            bridge.buffer.type = .disk
            rule(&bridge)
        }
        settings.server.dataFolder = folder.path
        return settings
    }

    private func taken(_ run: ScriptedRun, _ count: Int) async throws -> [EgressMessage] {
        var messages: [EgressMessage] = []
        while messages.count < count {
            let work = try await within(.seconds(60), "a message to take") { await run.link.nextWork(upTo: 100) }
            messages += work.egress
        }
        return messages
    }

    private static func segments(_ folder: TestFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.file("buffers/b")).filter {
            $0.hasSuffix(".segment")
        }
        .sorted()
    }

    @Test(arguments: SyncRule.allCases)
    func `what an instance leaves unsent leaves with the next one, under the same identities`(
        sync: SyncRule
    ) async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        let settings = Self.settings(name, folder) { $0.buffer.sync = sync }
        let first = try HostUnderTest(settings, upstream: name)
        try await first.running { host in
            let run = try await host.connected()
            host.offer(.test("1"), .test("2", sequence: 2), .test("3", sequence: 3))
            let work = try await self.taken(run, 3)
            run.link.confirm(work[0].ticket...work[0].ticket)
            host.offer(.test("4", sequence: 4))
        }
        #expect(first.isBalanced && first.status.egress.buffered == 3 && first.status.egress.dropped.total == 0)

        let second = try HostUnderTest(settings, upstream: name)
        try await second.running { host in
            let run = try await host.connected(1)
            host.offer(.test("5", sequence: 5))
            let work = try await self.taken(run, 4)
            #expect(work.map { String(buffer: $0.payload) } == ["2", "3", "4", "5"])
            #expect(work.compactMap(\.header) == (2...5).map { .test(sequence: $0) })
            #expect(host.status.egress.recovered == 3 && host.isBalanced)
            run.link.confirm(1...4)
            #expect(host.status.egress.confirmed == 4 && host.isBalanced)
        }
        let third = try HostUnderTest(settings, upstream: name)
        try await third.running { host in
            _ = try await host.connected(2)
            #expect(host.status.egress.recovered == 0)
        }
    }

    @Test func `messages keep their age over a restart`() async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        let settings = Self.settings(name, folder) { $0.buffer.age = .seconds(30) }
        try await HostUnderTest(settings, upstream: name).running { host in
            _ = try await host.connected()
            host.offer(.test("1"))
            _ = try await eventually("written") { host.status.storage?.unwritten == 0 ? true : nil }
        }
        let second = try HostUnderTest(settings, upstream: name)
        try await second.running { host in
            _ = try await eventually("open") { host.status.egress.recovered == 1 ? true : nil }
            _ = try await host.time.sleeps.first("a tick") { $0 == HostTime.tick }
            host.time.advance(by: .seconds(31))
            let run = try await host.connected(1)
            _ = try await eventually("expired") {
                _ = run.link.takeWork(upTo: 10)
                return host.status.egress.expired == 1 ? true : nil
            }
            #expect(host.isBalanced)
        }
    }

    @Test func `a second process is kept out of the folder and says so`() async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        let settings = Self.settings(name, folder)
        try await HostUnderTest(settings, upstream: name).running { host in
            _ = try await host.connected()
            let other = try HostUnderTest(settings, upstream: name)
            let error = await #expect(throws: BufferFolderError.self) { try await other.host.run() }
            #expect(error?.isLocked == true)
            #expect(error?.description == "cannot lock \(folder.path)/buffers/b: another process uses it")
        }
        // The lock goes with its holder.
        try await HostUnderTest(settings, upstream: name).running { host in _ = try await host.connected(1) }
    }

    @Test func `a folder that cannot be made ends the start with its name`() async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        _ = try folder.write("not a folder", to: "buffers")
        let host = try HostUnderTest(Self.settings(name, folder), upstream: name)
        let error = await #expect(throws: BufferFolderError.self) { try await host.host.run() }
        #expect(error?.description == "cannot create \(folder.path)/buffers/b: Not a directory")
    }

    @Test func `damage in the files costs the damaged messages, counted, and no others`() async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        let settings = Self.settings(name, folder)
        try await HostUnderTest(settings, upstream: name).running { host in
            _ = try await host.connected()
            for number in 1...3 { host.offer(.test("\(number)", sequence: UInt64(number))) }
            _ = try await eventually("written") { host.status.storage?.unwritten == 0 ? true : nil }
        }
        let path = folder.file("buffers/b/" + (try #require(try Self.segments(folder).first)))
        var bytes = try Data(contentsOf: URL(filePath: path))
        let length = (bytes.count - 8) / 3
        bytes[8 + length + length / 2] ^= 0xFF
        try bytes.write(to: URL(filePath: path))
        let second = try HostUnderTest(settings, upstream: name)
        try await second.running { host in
            let run = try await host.connected(1)
            let work = try await self.taken(run, 2)
            #expect(work.map { String(buffer: $0.payload) } == ["1", "3"])
            #expect(host.status.egress.dropped[.damaged] == 1 && host.isBalanced)
        }
    }

    enum Harm: CaseIterable, Sendable {
        case deleted, emptied, cut
    }

    @Test(arguments: Harm.allCases, [false, true])
    func `an end of the files that is gone is counted, and what comes next is kept`(
        harm: Harm, isFirstSettled: Bool
    ) async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        let settings = Self.settings(name, folder)
        try await HostUnderTest(settings, upstream: name).running { host in
            let run = try await host.connected()
            for number in 1...4 { host.offer(.test("\(number)", sequence: UInt64(number))) }
            let work = try await self.taken(run, 4)
            if isFirstSettled { run.link.confirm(work[0].ticket...work[0].ticket) }
        }
        let path = folder.file("buffers/b/" + (try #require(try Self.segments(folder).first)))
        let bytes = try Data(contentsOf: URL(filePath: path))
        switch harm {
        case .deleted: try FileManager.default.removeItem(atPath: path)
        case .emptied: try Data().write(to: URL(filePath: path))
        // The last two records, and a part of the one before.
        case .cut: try bytes.prefix(8 + (bytes.count - 8) / 4 * 3 / 2).write(to: URL(filePath: path))
        }
        let left = harm == .cut && !isFirstSettled ? ["1"] : []
        let lost = UInt64(4 - left.count - (isFirstSettled ? 1 : 0))
        let second = try HostUnderTest(settings, upstream: name)
        try await second.running { host in
            let run = try await host.connected(1)
            host.offer(.test("5", sequence: 5))
            let work = try await self.taken(run, left.count + 1)
            #expect(work.map { String(buffer: $0.payload) } == left + ["5"])
            #expect(host.status.egress.dropped[.damaged] == lost && host.isBalanced)
            run.link.confirm(work[0].ticket...work[left.count].ticket)
        }
        // It is told once.
        let third = try HostUnderTest(settings, upstream: name)
        try await third.running { host in
            _ = try await host.connected(2)
            #expect(host.status.egress.dropped[.damaged] == 0 && host.status.egress.recovered == 0 && host.isBalanced)
        }
    }

    @Test func `files of another version are left alone, and the start says so`() async throws {
        let (name, folder) = (uniqueUpstream(), try TestFolder("buffer"))
        let settings = Self.settings(name, folder)
        try await HostUnderTest(settings, upstream: name).running { host in _ = try await host.connected() }
        _ = try folder.write("LSBUFv2\nwhatever", to: "buffers/b/00000000000000000001.segment")
        let host = try HostUnderTest(settings, upstream: name)
        let error = await #expect(throws: BufferFolderError.self) { try await host.host.run() }
        #expect(error?.description.hasPrefix("cannot use a segment of another version, ") == true)
        #expect(try Self.segments(folder) == ["00000000000000000001.segment"])
    }

    @Test func `a rule that a disk buffer cannot keep is refused with its reason`() throws {
        func problems(_ change: (inout LinkspanSettings) -> Void) -> [String] {
            var settings = LinkspanSettings.scripted("h") { rule in
                rule.guarantee = .atLeastOnce
                rule.buffer.type = .disk
            }
            settings.server.dataFolder = "/var/lib/linkspan"
            change(&settings)
            do throws(ConfigurationError) {
                try BridgeHost.check(settings, bridges: [ScriptedBridge.self])
                return []
            } catch {
                return error.problems.map(\.path)
            }
        }
        #expect(problems { _ in } == [])
        #expect(problems { $0.server.dataFolder = nil } == ["bridges.b.buffer.type"])
        #expect(problems { $0.bridges[0].guarantee = .atMostOnce } == ["bridges.b.buffer.type"])
        #expect(problems { $0.bridges[0].buffer.whenFull = .latestPerChannel } == ["bridges.b.buffer.when_full"])
        #expect(problems { $0.bridges[0].buffer.sizeBytes = 4096 } == ["bridges.b.buffer.size"])
    }
}
