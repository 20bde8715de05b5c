import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

private let fra = InstanceID("fra")!
private let ams = InstanceID("ams")!
private let start = NIODeadline.uptimeNanoseconds(0) + .seconds(1)

private func gap(
    _ id: UInt64, _ range: ClosedRange<UInt64>, channel: ChannelName = "news", sender: InstanceID = fra
) -> Gap {
    Gap(
        id: id, bridge: BridgeIndex(0), channel: channel, instance: fra, epoch: 1, range: range, sender: sender,
        namedAt: 0)
}

private func want(_ ranges: ClosedRange<UInt64>..., channel: ChannelName = "news") -> RepairRequest.Want {
    RepairRequest.Want(channel: channel, instance: fra, epoch: 1, ranges: ranges)
}

private func settings(_ change: (inout RepairSettings) -> Void = { _ in }) -> RepairSettings {
    var settings = RepairSettings()
    change(&settings)
    return settings
}

/// What a receiver asks for, and when.
@Suite struct RepairDeskTests {
    private func desk() -> RepairDesk { RepairDesk(instance: ams, settings: settings()) }

    @Test func `what is missing is asked for after a short random time, and of its sender`() throws {
        var desk = self.desk()
        var random = SeededRandom(seed: 1)
        desk.apply(.named(gap(1, 2...4)), at: start, using: &random)
        desk.apply(.named(gap(2, 9...9)), at: start, using: &random)
        let due = try #require(desk.nextDue)
        #expect(due >= start && due <= start + .milliseconds(32))
        #expect(
            desk.takeDue(at: start + .milliseconds(32), using: &random) == [
                RepairRequest(requester: ams, sender: fra, wants: [want(2...4), want(9...9)])
            ])
        #expect(desk.takeDue(at: start + .milliseconds(32), using: &random) == [])
    }

    @Test func `only what did not come is asked for again, ever more seldom, until it is given up`() throws {
        var desk = self.desk()
        var random = SeededRandom(seed: 2)
        desk.apply(.named(gap(1, 2...6)), at: start, using: &random)
        var now = start + .milliseconds(32)
        _ = desk.takeDue(at: now, using: &random)
        desk.apply(.filled(id: 1, 4...4, wasFinal: false), at: now, using: &random)
        var pauses: [TimeAmount] = []
        for _ in 0..<8 {
            let due = try #require(desk.nextDue)
            pauses.append(due - now)
            now = due
            #expect(desk.takeDue(at: now, using: &random).map(\.wants) == [[want(2...3, 5...6)]])
        }
        #expect(pauses[0] >= .milliseconds(125) && pauses[3] > pauses[1])
        #expect(pauses.allSatisfy { $0 <= .milliseconds(6250) })
        desk.apply(.final(id: 1, count: 4), at: now, using: &random)
        #expect(desk.nextDue == nil)
    }

    @Test func `one that hears its question from another waits for the answer`() throws {
        var desk = self.desk()
        var random = SeededRandom(seed: 3)
        desk.apply(.named(gap(1, 2...4)), at: start, using: &random)
        let other = InstanceID("lon")!
        desk.overheard(RepairRequest(requester: other, sender: fra, wants: [want(3...4)]), at: start, using: &random)
        #expect(try #require(desk.nextDue) <= start + .milliseconds(32), "the other did not ask for all of it")
        desk.overheard(RepairRequest(requester: other, sender: fra, wants: [want(1...9)]), at: start, using: &random)
        #expect(try #require(desk.nextDue) >= start + .milliseconds(125))
        desk.apply(.filled(id: 1, 2...4, wasFinal: false), at: start, using: &random)
        #expect(desk.nextDue == nil)
    }

    @Test func `requests and questions are bounded`() {
        var desk = RepairDesk(instance: ams, settings: settings(), limit: 70)
        var random = SeededRandom(seed: 4)
        for id in 1...71 as ClosedRange<UInt64> { desk.apply(.named(gap(id, id...id)), at: start, using: &random) }
        #expect(desk.unaskedCount == 1)
        let requests = desk.takeDue(at: start + .seconds(1), using: &random)
        #expect(requests.map(\.wants.count) == [RepairRequest.wantLimit])
        #expect(desk.takeDue(at: start + .seconds(1), using: &random).map(\.wants.count) == [6])
    }
}

