import LinkspanBridgeKit
import LinkspanBridgeTesting
import NIOCore
import TestSupport
import Testing

@testable import LinkspanRedis

@Suite struct GroupMemoryTests {
    private func id(_ number: UInt64) -> EntryID { EntryID(milliseconds: number, sequence: 0) }

    @Test func `an entry is under way until the host took it, and known for a while afterwards`() {
        let memory = GroupMemory()
        #expect(memory.judge(self.id(1)) == .new)
        memory.handedOver([self.id(1)])
        #expect(memory.judge(self.id(1)) == .underWay)
        memory.taken([self.id(1)])
        #expect(memory.judge(self.id(1)) == .taken)
        memory.taken((2...UInt64(GroupMemory.limit + 1)).map(self.id))
        #expect(memory.judge(self.id(1)) == .new)
        #expect(memory.judge(self.id(2)) == .taken)
        memory.handedOut(upTo: self.id(7))
        memory.handedOut(upTo: self.id(5))
        #expect(memory.last == self.id(7))
    }

    @Test func `what came again while it was under way is acknowledged once more after the host took it`() {
        let memory = GroupMemory()
        memory.handedOver([self.id(1), self.id(2)])
        #expect(memory.judge(self.id(1)) == .underWay)
        #expect(memory.takeOverdue() == [])
        memory.taken([self.id(1), self.id(2)])
        #expect(memory.takeOverdue() == [self.id(1)])
        #expect(memory.takeOverdue() == [])
    }
}

