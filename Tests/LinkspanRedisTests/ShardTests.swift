import LinkspanBridgeKit
import NIOCore
import Testing

@testable import LinkspanRedis

/// Sharded Pub/Sub as values: which node has what, and what follows when that changes.
@Suite struct ShardTests {
    private static let one = NodeAddress(host: "10.0.0.1", port: 7000)
    private static let two = NodeAddress(host: "10.0.0.2", port: 7000)

    /// Two nodes, half of the slots each.
    private static var halves: SlotMap {
        SlotMap(self.slots([(0, 8191, "10.0.0.1"), (8192, 16_383, "10.0.0.2")]), askedAt: "asked")!
    }

    /// As `CLUSTER SLOTS` of Redis 7 answers: each node with its name and further facts, each primary with a replica.
    private static func slots(_ ranges: [(Int, Int, String)]) -> [ReplyValue] {
        [.array(ranges.count)]
            + ranges.flatMap { first, last, host -> [ReplyValue] in
                let facts: [ReplyValue] = [.array(2), .text("hostname"), .text("host.example")]
                let primary: [ReplyValue] = [.array(4), .text(host), .integer(7000), .text("id")] + facts
                let replica: [ReplyValue] = [.array(4), .text("10.0.0.9"), .integer(7001), .text("id"), .array(0)]
                return [.array(4), .integer(first), .integer(last)] + primary + replica
            }
    }

    private static func refusal(_ text: String) -> ErrorReply { ErrorReply(text: text) }

    // MARK: Slots