/// What a sender remembers, and whom it answers.
@Suite struct RepairMemoryTests {
    private func remember(_ memory: inout RepairMemory, _ sequences: ClosedRange<UInt64>, at now: NIODeadline = start) {
        for sequence in sequences {
            let header = EnvelopeHeader(
                origin: Origin(instance: fra, epoch: 1, sequence: sequence), hops: [fra], acceptedAt: sequence)
            memory.remember("sc/news", header, ByteBuffer(string: "\(sequence)"), at: now)
        }
    }

    private func ask(
        _ memory: inout RepairMemory, _ wants: [RepairRequest.Want], as requester: InstanceID = ams,
        byteLimit: Int = .max, at now: NIODeadline = start
    ) -> [String] {
        let request = RepairRequest(requester: requester, sender: fra, wants: wants)
        return memory.answer(request, byteLimit: byteLimit, at: now) { "sc/" + $0.string }
            .map { "\($0.channel) \($0.header.origin.sequence) \(String(buffer: $0.data))" }
    }

    @Test func `it answers exactly what was asked, with the identities of old`() {
        var memory = RepairMemory(settings: settings())
        self.remember(&memory, 1...9)
        #expect(self.ask(&memory, [want(2...3, 8...20)]) == ["news 2 2", "news 3 3", "news 8 8", "news 9 9"])
        #expect(self.ask(&memory, [want(1...9, channel: "other")]) == [])
        #expect(memory.answeredCount == 4 && memory.unknownCount == 1)
    }

    @Test func `it is bounded by bytes and by age`() {
        var memory = RepairMemory(settings: settings { $0.sizeBytes = 10 * 129 })
        self.remember(&memory, 1...9)
        self.remember(&memory, 10...12, at: start + .seconds(20))
        #expect(memory.usedBytes <= 10 * 129)
        memory.expire(at: start + .seconds(30))
        #expect(self.ask(&memory, [want(1...12)], at: start + .seconds(30)).map { $0.suffix(2) } == ["10", "11", "12"])
        memory.expire(at: start + .seconds(50))
        #expect(memory.count == 0 && memory.usedBytes == 0)
    }

    @Test func `what was answered a moment ago everybody heard`() {
        var memory = RepairMemory(settings: settings())
        self.remember(&memory, 1...3)
        #expect(self.ask(&memory, [want(1...2)]).count == 2)
        #expect(self.ask(&memory, [want(1...3)], as: InstanceID("lon")!) == ["news 3 3"])
        #expect(self.ask(&memory, [want(1...3)], at: start + .seconds(1)).count == 3)
    }

    @Test func `a requester gets the size of the memory in one window, whatever it calls itself four times that`() {
        var memory = RepairMemory(
            settings: settings {
                $0.sizeBytes = 100 * 200
                $0.window = .seconds(10)
            })
        var answered = 0
        var byOne = 0
        for round in 0..<400 {
            let now = start + .milliseconds(Int64(round) * 10)
            self.remember(&memory, UInt64(round + 1)...UInt64(round + 1), at: now)
            let name = round % 2 == 0 ? "ams" : "forged-\(round)"
            let count = self.ask(&memory, [want(1...2000)], as: InstanceID(name)!, at: now).count
            answered += count
            if name == "ams" { byOne += count }
        }
        let perWindow = 100 * 200 / 129
        #expect(byOne <= 2 * perWindow + 2)
        #expect(answered <= 8 * perWindow + 8)
        #expect(answered > perWindow)
    }

