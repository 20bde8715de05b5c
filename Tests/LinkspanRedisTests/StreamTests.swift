import LinkspanBridgeKit
import LinkspanBridgeTesting
import NIOCore
import TestSupport
import Testing

@testable import LinkspanRedis

@Suite struct StreamPositionTests {
    @Test func `positions are written and read`() {
        let position = StreamPosition(id: EntryID(milliseconds: 1_526_985_054_069, sequence: 3), added: 12)
        #expect(position.text == "1526985054069-3 12")
        #expect(StreamPosition(text: position.text) == position)
        #expect(StreamPosition(text: "5-1") == StreamPosition(id: EntryID(milliseconds: 5, sequence: 1), added: nil))
        for text in ["", "5", "5-", "-1", "a-b", "5-1-2", "99999999999999999999-0"] {
            #expect(StreamPosition(text: text) == nil)
        }
        #expect(EntryID("9-2")! < EntryID("10-1")! && EntryID("10-1")! < EntryID("10-2")!)
    }

    @Test func `what was trimmed unread is counted`() {
        let position = StreamPosition(id: EntryID(milliseconds: 5, sequence: 0), added: 100)
        func trimmed(length: UInt64, added: UInt64?) -> UInt64? {
            StreamFacts(length: length, lastID: position.id, added: added).trimmed(after: position)
        }
        #expect(trimmed(length: 50, added: 120) == 0)
        #expect(trimmed(length: 20, added: 120) == 0)
        #expect(trimmed(length: 5, added: 120) == 15)
        #expect(trimmed(length: 5, added: nil) == nil)
    }

    @Test func `interest is by name and by prefix`() {
        var interest = StreamInterest()
        #expect(interest.change([.subscribe(.exact("sc/a")), .subscribe(.prefix("sc/b/"))]).count == 2)
        #expect(
            interest.contains("sc/a") && interest.contains("sc/b/c") && !interest.contains("sc/b")
                && !interest.contains("sc/a/"))
        #expect(interest.change([.unsubscribe(.exact("sc/a")), .unsubscribe(.prefix("sc/b/"))]) == [])
        #expect(interest.isEmpty)
    }
}

@Suite struct EntryTests {
    private static func read(_ text: String) throws -> ([String], EntryReader.Summary?) {
        let reader = ReplyReader()
        var entries = EntryReader()
        var found: [String] = []
        var summary: EntryReader.Summary?
        try reader.read(ByteBuffer(string: text)) { (reader: ReplyReader) throws(UpstreamError) in
            summary = try entries.read(reader) { entry in
                let data = reader.bytes.getString(at: entry.start, length: entry.length)!
                let header = entry.header.map {
                    "\($0.origin.instance) \($0.origin.epoch) \($0.origin.sequence) \($0.hops) \($0.acceptedAt)"
                }
                found.append("\(entry.name) \(data) \(header ?? "raw")")
            }
        }
        return (found, summary)
    }

    private static func array(_ elements: [String]) -> String {
        "*\(elements.count)\r\n" + elements.joined()
    }

    private static func bulk(_ text: String) -> String { "$\(text.utf8.count)\r\n\(text)\r\n" }

    private static func reply(_ entries: [[String]]) -> String {
        let list = entries.enumerated().map { index, fields in
            Self.array([Self.bulk("7-\(index)"), Self.array(fields.map(Self.bulk))])
        }
        return Self.array([Self.array([Self.bulk("sc/stream"), Self.array(list)])])
    }