    @Test func `slots are those of CLUSTER KEYSLOT`() {
        // Asked of Redis 7.0.15.
        let slots = [
            "123456789": 12_739, "foo": 12_182, "bar": 5_061, "": 0, "foo{bar}baz": 5_061, "{bar}": 5_061,
            "foo{}{bar}": 8_363, "foo{{bar}}": 4_015, "foo{bar}{zap}": 5_061, "failover/c": 3_476, "{": 4_092,
        ]
        for (name, slot) in slots { #expect(HashSlot.of(name) == slot, "\(name)") }
    }

    @Test func `a map is read from CLUSTER SLOTS, whatever else stands in it`() {
        let map = Self.halves
        #expect(map.nodes == [Self.one, Self.two])
        #expect(map.orphanCount == 0 && map.owningNodes == [0, 1])
        #expect(map.address(of: 8191) == Self.one && map.address(of: 8192) == Self.two)
        #expect(map.has(Self.two) && !map.has(NodeAddress(host: "10.0.0.9", port: 7001)))
    }

    @Test(arguments: [ReplyValue.text(""), .text("?"), .null])
    func `a node that leaves out its own name is the one that was asked`(_ name: ReplyValue) {
        let answer: [ReplyValue] = [
            .array(1), .array(3), .integer(0), .integer(5), .array(3), name, .integer(7000), .text("id"),
        ]
        let map = SlotMap(answer, askedAt: "asked")
        #expect(map?.nodes == [NodeAddress(host: "asked", port: 7000)])
        #expect(map?.orphanCount == HashSlot.count - 6)
    }

    @Test func `an answer of another form is no map`() {
        let answers: [[ReplyValue]] = [
            [], [.text("no")], [.array(1)], [.array(1), .array(2), .integer(0), .integer(1)],
            [.array(1), .array(3), .integer(5), .integer(1), .array(2), .text("a"), .integer(1)],
            [.array(1), .array(3), .integer(0), .integer(16_384), .array(2), .text("a"), .integer(1)],
            [.array(1), .array(3), .integer(-1), .integer(1), .array(2), .text("a"), .integer(1)],
            [.array(1), .array(3), .integer(0), .integer(1), .array(2), .text("a"), .integer(0)],
            [.array(1), .array(3), .integer(0), .integer(1), .array(1), .text("a")],
        ]
        for answer in answers { #expect(SlotMap(answer, askedAt: "asked") == nil, "\(answer)") }
        #expect(SlotMap([.array(0)], askedAt: "asked")?.orphanCount == HashSlot.count)
    }

    @Test func `a newer map keeps the numbers of nodes, and is none when nothing changed or slots have nobody`() throws
    {
        let map = Self.halves
        #expect(map.updated(Self.slots([(8192, 16_383, "10.0.0.2"), (0, 8191, "10.0.0.1")]), askedAt: "asked") == nil)
        #expect(map.updated(Self.slots([(0, 16_382, "10.0.0.2")]), askedAt: "asked") == nil)
        let next = try #require(map.updated(Self.slots([(0, 16_383, "10.0.0.3")]), askedAt: "asked"))
        #expect(next.nodes == [Self.one, Self.two, NodeAddress(host: "10.0.0.3", port: 7000)])
        #expect(next.owningNodes == [2])
    }

    @Test func `a server that names ever more nodes is not followed for ever`() {
        var map = Self.halves
        let followed = (0..<2_000).count { map.move($0, to: NodeAddress(host: "node", port: $0 + 1)) }
        #expect(followed == SlotMap.nodeLimit - 2 && map.nodes.count == SlotMap.nodeLimit)
    }

    // MARK: Subscriptions

    /// In slot 12,182, the second node's.
    private static let foo = UpstreamFilter.exact("foo")

    private static func subscribe(_ node: NodeAddress, _ name: String = "foo") -> ShardInterest.Command {
        ShardInterest.Command(node: node, subscribes: true, name: name)
    }

    private static func unsubscribe(_ node: NodeAddress, _ name: String = "foo") -> ShardInterest.Command {
        ShardInterest.Command(node: node, subscribes: false, name: name)
    }

    /// `foo` is subscribed at the second node.
    private static func subscribed() throws -> ShardInterest {
        var interest = ShardInterest(map: self.halves)
        #expect(interest.interestChanged([.subscribe(self.foo)]).commands == [self.subscribe(self.two)])
        let step = try interest.subscribed("foo", at: self.two)
        #expect(step == .init(settled: [.init(filter: self.foo, accepted: true)]))
        return interest
    }

    @Test func `each name is subscribed and left where its slot is`() throws {
        var interest = ShardInterest(map: Self.halves)
        let step = interest.interestChanged([.subscribe(Self.foo), .subscribe(.exact("bar"))])
        #expect(step == .init(commands: [Self.subscribe(Self.two), Self.subscribe(Self.one, "bar")]))
        #expect(try interest.subscribed("bar", at: Self.one).settled.map(\.filter) == [.exact("bar")])
        #expect(try interest.subscribed("foo", at: Self.two).settled.map(\.filter) == [Self.foo])
        let left = interest.interestChanged([.unsubscribe(Self.foo)])
        #expect(left == .init(commands: [Self.unsubscribe(Self.two)]))
        #expect(interest.unsubscribed("foo", at: Self.two) == .init())
    }

    @Test func `of a name that comes and goes one command is under way at a time`() throws {
        var interest = ShardInterest(map: Self.halves)
        let changes: [InterestChange] = [.subscribe(Self.foo), .unsubscribe(Self.foo), .subscribe(Self.foo)]
        #expect(interest.interestChanged(changes + [.unsubscribe(Self.foo)]).commands == [Self.subscribe(Self.two)])
        #expect(try interest.subscribed("foo", at: Self.two) == .init(commands: [Self.unsubscribe(Self.two)]))
        #expect(interest.interestChanged([.subscribe(Self.foo)]).settled.map(\.accepted) == [true])
        // It was settled by the subscription that is about to end, and is made again.
        #expect(interest.unsubscribed("foo", at: Self.two) == .init(commands: [Self.subscribe(Self.two)]))
    }

    @Test func `a subscription that its node ends because the slot has moved follows it`() throws {
        var interest = try Self.subscribed()
        #expect(interest.unsubscribed("foo", at: Self.two) == .init(commands: [Self.subscribe(Self.two)]))
        let moved = Redirection("MOVED 12182 10.0.0.1:7000", from: "asked")!
        #expect(try interest.redirected(moved, by: Self.two) == .init(commands: [Self.subscribe(Self.one)]))
        #expect(try interest.subscribed("foo", at: Self.one) == .init())
        #expect(interest.interestChanged([.unsubscribe(Self.foo)]).commands == [Self.unsubscribe(Self.one)])
    }

    @Test func `a subscription follows a newer map, and what the old node says later changes nothing`() throws {
        var interest = try Self.subscribed()
        let next = SlotMap(Self.slots([(0, 16_383, "10.0.0.1")]), askedAt: "asked")!
        #expect(interest.mapChanged(next) == .init(commands: [Self.subscribe(Self.one)]))
        #expect(interest.unsubscribed("foo", at: Self.two) == .init())
        #expect(try interest.subscribed("foo", at: Self.one) == .init())
        #expect(interest.unsubscribed("foo", at: Self.two) == .init())
        #expect(interest.mapChanged(next) == .init())
    }

    @Test func `a good-bye of the node that overtakes ours leaves a stray answer, which is for no other name`() throws {
        var interest = try Self.subscribed()
        _ = interest.interestChanged([.unsubscribe(Self.foo), .subscribe(.exact("sc/stream"))])
        // In slot 8,743, the second node's too.
        #expect(interest.unsubscribed("foo", at: Self.two) == .init())
        let stray = Redirection("MOVED 12182 10.0.0.1:7000", from: "asked")!
        #expect(try interest.redirected(stray, by: Self.two) == .init())
        #expect(try interest.subscribed("sc/stream", at: Self.two).settled.map(\.accepted) == [true])
    }

    @Test func `nodes that send us to and fro are asked again after pauses, and not for ever`() throws {
        var interest = ShardInterest(map: Self.halves)
        var step = interest.interestChanged([.subscribe(Self.foo)])
        var pauses = 0
        let error = #expect(throws: UpstreamError.self) {
            for _ in 0..<1_000 {
                let node = try #require(step.commands.first?.node)
                let other = node == Self.one ? Self.two : Self.one
                let moved = Redirection("MOVED 12182 \(other.host):\(other.port)", from: "asked")!
                step = try interest.redirected(moved, by: node)
                if interest.isPausing {
                    #expect(step.commands == [])
                    pauses += 1
                    step = interest.pauseOver()
                }
            }
        }
        #expect(error?.code == .lost && pauses > 100)
    }

    @Test func `a node without slots that is lost takes its subscriptions with it, and they are made elsewhere`() throws
    {
        var interest = try Self.subscribed()
        _ = interest.interestChanged([.subscribe(.exact("foo{bar}"))])
        var map = Self.halves
        let moves = (0..<HashSlot.count).count { map.move($0, to: Self.one) }
        #expect(moves == HashSlot.count)
        _ = interest.mapChanged(map)
        #expect(interest.nodeLost(Self.two) == .init())
        #expect(try interest.subscribed("foo{bar}", at: Self.one).settled.count == 1)
        #expect(try interest.subscribed("foo", at: Self.one) == .init())
    }

    @Test func `what rights forbid is refused, patterns too, and an error that stops everything ends the conversation`()
        throws
    {
        var interest = ShardInterest(map: Self.halves)
        #expect(
            interest.interestChanged([.subscribe(.prefix("f")), .unsubscribe(.prefix("f"))])
                == .init(settled: [.init(filter: .prefix("f"), accepted: false)]))
        _ = interest.interestChanged([.subscribe(Self.foo)])
        #expect(
            try interest.errorReceived(Self.refusal("NOPERM no access"), at: Self.two)
                == .init(settled: [.init(filter: Self.foo, accepted: false)]))
        #expect(interest.interestChanged([.subscribe(Self.foo)]).commands == [Self.subscribe(Self.two)])
        let error = #expect(throws: UpstreamError.self) {
            try interest.errorReceived(Self.refusal("CLUSTERDOWN Hash slot not served"), at: Self.two)
        }
        #expect(error?.code == .lost)
    }

    @Test func `answers to nothing are a violation of the protocol`() throws {
        var interest = try Self.subscribed()
        let errors = [
            #expect(throws: UpstreamError.self) { _ = try interest.subscribed("foo", at: Self.two) },
            #expect(throws: UpstreamError.self) { try interest.pongReceived(from: Self.two) },
            #expect(throws: UpstreamError.self) {
                _ = try interest.errorReceived(Self.refusal("ERR what"), at: Self.one)
            },
        ]
        #expect(errors.allSatisfy { $0?.code == .protocolViolation })
        interest.pingSent(to: Self.two)
        try interest.pongReceived(from: Self.two)
        interest.pingSent(to: Self.two)
        #expect(try interest.errorReceived(Self.refusal("MISCONF disk"), at: Self.two) == .init())
    }

    // MARK: Messages

    private static func message(_ ticket: UInt64) -> EgressMessage {
        EgressMessage(ticket: ticket, name: "foo", payload: ByteBuffer(string: "\(ticket)"), header: nil)
    }

    private static func confirmed(_ window: inout ShardWindow) -> [ClosedRange<UInt64>] {
        var runs: [ClosedRange<UInt64>] = []
        window.takeConfirmed { runs.append($0) }
        return runs
    }

    @Test func `answers of several nodes are confirmed in as few runs as there are`() {
        var window = ShardWindow(messageLimit: 8, byteLimit: 1_000)
        for ticket in UInt64(1)...6 { window.sent(Self.message(ticket), bytes: 10, to: Int(ticket % 2)) }
        #expect(window.room == 2)
        for _ in 0..<3 { #expect(window.replyReceived(from: 1, at: "h", error: nil) == .none) }
        #expect(window.replyReceived(from: 0, at: "h", error: nil) == .none)
        #expect(Self.confirmed(&window) == [1...3, 5...5])
        #expect(window.replyReceived(from: 0, at: "h", error: Self.refusal("NOPERM no")) == .refuse(4, .forbidden))
        #expect(window.replyReceived(from: 0, at: "h", error: nil) == .none)
        #expect(Self.confirmed(&window) == [6...6])
        #expect(Self.confirmed(&window) == [] && window.room == 8)
        #expect(window.replyReceived(from: 0, at: "h", error: nil) == .unexpected)
        #expect(window.replyReceived(from: 7, at: "h", error: nil) == .unexpected)
    }

    @Test func `messages that are sent on wait until all have their answers, and keep their order`() {
        var window = ShardWindow(messageLimit: 8, byteLimit: 1_000)
        for ticket in UInt64(1)...4 { window.sent(Self.message(ticket), bytes: 10, to: ticket == 3 ? 1 : 0) }
        #expect(window.replyReceived(from: 0, at: "h", error: nil) == .none)
        for _ in 0..<2 {
            #expect(window.replyReceived(from: 0, at: "h", error: Self.refusal("MOVED 12182 :7001")) == .none)
        }
        #expect(window.isSettling && window.room == 0 && window.messages == 1)
        #expect(window.replyReceived(from: 1, at: "h", error: nil) == .none)
        #expect(window.messages == 0)
        let there = Redirection(slot: 12_182, address: NodeAddress(host: "h", port: 7001))
        #expect(window.redirections == [there, there])
        #expect(window.takeRedirected().map(\.ticket) == [2, 4])
        #expect(!window.isSettling && window.room == 8 && window.redirectRounds == 1)
        #expect(Self.confirmed(&window) == [1...1, 3...3])
        window.sent(Self.message(2), bytes: 10, to: 1)
        #expect(window.replyReceived(from: 1, at: "h", error: nil) == .none)
        #expect(window.redirectRounds == 0)
    }

    @Test func `questions beside the messages are answered in their turn`() {
        var window = ShardWindow(messageLimit: 1, byteLimit: 1_000)
        window.sent(.ping, to: 0)
        window.sent(Self.message(1), bytes: 10, to: 0)
        window.sent(.slots, to: 0)
        #expect(window.replyReceived(from: 0, at: "h", error: nil) == .answered(.ping))
        let down = Self.refusal("CLUSTERDOWN The cluster is down")
        #expect(window.replyReceived(from: 0, at: "h", error: down) == .end(.lost))
        #expect(window.replyReceived(from: 0, at: "h", error: nil) == .answered(.slots))
    }

    @Test func `a command is written as Redis reads it`() {
        var buffer = ByteBuffer()
        buffer.writeShardPublish(name: "foo", payload: ByteBuffer(string: "{}"))
        #expect(String(buffer: buffer) == "*3\r\n$8\r\nSPUBLISH\r\n$3\r\nfoo\r\n$2\r\n{}\r\n")
    }
}