    @Test func `requests that name the same messages over and over are not looked at without end`() {
        var memory = RepairMemory(settings: settings())
        self.remember(&memory, 1...2000)
        let wants = (0..<64).map { _ in
            RepairRequest.Want(
                channel: "news", instance: fra, epoch: 1, ranges: Array(repeating: 1...UInt64.max, count: 32))
        }
        #expect(self.ask(&memory, wants).count == 2000)
        for number in 0..<15 { #expect(self.ask(&memory, wants, as: InstanceID("forged-\(number)")!) == []) }
        self.remember(&memory, 2001...2001)
        let denied = memory.deniedCount
        #expect(self.ask(&memory, [want(2001...2001)], as: InstanceID("lon")!) == [])
        #expect(memory.deniedCount == denied + 1)
        let later = start + .milliseconds(10)
        #expect(self.ask(&memory, [want(2001...2001)], as: InstanceID("lon")!, at: later) == ["news 2001 2001"])
    }

    @Test func `a request that names the same messages without end is looked at for a bounded time`() {
        var memory = RepairMemory(settings: settings())
        self.remember(&memory, 1...2000)
        let wants = (0..<64).map { _ in
            RepairRequest.Want(
                channel: "news", instance: fra, epoch: 1, ranges: Array(repeating: 1...UInt64.max, count: 32))
        }
        #expect(self.ask(&memory, wants, byteLimit: 50_000).count >= 50_000 / 133)
        #expect(memory.deniedCount > 0)
    }

    @Test func `messages that are carried onward late find their place`() {
        var memory = RepairMemory(settings: settings())
        self.remember(&memory, 5...6)
        self.remember(&memory, 2...2)
        self.remember(&memory, 6...6)
        self.remember(&memory, 9...9)
        #expect(memory.count == 4)
        #expect(self.ask(&memory, [want(1...8)]).map { $0.suffix(1) } == ["2", "5", "6"])
        memory.expire(at: start + .minutes(1))
        #expect(memory.count == 0 && memory.usedBytes == 0)
    }

    @Test func `it agrees with a plain list, whatever is remembered, forgotten and asked`() {
        var random = SeededRandom()
        var memory = RepairMemory(
            settings: settings {
                $0.sizeBytes = 1 << 20
                $0.window = .seconds(10)
            })
        var model: [(name: String, sequence: UInt64, at: NIODeadline)] = []
        var next: [String: UInt64] = [:]
        var now = start
        for _ in 0..<1000 {
            now = now + .milliseconds(Int64.random(in: 0...50, using: &random))
            let name = "c\(Int.random(in: 0..<5, using: &random))"
            if Int.random(in: 0..<10, using: &random) > 0 {
                let sequence = next[name, default: 1]
                next[name] = sequence + 1
                let header = EnvelopeHeader(
                    origin: Origin(instance: fra, epoch: 1, sequence: sequence), hops: [fra], acceptedAt: 0)
                memory.remember("sc/" + name, header, ByteBuffer(string: "x"), at: now)
                model.append((name, sequence, now))
            } else {
                now = now + .milliseconds(100)
                let lower = UInt64.random(in: 1...200, using: &random)
                let range = lower...(lower + UInt64.random(in: 0...100, using: &random))
                let expected = model.filter {
                    $0.name == name && range.contains($0.sequence) && $0.at + .seconds(10) > now
                }
                let answer = self.ask(&memory, [want(range, channel: ChannelName(name))], at: now)
                #expect(answer == expected.map { "\(name) \($0.sequence) x" }, "seed \(random.seed)")
            }
        }
    }
}

@Suite struct MarkBookTests {
    private func mark(_ channel: ChannelName, _ sequence: UInt64) -> SequenceMark {
        SequenceMark(channel: channel, origin: Origin(instance: fra, epoch: 1, sequence: sequence))
    }

    @Test func `a mark is told four times, then forgotten`() {
        var book = MarkBook()
        book.note(self.mark("a", 7), at: start)
        var times: [Int64] = []
        for second in 0..<200 as Range<Int64> {
            let due = book.takeDue(upTo: 10, at: start + .seconds(second))
            if !due.isEmpty { times.append(second) }
            #expect(due.isEmpty || due == [self.mark("a", 7)])
        }
        #expect(times == [0, 3, 15, 60] && book.isEmpty)
    }

    @Test func `news of a channel begins anew, and so does a link`() {
        var book = MarkBook()
        book.note(self.mark("a", 7), at: start)
        _ = book.takeDue(upTo: 10, at: start)
        book.note(self.mark("a", 8), at: start + .seconds(1))
        #expect(book.takeDue(upTo: 10, at: start + .seconds(1)) == [self.mark("a", 8)])
        #expect(book.takeDue(upTo: 10, at: start + .seconds(2)) == [])
        book.linkRestored(at: start + .seconds(2))
        #expect(book.takeDue(upTo: 10, at: start + .seconds(2)) == [self.mark("a", 8)])
    }