/// `consume: one_of` over a real Redis.
@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct GroupServerTests {
    private static let probe = "sc/$linkspan/probe"

    /// A bridge of a group, with the host's side in the hands of the test.
    private struct Member {
        let bridge: RedisBridge
        let upstream: UpstreamURL
        let conversation: Conversation

        init(_ bridge: RedisBridge, _ upstream: UpstreamURL) async throws {
            self.bridge = bridge
            self.upstream = upstream
            self.conversation = .start(bridge, upstream: upstream)
            try await self.conversation.wait(for: "a connection", atMost: .seconds(60)) { !$0.facts.isEmpty }
        }

        func subscribe() async throws {
            let filters: [UpstreamFilter] = [.prefix("sc/"), .exact(GroupServerTests.probe)]
            self.conversation.add(interest: filters.map(InterestChange.subscribe))
            try await self.conversation.wait(for: "subscriptions", atMost: .seconds(60)) { state in
                filters.allSatisfy { state.settled[$0] != nil }
            }
        }

        var received: [String] {
            self.conversation.read { state in
                state.received.filter { $0.name != GroupServerTests.probe }.map { String(buffer: $0.payload) }
            }
        }

        /// The same bridge again, as the host would have it after a lost upstream.
        func again() async throws -> Member {
            let member = try await Member(self.bridge, self.upstream)
            try await member.subscribe()
            return member
        }

        /// Ends as a process that is killed: what the host holds is never taken.
        func die() async {
            self.conversation.cancel(keepingHeld: true)
            _ = await self.conversation.end(atMost: .seconds(60))
        }

        func leave() async {
            self.conversation.cancel()
            let end = await self.conversation.end(atMost: .seconds(60))
            #expect(end?.isSuccess == true, "\(end.map { "\($0)" } ?? "it did not end")")
            #expect(self.conversation.read { $0.misuse } == [])
        }
    }

    private static func bridge(
        _ server: LocalServer, _ instance: String, claimAfter: Duration = .seconds(600),
        guarantee: Guarantee = .atLeastOnce
    ) throws -> RedisBridge {
        var settings = BridgeSettings(
            testing: RedisBridge.self, url: server.redisURL,
            options: RedisSide.patient.merging(["mode": .text("streams"), "claim_after": .duration(claimAfter)]) { $1 })
        settings.instance = InstanceID(instance)!
        settings.guarantee = guarantee
        settings.consumerGroup = "workers"
        settings.unsharedNames = [Self.probe]
        return try RedisBridge(settings: settings)
    }

    private static func member(
        _ server: LocalServer, _ instance: String, claimAfter: Duration = .seconds(600),
        guarantee: Guarantee = .atLeastOnce
    ) async throws -> Member {
        let bridge = try Self.bridge(server, instance, claimAfter: claimAfter, guarantee: guarantee)
        let member = try await Member(bridge, server.redisURL)
        try await member.subscribe()
        return member
    }

    /// A program that knows nothing of us; one call for all, in a pipeline.
    private static func publish(_ texts: [String], _ server: LocalServer) async throws {
        for chunk in stride(from: 0, to: texts.count, by: 500).map({ texts[$0..<min($0 + 500, texts.count)] }) {
            let script =
                "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'channel', 'sc/work', 'data', ARGV[i]) end"
            try await ChildProcess.run(
                "redis-cli", ["-p", "\(server.port)", "EVAL", script, "1", "sc/stream"] + chunk)
        }
    }

    private static func pending(_ server: LocalServer) async throws -> String? {
        try await server.cli("XPENDING", "sc/stream", "workers").first
    }

    private static func settled(_ server: LocalServer) async throws {
        _ = try await eventually(within: .seconds(60), "everything to be acknowledged") {
            try await Self.pending(server) == "0" ? true : nil
        }
    }

    @Test(arguments: Guarantee.allCases)
    func `each message goes to one member, and what all have to hear to every one`(guarantee: Guarantee) async throws {
        let server = try await LocalServer.start(.redis)
        var members: [Member] = []
        for instance in ["one", "two", "three"] {
            members.append(try await Self.member(server, instance, guarantee: guarantee))
        }
        let texts = (0..<3000).map { "\($0)" }
        try await Self.publish(texts, server)
        _ = try await eventually(within: .seconds(60), "all messages") {
            members.reduce(0) { $0 + $1.received.count } >= 3000 ? true : nil
        }
        members[0].conversation.add(egress: [
            EgressMessage(ticket: 1, name: Self.probe, payload: ByteBuffer(string: "[]"), header: nil)
        ])
        for member in members {
            try await member.conversation.wait(for: "the probe", atMost: .seconds(60)) { state in
                state.received.contains { $0.name == Self.probe }
            }
        }
        #expect(members.flatMap(\.received).sorted() == texts.sorted())
        try await Self.settled(server)
        for member in members { await member.leave() }
    }

    @Test func `what a dead member had goes to another after claim_after`() async throws {
        let server = try await LocalServer.start(.redis)
        let dead = try await Self.member(server, "one")
        dead.conversation.holdDeliveries()
        try await Self.publish((0..<50).map { "\($0)" }, server)
        try await dead.conversation.wait(for: "messages", atMost: .seconds(60)) { $0.received.count >= 50 }
        await dead.die()
        let heir = try await Self.member(server, "two", claimAfter: .milliseconds(200))
        try await heir.conversation.wait(for: "what the dead one had", atMost: .seconds(60)) {
            $0.received.count >= 50
        }
        #expect(heir.received == (0..<50).map { "\($0)" })
        try await Self.settled(server)
        await heir.leave()
    }

    @Test func `a member that comes back begins with what it had not acknowledged`() async throws {
        let server = try await LocalServer.start(.redis)
        let first = try await Self.member(server, "one")
        #expect(first.conversation.read { $0.facts.first?.resumedSession } == false)
        first.conversation.holdDeliveries()
        try await Self.publish(["1", "2"], server)
        try await first.conversation.wait(for: "messages", atMost: .seconds(60)) { $0.received.count >= 2 }
        await first.die()
        try await Self.publish(["3"], server)
        // As a new process would: only Redis remembers.
        let second = try await Self.member(server, "one")
        #expect(second.conversation.read { $0.facts.first?.resumedSession } == true)
        try await second.conversation.wait(for: "messages", atMost: .seconds(60)) { $0.received.count >= 3 }
        #expect(second.received == ["1", "2", "3"])
        try await Self.settled(server)
        await second.leave()
    }

    @Test func `what the host still has is not handed over again when the connection was lost`() async throws {
        let server = try await LocalServer.start(.redis)
        let first = try await Self.member(server, "one")
        first.conversation.holdDeliveries()
        try await Self.publish(["1", "2"], server)
        try await first.conversation.wait(for: "messages", atMost: .seconds(60)) { $0.received.count >= 2 }
        try await server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        _ = await first.conversation.end(atMost: .seconds(60))
        let second = try await first.again()
        try await Self.publish(["3"], server)
        try await second.conversation.wait(for: "the third", atMost: .seconds(60)) { !$0.received.isEmpty }
        #expect(second.received == ["3"])
        // Taken only now, after its connection is gone: the one that stands acknowledges it, and leaves it to nobody else.
        first.conversation.releaseDeliveries()
        try await Self.settled(server)
        await second.leave()
        let third = try await second.again()
        try await Self.publish(["4"], server)
        try await third.conversation.wait(for: "the fourth", atMost: .seconds(60)) { !$0.received.isEmpty }
        #expect(third.received == ["4"])
        try await Self.settled(server)
        await third.leave()
    }

    @Test func `a group that somebody removed goes on where this instance was`() async throws {
        let server = try await LocalServer.start(.redis)
        let first = try await Self.member(server, "one")
        try await Self.publish(["1"], server)
        try await first.conversation.wait(for: "a message", atMost: .seconds(60)) { !$0.received.isEmpty }
        try await Self.settled(server)
        try await server.cli("XGROUP", "DESTROY", "sc/stream", "workers")
        try await Self.publish(["2"], server)
        guard case .failure(let error as UpstreamError)? = await first.conversation.end(atMost: .seconds(60)) else {
            Issue.record("the conversation went on")
            return
        }
        #expect(error.code == .lost)
        let second = try await first.again()
        try await second.conversation.wait(for: "the second", atMost: .seconds(60)) { !$0.received.isEmpty }
        #expect(second.received == ["2"])
        await second.leave()
    }

    @Test func `entries that Redis dropped before they were taken are told of`() async throws {
        let server = try await LocalServer.start(.redis)
        let first = try await Self.member(server, "one")
        first.conversation.holdDeliveries()
        try await Self.publish(["1", "2", "3"], server)
        try await first.conversation.wait(for: "messages", atMost: .seconds(60)) { $0.received.count >= 3 }
        await first.die()
        try await server.cli("XTRIM", "sc/stream", "MAXLEN", "1")
        let second = try await Self.member(server, "one")
        try await second.conversation.wait(for: "word of them", atMost: .seconds(60)) { state in
            state.promises.contains { $0.name == "group" && $0.reason.hasPrefix("Redis dropped 2 entries") }
        }
        try await second.conversation.wait(for: "what is left", atMost: .seconds(60)) { !$0.received.isEmpty }
        #expect(second.received == ["3"])
        try await Self.settled(server)
        await second.leave()
    }

    @Test func `members that are gone and left nothing are forgotten`() async throws {
        let server = try await LocalServer.start(.redis)
        let gone = try await Self.member(server, "one")
        try await Self.publish(["1"], server)
        try await gone.conversation.wait(for: "a message", atMost: .seconds(60)) { !$0.received.isEmpty }
        try await Self.settled(server)
        await gone.leave()
        let stays = try await Self.member(server, "two", claimAfter: .milliseconds(200))
        _ = try await eventually(within: .seconds(60), "one consumer") {
            let lines = try await server.cli("XINFO", "CONSUMERS", "sc/stream", "workers")
            return lines.contains("two") && !lines.contains("one") ? true : nil
        }
        await stays.leave()
    }

    @Test func `with an append-only file a killed server loses nothing and doubles nothing`() async throws {
        var options = ServerOptions()
        options.configuration = "appendonly yes\nappendfsync always"
        let server = try await LocalServer.start(.redis, options)
        var members = [try await Self.member(server, "one"), try await Self.member(server, "two")]
        try await Self.publish((0..<1000).map { "\($0)" }, server)
        try await server.kill()
        for member in members { _ = await member.conversation.end(atMost: .seconds(60)) }
        var received = members.flatMap(\.received)
        try await server.restart()
        _ = try await eventually("the data to be loaded") { try await server.cli("PING") == ["PONG"] ? true : nil }
        for index in members.indices { members[index] = try await members[index].again() }
        try await Self.publish((1000..<1500).map { "\($0)" }, server)
        let before = received.count
        _ = try await eventually(within: .seconds(60), "the rest") {
            before + members.reduce(0) { $0 + $1.received.count } >= 1500 ? true : nil
        }
        try await Self.settled(server)
        received += members.flatMap(\.received)
        #expect(received.sorted() == (0..<1500).map { "\($0)" }.sorted())
        for member in members { await member.leave() }
    }
}
