import LinkspanCore
import NIOCore
import NIOPosix
import Testing

@testable import LinkspanServer

@Suite struct LoopGroupsTests {
    @Test func `who comes while loops run gets the same ones, one after the other`() throws {
        let groups = LoopGroups(loopCount: 2)
        let group = groups.group()
        let leases = (0..<4).map { _ in groups.lease() }
        #expect(groups.group() === group)
        let loops = Set(group.eventLoops.makeIterator().map { ObjectIdentifier($0) })
        #expect(loops.count == 2)
        #expect(Set(leases.map { ObjectIdentifier($0.eventLoop) }) == loops)
    }

    @Test func `loops run while somebody has a lease, whoever started them`() async throws {
        let groups = LoopGroups(loopCount: 1)
        var group: LoopGroup? = groups.group()
        let lease = groups.lease()
        #expect(group?.eventLoops.next() === lease.eventLoop)
        group = nil
        #expect(try await lease.eventLoop.submit { 1 }.get() == 1)
        withExtendedLifetime(lease) {}
    }

    @Test func `loops end with the last who uses them, and begin anew with the next`() async throws {
        let groups = LoopGroups(loopCount: 1)
        weak let first = groups.group()
        #expect(first == nil)
        let second = groups.group()
        #expect(try await second.eventLoops.next().submit { 1 }.get() == 1)
        withExtendedLifetime(second) {}
    }
}