    @Test func `it is bounded, and marks that were told make room`() {
        var book = MarkBook(limit: 2)
        for channel in ["a", "b", "c"] as [ChannelName] { book.note(self.mark(channel, 1), at: start) }
        #expect(book.skippedCount == 1)
        #expect(book.takeDue(upTo: 1, at: start).count == 1)
        book.note(self.mark("d", 1), at: start)
        #expect(book.skippedCount == 1)
        #expect(book.takeDue(upTo: 10, at: start).count == 2)
    }
}

@Suite struct GapMessageTests {
    @Test func `marks, requests and answers come through as they went`() throws {
        let channel = ChannelName("a \"quoted\" \u{1} ünd/#")
        let marks = MarkMessage(
            sender: fra,
            marks: [SequenceMark(channel: channel, origin: Origin(instance: ams, epoch: 3, sequence: 9))])
        #expect(MarkMessage(marks.json) == marks)
        let request = RepairRequest(requester: ams, sender: fra, wants: [want(1...3, 7...7, channel: channel)])
        #expect(RepairMessage(RepairMessage.json(request)) == .request(request))
        let messages = ["", #"{"x":[1,"é"]}"#].enumerated().map { index, data in
            RepairedMessage(
                channel: channel,
                header: EnvelopeHeader(
                    origin: Origin(instance: fra, epoch: 1, sequence: UInt64(index + 1)), hops: [fra, ams],
                    acceptedAt: 5),
                data: ByteBuffer(string: data))
        }
        let answers = RepairMessage.json(sender: fra, messages)
        #expect(answers.count == 1)
        #expect(RepairMessage(try #require(answers.first)) == .answer(sender: fra, messages))
    }

    @Test func `answers are cut into pieces and none is left out`() {
        let messages = (1...3000).map { number in
            RepairedMessage(
                channel: "c",
                header: EnvelopeHeader(
                    origin: Origin(instance: fra, epoch: 1, sequence: UInt64(number)), hops: [fra], acceptedAt: 5),
                data: ByteBuffer(repeating: UInt8(ascii: "1"), count: 100))
        }
        let answers = RepairMessage.json(sender: fra, messages)
        #expect(answers.allSatisfy { $0.readableBytes < RepairMessage.answerBytes + 1000 })
        let numbers = answers.flatMap { json -> [UInt64] in
            guard case .answer(_, let messages) = RepairMessage(json) else { return [] }
            return messages.map(\.header.origin.sequence)
        }
        #expect(numbers == Array(1...3000))
    }

    @Test(arguments: [
        "", "1", "{}", #"{"from":"fra"}"#, #"{"from":"bad name","marks":[],"messages":[]}"#,
        #"{"from":"fra","to":"ams","wants":3}"#, #"{"from":"fra","marks":{}}"#, #"{"from":"fra","to":1,"wants":[]}"#,
    ])
    func `what is no such message is none`(_ text: String) {
        #expect(MarkMessage(ByteBuffer(string: text)) == nil)
        #expect(RepairMessage(ByteBuffer(string: text)) == nil)
    }

    @Test func `parts that do not fit are left out, and whoever exceeds a limit is not believed`() {
        let request = RepairMessage(
            ByteBuffer(
                string: #"""
                    {"from":"ams","to":"fra","wants":[{"channel":"c","origin":"fra","epoch":1,"ranges":[[0,1],[3,2],[1,2,3],["1",2],[4,5]]},
                    {"channel":1,"origin":"fra","epoch":1,"ranges":[]},{"channel":"c","origin":"fra","epoch":-1,"ranges":[]}]}
                    """#))
        #expect(
            request == .request(RepairRequest(requester: ams, sender: fra, wants: [want(4...5, channel: "c")])))
        let tooMany = String(repeating: "{},", count: 256) + "{}"
        #expect(MarkMessage(ByteBuffer(string: #"{"from":"fra","marks":[\#(tooMany)]}"#)) == nil)
        #expect(MarkMessage(ByteBuffer(string: #"{"from":"fra","marks":[{}]}"#))?.marks == [])
    }
}