    @Test func `what is written is read`() throws {
        let origin = Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: 7)
        let header = EnvelopeHeader(origin: origin, hops: [InstanceID("fra-1")!, InstanceID("ber.2")!], acceptedAt: 8)
        var buffer = ByteBuffer()
        let encoder = EntryEncoder(stream: "sc/stream", limit: 100_000)
        for one in [header, nil] {
            encoder.write(
                EgressMessage(ticket: 1, name: "sc/a", payload: ByteBuffer(string: "{}"), header: one), to: &buffer)
        }
        var theirs = ByteBuffer()
        let start = ["XADD", "sc/stream", "MAXLEN", "~", "100000", "*", "channel", "sc/a", "data", "{}"]
        let fields = ["ls-header", "fra-1/1795216176123/7/8/fra-1,ber.2"]
        theirs.writeCommand(start + fields)
        theirs.writeCommand(start)
        #expect(String(buffer: buffer) == String(buffer: theirs))
        let (found, summary) = try Self.read(Self.reply([Array(start[6...]) + fields, Array(start[6...])]))
        #expect(found == ["sc/a {} fra-1 1795216176123 7 [fra-1, ber.2] 8", "sc/a {} raw"])
        #expect(summary == EntryReader.Summary(entries: 2, strangers: 0, last: EntryID("7-1")))
    }

    @Test func `a damaged header makes a message raw, and what is no message is passed over`() throws {
        let whole = [
            "channel", "a", "data", "1", "ls-origin", "x", "ls-epoch", "1", "ls-seq", "2", "ls-hops", "x", "ls-at", "3",
        ]
        func with(_ index: Int, _ value: String) -> [String] {
            var fields = whole
            fields[index] = value
            return fields
        }
        let damaged = [
            with(5, "not an instance"), with(5, String(repeating: "x", count: 65)), with(7, "-1"),
            with(9, "99999999999999999999"), with(9, "0"),
            with(11, "x,,y"), with(11, String(repeating: "x,", count: 100) + "x"), with(13, ""), with(4, "ls-other"),
        ]
        let text = ["channel", "a", "data", "1", "ls-header"]
        let ambiguous = [text + ["x/1/2"], text + ["x/1/2/3", "ls-seq", "2"], whole + ["ls-header", "x/1/2/3"]]
        let (found, summary) = try Self.read(
            Self.reply(
                [whole, text + ["x/1/2/3"]] + damaged + ambiguous + [["data", "1"], ["channel", "a"], []]))
        let raw = Array(repeating: "a 1 raw", count: damaged.count + ambiguous.count)
        #expect(found == ["a 1 x 1 2 [x] 3", "a 1 x 1 2 [x] 3"] + raw)
        #expect(summary?.strangers == 3)
    }

    @Test(arguments: [
        "*0\r\n", "+OK\r\n", "*1\r\n*0\r\n", "*1\r\n*2\r\n+k\r\n:1\r\n", "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n:1\r\n",
        "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\nx\r\n*0\r\n",
        "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*1\r\n$1\r\na\r\n",
    ])
    func `a reply of another form is a protocol violation`(text: String) throws {
        let error = #expect(throws: UpstreamError.self) { _ = try Self.read(text) }
        #expect(error?.code == .protocolViolation)
    }
}

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct StreamServerTests {
    private static func side(_ server: LocalServer, instance: String) async throws -> RedisSide {
        try await RedisSide.connected(to: server) { settings in
            settings.instance = InstanceID(instance)!
            settings.guarantee = .atLeastOnce
            settings.options["mode"] = .text("streams")
        }
    }

    @Test func `redis-cli and the bridge understand each other`() async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await Self.side(server, instance: "one")
        try await side.subscribe(.exact("sc/news"))
        try await server.cli("XADD", "sc/stream", "*", "something", "else")
        try await server.cli("XADD", "sc/stream", "*", "data", "{\"hello\":1}", "channel", "sc/news")
        #expect(try await side.received(1) == ["{\"hello\":1}"])
        side.send(["[1]"], to: "sc/out")
        try await side.confirmed(1)
        let entry = try await server.cli("XREVRANGE", "sc/stream", "+", "-", "COUNT", "1")
        #expect(entry.suffix(4) == ["channel", "sc/out", "data", "[1]"])
        await side.leave()
    }

    @Test func `what was sent while an instance was away is there when it comes back as a new process would`()
        async throws
    {
        let server = try await LocalServer.start(.redis)
        let (sender, receiver) = (
            try await Self.side(server, instance: "one"), try await Self.side(server, instance: "two")
        )
        try await receiver.subscribe(.prefix("sc/"))
        sender.send(["1"], to: "sc/a")
        #expect(try await receiver.received(1) == ["1"])
        await receiver.leave()
        sender.send(["2", "3"], to: "sc/a", firstTicket: 2)
        try await sender.confirmed(3)
        // A bridge value of its own: only Redis remembers.
        let again = try await Self.side(server, instance: "two")
        #expect(again.conversation.read { $0.facts.first?.resumedSession } == true)
        try await again.subscribe(.prefix("sc/"))
        #expect(try await again.received(2) == ["2", "3"])
        let stranger = try await Self.side(server, instance: "three")
        #expect(stranger.conversation.read { $0.facts.first?.resumedSession } == false)
        for side in [sender, again, stranger] { await side.leave() }
    }

    @Test func `with an append-only file a killed server loses nothing that was confirmed`() async throws {
        var options = ServerOptions()
        options.configuration = "appendonly yes\nappendfsync always"
        let server = try await LocalServer.start(.redis, options)
        let sender = try await Self.side(server, instance: "one")
        let receiver = try await Self.side(server, instance: "two")
        try await receiver.subscribe(.exact("sc/a"))
        receiver.conversation.holdDeliveries()
        sender.send((0..<5_000).map { "\($0)" }, to: "sc/a")
        try await sender.conversation.wait(for: "some confirmations", atMost: .seconds(40)) { $0.confirmed.count > 500 }
        try await server.kill()
        #expect(try await sender.upstreamError().code == .lost)
        #expect(try await receiver.upstreamError().code == .lost)
        let confirmed = sender.conversation.read { $0.confirmed.count }
        try await server.restart()
        _ = try await eventually("the data to be loaded") { try await server.cli("PING") == ["PONG"] ? true : nil }
        // As after a restart of the instance: what it had not taken comes again, from Redis's memory of where it was.
        let again = try await Self.side(server, instance: "two")
        try await again.subscribe(.exact("sc/a"))
        let received = try await again.received(confirmed)
        #expect(received.prefix(confirmed) == (0..<confirmed).map { "\($0)" }[...])
        await again.leave()
    }

    @Test func `ten thousand messages each way arrive once and in order`() async throws {
        let server = try await LocalServer.start(.redis)
        let (one, other) = (try await Self.side(server, instance: "one"), try await Self.side(server, instance: "two"))
        try await one.subscribe(.exact("sc/to-one"))
        try await other.subscribe(.exact("sc/to-other"))
        let texts = (0..<10_000).map { "{\"n\":\($0)}" }
        one.send(texts, to: "sc/to-other")
        other.send(texts, to: "sc/to-one")
        #expect(try await one.received(10_000) == texts)
        #expect(try await other.received(10_000) == texts)
        await one.leave()
        await other.leave()
    }

    @Test func `nobody's interest stops the reading, and the next begins at the end`() async throws {
        let server = try await LocalServer.start(.redis)
        let side = try await Self.side(server, instance: "one")
        try await side.subscribe(.exact("sc/a"))
        side.send(["1"], to: "sc/a")
        #expect(try await side.received(1) == ["1"])
        side.unsubscribe(.exact("sc/a"))
        _ = try await eventually("the reading to stop") {
            try await server.clients(lastCommand: "xread").isEmpty ? true : nil
        }
        side.send(["2"], to: "sc/a", firstTicket: 2)
        try await side.confirmed(2)
        try await side.subscribe(.exact("sc/a"))
        side.send(["3"], to: "sc/a", firstTicket: 3)
        #expect(try await side.received(2) == ["1", "3"])
        await side.leave()
    }

    @Test func `a key of another type, or memory that is full, ends the conversation with the reason`() async throws {
        let server = try await LocalServer.start(.redis)
        try await server.cli("SET", "sc/stream", "text")
        let refused = try RedisSide(server.redisURL) { $0.options["mode"] = .text("streams") }
        let error = try await refused.upstreamError()
        #expect(error.code == .refused && error.message.contains("WRONGTYPE"))
        try await server.cli("DEL", "sc/stream")
        let side = try await Self.side(server, instance: "one")
        try await server.cli("CONFIG", "SET", "maxmemory", "1")
        side.send(["1"], to: "sc/a")
        let full = try await side.upstreamError()
        #expect(full.code == .stalled && full.message.contains("OOM"))
    }
}
