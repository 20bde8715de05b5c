internal import TestSupport
internal import Testing

/// Malformed and unusual input over a real socket, as the reference servers of both protocol generations treat it.
struct MalformedInputTests {
    /// What is sent after the handshake, and the one answer to it; nil means silence, and the connection stays.
    struct Row: Sendable, CustomTestStringConvertible {
        var sent: String
        var answer: String?
        var testDescription: String { self.sent }

        init(_ sent: String, _ answer: String? = nil) {
            self.sent = sent
            self.answer = answer
        }
    }

    /// Silent in both generations.
    static let ignored = [
        "plain text", "{broken", "{\"event\":", "123", "null", "\"text\"", "{}", "[]", "[[{\"event\":\"x\"}]]", "#3",
        "\u{FEFF}{\"event\":\"#subscribe\",\"data\":{\"channel\":\"c\"},\"cid\":1}",
        ##"{"event":"unknown","data":1,"cid":5}"##, ##"{"event":"#unknown","cid":5}"##, ##"{"event":"unknown"}"##,
        ##"{"rid":77}"##, ##"{"rid":77,"data":1}"##, ##"{"event":"#publish","data":{"channel":5}}"##,
        ##"{"event":"#publish"}"##, String(repeating: "[", count: 20_000),
    ].map { Row($0) }

    static let second =
        Self.ignored + [
            Row(##"{"event":5,"data":1,"cid":5}"##),
            Row(
                ##"{"event":"#subscribe","cid":5}"##,
                ##"{"rid":5,"error":{"message":"Subscribe channel name was malformatted","name":"InvalidActionError"}}"##
            ),
            Row(
                ##"{"event":"#subscribe","data":"c","cid":5}"##,
                ##"{"rid":5,"error":{"message":"Subscribe channel name was malformatted","name":"InvalidActionError"}}"##
            ),
            Row(
                ##"{"event":"#publish","data":{"channel":null},"cid":5}"##,
                ##"{"rid":5,"error":{"message":"Publish channel name was malformatted","name":"InvalidActionError"}}"##),
            Row(
                ##"{"event":"#unsubscribe","data":{},"cid":5}"##,
                ##"{"rid":5,"error":{"message":"Unsubscribe channel name was malformatted","name":"InvalidActionError"}}"##
            ),
            Row(
                ##"{"event":"#unsubscribe","data":"foo","cid":5}"##,
                ##"{"rid":5,"error":{"message":"Failed to unsubscribe socket from the foo channel - InvalidActionError: Socket ID tried to unsubscribe from a channel which it is not subscribed to","name":"BrokerError"}}"##
            ),
        ]

    static let first =
        Self.ignored + [
            Row(##"{"event":"#subscribe","data":"c","cid":5}"##, ##"{"rid":5}"##),
            Row(
                ##"{"event":"#unsubscribe","data":"foo","cid":5}"##,
                ##"{"rid":5,"error":{"message":"Failed to unsubscribe socket from the foo channel - Socket ID tried to unsubscribe from a channel which it is not subscribed to","name":"BrokerError"}}"##
            ),
        ]

    @Test
    func `protocol 2: every malformed input has its answer and the connection stays`() async throws {
        try await self.check(Self.second, protocol: 2)
    }

    @Test
    func `protocol 1: every malformed input has its answer and the connection stays`() async throws {
        try await self.check(Self.first, protocol: 1)
    }

    private func check(_ rows: [Row], protocol version: Int) async throws {
        let instance = try await Instance("one", clients: ", protocol: \(version)")
        let talk = try await Conversation(with: instance)
        try talk.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
        let handshake = try JSON(parsing: try await talk.next())
        let identifier = try #require(handshake["data"]["id"].string)
        for (index, row) in rows.enumerated() {
            try talk.send(row.sent)
            if let answer = row.answer {
                let text = try await talk.next()
                #expect(text == answer.replacing("ID", with: identifier), "\(row.sent.prefix(100))")
            }
            // The answer to this comes next, so nothing else was said.
            try talk.send(##"{"event":"#subscribe","data":{"channel":"probe"},"cid":\##(1000 + index)}"##)
            #expect(try await talk.next() == ##"{"rid":\##(1000 + index)}"##, "\(row.sent.prefix(100))")
        }
        try await instance.stop()
    }

    @Test(arguments: [
        ("plain text", 4009), (##"{"event":"#subscribe","data":{"channel":"c"},"cid":1}"##, 4009), ("", 4009),
        (##"{"rid":1}"##, 4009), ("{broken", 4009),
    ])
    func `anything before the handshake closes with 4009`(_ sent: String, _ code: Int) async throws {
        let instance = try await Instance("one", clients: ", protocol: 2")
        let talk = try await Conversation(with: instance)
        try talk.send(sent)
        #expect(try await talk.closeCode() == code)
        try await instance.stop()
    }

    @Test(arguments: [
        // No mask; a reserved bit; a reserved opcode; a fragmented control frame; a long control frame.
        ("810161", 1002), ("c18100000000" + "61", 1002), ("838100000000" + "61", 1002), ("098100000000" + "61", 1002),
        ("89fe007e00000000" + String(repeating: "61", count: 126), 1002),
        // Text that is not UTF-8; more than the server takes.
        ("818100000000" + "ff", 1007), ("81ff000000000fffffff00000000", 1009),
    ])
    func `broken WebSocket frames close with the code of RFC 6455`(_ hex: String, _ code: Int) async throws {
        let instance = try await Instance("one", clients: ", protocol: 2")
        let talk = try await Conversation(with: instance)
        try talk.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
        _ = try await talk.next()
        try talk.sendBytes(hex)
        #expect(try await talk.closeCode() == code)

        let other = try await Conversation(with: instance)
        try other.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
        #expect(try await other.next().hasPrefix(##"{"rid":1,"data":{"id":"##))
        try await instance.stop()
    }

    @Test
    func `plain HTTP on the client port is answered with help`() async throws {
        let instance = try await Instance("one")
        let page = try await HTTP.get("http://127.0.0.1:\(instance.port)/")
        #expect(page.status == 426)
        #expect(page.text.lowercased().contains("websocket"))
        #expect(try await HTTP.get("http://127.0.0.1:\(instance.port)/health").status == 200)
        let upgrade = [
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ]
        #expect(try await HTTP.get("http://127.0.0.1:\(instance.port)/elsewhere/", headers: upgrade).status == 400)
        try await instance.stop()
    }
}

/// A socket whose every text frame the test writes and reads itself. Pings are left out.
private final class Conversation {
    private let checker: Checker
    private var mark = 0

    init(with instance: Instance) async throws {
        self.checker = try Checker()
        try await self.checker.open("raw", instance.url, ["raw": true, "handshake": false])
    }

    func send(_ text: String) throws { try self.checker.command("text", "raw", ["text": .string(text)]) }

    func sendBytes(_ hex: String) throws { try self.checker.command("bytes", "raw", ["hex": .string(hex)]) }

    func next() async throws -> String {
        let (index, event) = try await self.checker.indexed("text", of: "raw", from: self.mark) {
            !["", "#1"].contains($0["text"])
        }
        self.mark = index + 1
        return event["text"].string ?? ""
    }

    func closeCode() async throws -> Int? {
        try await self.checker.event("closed", of: "raw")["code"].int
    }
}
