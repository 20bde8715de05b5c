import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

extension InstanceLife {
    fileprivate static func life(_ name: String, _ epoch: UInt64 = 1) -> InstanceLife {
        InstanceLife(instance: InstanceID(name)!, epoch: epoch, nonce: epoch)
    }
}

@Suite struct BridgingOccupancyTests {
    private static let lease = Duration.seconds(30)

    private static func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(1000 + seconds) }

    private static func table(_ name: String = "b") -> OccupancyTable {
        var table = OccupancyTable(own: .life(name), lease: Self.lease)
        table.linkUp(at: Self.at(-100))
        return table
    }

    private static func event(
        _ kind: OccupancyEvent.Kind, _ channel: ChannelName, of name: String, _ epoch: UInt64 = 1,
        by withdrawer: String? = nil
    ) -> OccupancyEvent {
        OccupancyEvent(
            kind, channel, of: InstanceID(name)!, epoch: epoch, by: withdrawer.flatMap { InstanceID($0) })
    }

    @Test func `an event is what the page on the envelope says, and survives its journey`() {
        let event = OccupancyEvent(
            .unsubscribe, "a \"b\"", of: InstanceID("fra-1")!, epoch: 7, lease: .seconds(30), by: InstanceID("fra-2"))
        let json = event.json(at: 99)
        #expect(
            String(buffer: json) == """
                {"channel":"a \\"b\\"","event":"unsubscribe","instance":"fra-1","at":99,"epoch":7,"lease":30000,"by":"fra-2"}
                """)
        var read = event
        read.lease = nil
        #expect(OccupancyEvent(.unsubscribe, json) == read)
    }

    @Test(arguments: [
        "", "[]", "{}", "nonsense", "{\"channel\":\"a\",\"instance\":\"b\"}",
        "{\"channel\":1,\"instance\":\"b\",\"epoch\":1}",
        "{\"channel\":\"a\",\"instance\":\"no spaces\",\"epoch\":1}",
        "{\"channel\":\"$linkspan/probe\",\"instance\":\"b\",\"epoch\":1}",
        "{\"channel\":\"a\",\"instance\":\"b\",\"epoch\":-1}",
    ])
    func `what is no event is not taken for one`(_ data: String) {
        #expect(OccupancyEvent(.subscribe, ByteBuffer(string: data)) == nil)
        #expect(OccupancySnapshot(ByteBuffer(string: data)) == nil)
    }

    @Test func `a snapshot survives its journey, without what is reserved and past its limit`() {
        let channels = (1...300).map { ChannelName("c/\($0)") }
        let snapshot = OccupancySnapshot(instance: InstanceID("a")!, epoch: 3, channels: channels)
        let read = OccupancySnapshot(snapshot.json)
        #expect(read?.channels == Array(channels.prefix(256)) && read?.epoch == 3)
        let text = "{\"instance\":\"a\",\"epoch\":1,\"channels\":[\"$linkspan/x\",7,\"b\"]}"
        #expect(OccupancySnapshot(ByteBuffer(string: text))?.channels == ["b"])
    }

    @Test func `subscriptions of an instance that died are withdrawn once its lease is over`() {
        var table = Self.table()
        table.signOfLife(of: .life("c"), keepsTable: true, at: Self.at(0))
        _ = table.heard(Self.event(.subscribe, "news", of: "c"), at: Self.at(1))
        _ = table.heard(Self.event(.subscribe, "chat", of: "c"), at: Self.at(1))
        _ = table.heard(Self.event(.unsubscribe, "chat", of: "c"), at: Self.at(2))
        #expect(table.tick(at: Self.at(29)).isEmpty)
        #expect(table.tick(at: Self.at(30)) == [Self.event(.unsubscribe, "news", of: "c", by: "b")])
        #expect(table.tick(at: Self.at(31)).isEmpty && table.instanceCount == 0 && table.entryCount == 0)
        #expect(table.withdrawnCount == 1)
    }

    @Test func `a sign of life renews the lease`() {
        var table = Self.table()
        _ = table.heard(Self.event(.subscribe, "news", of: "c"), at: Self.at(0))
        for second in stride(from: 0, to: 300, by: 25) as StrideTo<Int64> {
            table.signOfLife(of: .life("c"), keepsTable: true, at: Self.at(second))
            #expect(table.tick(at: Self.at(second + 24)).isEmpty)
        }
    }

    @Test func `of those that are alive the first by name withdraws, and the next one a lease later should it not`() {
        var table = Self.table("m")
        _ = table.heard(Self.event(.subscribe, "news", of: "x"), at: Self.at(0))
        for second in 0...59 as ClosedRange<Int64> {
            table.signOfLife(of: .life("a"), keepsTable: true, at: Self.at(second))
            table.signOfLife(of: .life("b"), keepsTable: false, at: Self.at(second))
            table.signOfLife(of: .life("z"), keepsTable: true, at: Self.at(second))
            #expect(table.tick(at: Self.at(second)).isEmpty)
        }
        var heeding = table
        _ = heeding.heard(Self.event(.unsubscribe, "news", of: "x", by: "a"), at: Self.at(59))
        #expect(heeding.tick(at: Self.at(500)).isEmpty, "it was done")
        #expect(table.tick(at: Self.at(60)) == [Self.event(.unsubscribe, "news", of: "x", by: "m")])
    }

    @Test func `who is withdrawing is left to it, and followed when it stops`() {
        var table = Self.table("m")
        for channel in ["one", "two"] {
            _ = table.heard(Self.event(.subscribe, ChannelName(channel), of: "x"), at: Self.at(0))
        }
        _ = table.heard(Self.event(.unsubscribe, "one", of: "x", by: "a"), at: Self.at(29))
        #expect(table.tick(at: Self.at(30)) == [Self.event(.unsubscribe, "two", of: "x", by: "m")])
        var second = Self.table("m")
        second.signOfLife(of: .life("a"), keepsTable: true, at: Self.at(0))
        for channel in ["one", "two"] {
            _ = second.heard(Self.event(.subscribe, ChannelName(channel), of: "x"), at: Self.at(0))
        }
        second.signOfLife(of: .life("a"), keepsTable: true, at: Self.at(29))
        _ = second.heard(Self.event(.unsubscribe, "one", of: "x", by: "a"), at: Self.at(50))
        second.signOfLife(of: .life("a"), keepsTable: true, at: Self.at(60))
        #expect(second.tick(at: Self.at(79)).isEmpty)
        #expect(second.tick(at: Self.at(80)).map(\.channel) == ["two"])
    }

    @Test func `of several bridges of one instance the first withdraws, and the others when it does not`() {
        func table(_ place: Int) -> OccupancyTable {
            var table = OccupancyTable(own: .life("b"), lease: Self.lease, turn: .init(place: place, of: 3))
            table.linkUp(at: Self.at(-100))
            _ = table.heard(Self.event(.subscribe, "news", of: "c"), at: Self.at(0))
            return table
        }
        let withdrawal = Self.event(.unsubscribe, "news", of: "c", by: "b")
        var (first, second, third) = (table(0), table(1), table(2))
        #expect(first.tick(at: Self.at(30)) == [withdrawal])
        #expect(second.tick(at: Self.at(39)).isEmpty && third.tick(at: Self.at(39)).isEmpty)
        #expect(second.tick(at: Self.at(40)) == [withdrawal], "it heard nothing of it")
        _ = third.heard(withdrawal, at: Self.at(41))
        #expect(third.tick(at: Self.at(500)).isEmpty && third.withdrawnCount == 0)
        // Another instance waits a whole lease, and so comes after all of them.
        var other = Self.table("m")
        _ = other.heard(Self.event(.subscribe, "news", of: "c"), at: Self.at(0))
        other.signOfLife(of: .life("b"), keepsTable: true, at: Self.at(49))
        #expect(other.tick(at: Self.at(59)).isEmpty)
        #expect(other.tick(at: Self.at(60)).count == 1)
    }

    @Test func `a new run takes over, and only what it does not subscribe to again is withdrawn`() {
        var table = Self.table()
        for channel in ["news", "chat"] {
            _ = table.heard(Self.event(.subscribe, ChannelName(channel), of: "c", 1), at: Self.at(0))
        }
        table.signOfLife(of: .life("c", 2), keepsTable: true, at: Self.at(5))
        _ = table.heard(Self.event(.subscribe, "news", of: "c", 2), at: Self.at(6))
        _ = table.heard(Self.event(.subscribe, "old", of: "c", 1), at: Self.at(7))
        table.signOfLife(of: .life("c", 2), keepsTable: true, at: Self.at(34))
        #expect(table.tick(at: Self.at(34)).isEmpty)
        #expect(table.tick(at: Self.at(35)) == [Self.event(.unsubscribe, "chat", of: "c", 2, by: "b")])
        #expect(table.entryCount == 1)
    }

    @Test func `nothing is withdrawn by who could not hear the others for a lease`() {
        var table = Self.table()
        _ = table.heard(Self.event(.subscribe, "news", of: "c"), at: Self.at(0))
        table.linkDown(at: Self.at(1))
        #expect(table.tick(at: Self.at(1000)).isEmpty)
        table.linkUp(at: Self.at(1000))
        #expect(table.tick(at: Self.at(1029)).isEmpty)
        #expect(table.tick(at: Self.at(1030)).count == 1)
    }

    @Test func `what was withdrawn although our clients hold it is told again`() {
        var table = Self.table()
        table.subscribed("news")
        #expect(
            table.heard(Self.event(.unsubscribe, "news", of: "b", by: "a"), at: Self.at(0))
                == OccupancyEvent(.subscribe, "news", of: InstanceID("b")!, epoch: 1, lease: Self.lease))
        #expect(table.heard(Self.event(.unsubscribe, "chat", of: "b", by: "a"), at: Self.at(0)) == nil)
        #expect(table.heard(Self.event(.unsubscribe, "news", of: "b"), at: Self.at(0)) == nil, "our own word")
        #expect(table.repeatedCount == 1)
    }

    @Test func `after a lease without a connection everything is told again, and after a shorter one nothing`() {
        var table = Self.table()
        table.subscribed("news")
        table.subscribed("gone")
        table.linkDown(at: Self.at(0))
        table.linkUp(at: Self.at(29))
        #expect(table.tick(at: Self.at(29)).isEmpty)
        table.linkDown(at: Self.at(100))
        table.linkDown(at: Self.at(120))
        table.linkUp(at: Self.at(130))
        table.unsubscribed("gone")
        #expect(table.tick(at: Self.at(130)).map(\.channel) == ["news"])
        #expect(table.tick(at: Self.at(131)).isEmpty)
    }

    @Test func `who comes later is shown what there is already, in parts`() {
        var table = Self.table()
        for number in 1...300 { table.subscribed(ChannelName("c/\(number)")) }
        #expect(!table.hasSnapshot)
        table.peerCame()
        table.unsubscribed("c/1")
        var late = Self.table("z")
        var parts = 0
        while table.hasSnapshot {
            guard let snapshot = table.takeSnapshot() else { continue }
            parts += 1
            late.heard(snapshot, at: Self.at(0))
        }
        #expect(parts == 2 && late.entryCount == 299)
        var withdrawn: [OccupancyEvent] = []
        withdrawn += late.tick(at: Self.at(30))
        #expect(withdrawn.count == 299 && Set(withdrawn.map(\.instance.string)) == ["b"])
    }

    @Test func `what the run before left behind is taken back, unless it is subscribed to again or others did it`() {
        func table(alone: Bool) -> OccupancyTable {
            var table = OccupancyTable(own: .life("b", 2), lease: Self.lease)
            table.keepJournal(leftBehind: ["news", "chat", "old"])
            #expect(table.takeJournal() == ["news": true, "chat": true, "old": true] && table.journal.count == 3)
            table.linkUp(at: Self.at(0))
            if !alone { table.signOfLife(of: .life("c"), keepsTable: true, at: Self.at(31)) }
            table.subscribed("news")
            #expect(table.takeJournal() == ["news": true])
            _ = table.heard(Self.event(.unsubscribe, "old", of: "b", 2, by: "c"), at: Self.at(5))
            #expect(table.takeJournal() == ["old": false])
            #expect(table.tick(at: Self.at(29)).isEmpty)
            return table
        }
        let word = OccupancyEvent(.unsubscribe, "chat", of: InstanceID("b")!, epoch: 2, lease: Self.lease)
        var alone = table(alone: true)
        #expect(alone.tick(at: Self.at(30)) == [word] && alone.tick(at: Self.at(31)).isEmpty)
        #expect(alone.takeJournal() == ["chat": false] && alone.journal == ["news"] && alone.withdrawnCount == 1)
        var second = table(alone: false)
        #expect(second.tick(at: Self.at(59)).isEmpty, "the others know of it, and have a lease to withdraw it")
        #expect(second.tick(at: Self.at(60)) == [word])
    }

    @Test func `a journal is read as it was written, and a torn line costs no other`() {
        var bytes = ByteBuffer()
        OccupancyJournal.write(["a": true, "two\nlines": true, "": true], into: &bytes)
        OccupancyJournal.write(["a": false], into: &bytes)
        OccupancyJournal.write(["b 7": true], into: &bytes)
        let held: Set<ChannelName> = ["two\nlines", "", "b 7"]
        #expect(OccupancyJournal.read(bytes) == held)
        for length in 0..<bytes.readableBytes {
            let torn = OccupancyJournal.read(bytes.getSlice(at: 0, length: length)!)
            #expect(torn.isSubset(of: held.union(["a"])), "\(length)")
        }
        #expect(OccupancyJournal.read(bytes.getSlice(at: 0, length: bytes.readableBytes - 1)!) == ["two\nlines", ""])
        for text in [
            "", "+", "+3", "+ a\n", "+-1 a\n", "+99999999999999999999 a\n", "+9223372036854775807 a\n", "x1 a\n",
            "+9 a\n", "+1 ab",
        ] {
            #expect(OccupancyJournal.read(ByteBuffer(string: text)).isEmpty, "\(text)")
        }
    }

    @Test func `many withdrawals come in batches`() {
        var table = Self.table()
        for number in 1...2500 {
            _ = table.heard(Self.event(.subscribe, ChannelName("\(number)"), of: "c"), at: Self.at(0))
        }
        #expect([30, 31, 32, 33].map { table.tick(at: Self.at($0)).count } == [1000, 1000, 500, 0])
    }

    @Test func `instances past the limit are counted`() {
        var table = Self.table()
        for number in 1...300 { _ = table.heard(Self.event(.subscribe, "c", of: "i\(number)"), at: Self.at(0)) }
        #expect(table.instanceCount == 256 && table.ignoredCount == 44)
    }
}

/// Instances that come, go and die at random over an upstream that delivers to all in order and with delay; and a service that believes what it hears.
@Suite struct BridgingOccupancyModelTests {
    private struct Instance {
        var table: OccupancyTable
        var mine: Set<ChannelName> = []
        var inbox: [(due: Int64, message: Message)] = []
    }

    private enum Message {
        case event(OccupancyEvent)
        case life(InstanceLife)
        case snapshot(OccupancySnapshot)
    }

    private struct World {
        var random: SeededRandom
        var second: Int64 = 0
        var alive: [String: Instance] = [:]
        /// By instance and channel.
        var believed: [String: Set<ChannelName>] = [:]
        var nextEpoch: UInt64 = 1
        var doubled: [OccupancyEvent] = []
        var known: [String: Set<InstanceLife>] = [:]

        var now: NIODeadline { .uptimeNanoseconds(0) + .seconds(1000 + self.second) }

        mutating func start(_ name: String) {
            self.nextEpoch += 1
            var table = OccupancyTable(own: .life(name, self.nextEpoch), lease: .seconds(10))
            table.linkUp(at: self.now)
            self.alive[name] = Instance(table: table)
            self.known[name] = []
        }

        mutating func publish(_ message: Message) {
            if case .event(let event) = message {
                switch event.kind {
                case .subscribe: self.believed[event.instance.string, default: []].insert(event.channel)
                case .unsubscribe:
                    if self.believed[event.instance.string, default: []].remove(event.channel) == nil {
                        self.doubled.append(event)
                    }
                }
            }
            for name in self.alive.keys.sorted() {
                let delay = Int64.random(in: 0...2, using: &self.random)
                // In order to each, as a connection delivers.
                let due = max(self.second + delay, self.alive[name]?.inbox.last?.due ?? 0)
                self.alive[name]?.inbox.append((due, message))
            }
        }

        mutating func change(_ name: String, _ channel: ChannelName) {
            guard var instance = self.alive[name] else { return }
            let kind: OccupancyEvent.Kind = instance.mine.contains(channel) ? .unsubscribe : .subscribe
            switch kind {
            case .subscribe:
                instance.mine.insert(channel)
                instance.table.subscribed(channel)
            case .unsubscribe:
                instance.mine.remove(channel)
                instance.table.unsubscribed(channel)
            }
            self.alive[name] = instance
            self.publish(.event(instance.table.event(kind, channel)))
        }

        mutating func step() {
            self.second += 1
            for name in self.alive.keys.sorted() {
                guard var instance = self.alive[name] else { continue }
                var said: [Message] = []
                while let first = instance.inbox.first, first.due <= self.second {
                    instance.inbox.removeFirst()
                    switch first.message {
                    case .event(let event):
                        if let answer = instance.table.heard(event, at: self.now) { said.append(.event(answer)) }
                    case .life(let life):
                        instance.table.signOfLife(of: life, keepsTable: true, at: self.now)
                        if life.instance.string != name, self.known[name, default: []].insert(life).inserted {
                            instance.table.peerCame()
                        }
                    case .snapshot(let snapshot): instance.table.heard(snapshot, at: self.now)
                    }
                }
                said += instance.table.tick(at: self.now).map(Message.event)
                if self.second % 2 == 0 { said.append(.life(instance.table.own)) }
                while instance.table.hasSnapshot {
                    if let snapshot = instance.table.takeSnapshot() { said.append(.snapshot(snapshot)) }
                }
                self.alive[name] = instance
                for message in said { self.publish(message) }
            }
        }

        var truth: [String: Set<ChannelName>] { self.alive.mapValues(\.mine).filter { !$0.value.isEmpty } }
    }

    @Test(arguments: [UInt64](1...30))
    func `in the end everybody believes what is true, and nothing was withdrawn twice`(_ seed: UInt64) {
        let names = ["a", "b", "c", "d", "survivor"]
        var world = World(random: SeededRandom(seed: seed))
        for name in names { world.start(name) }
        for _ in 1...400 {
            world.step()
            let name = names[Int.random(in: 0..<names.count, using: &world.random)]
            switch Int.random(in: 0..<30, using: &world.random) {
            case 0 where name != "survivor": world.alive[name] = nil
            case 1...2 where world.alive[name] == nil: world.start(name)
            case 3...15: world.change(name, ChannelName("c/\(Int.random(in: 0..<6, using: &world.random))"))
            default: break
            }
        }
        for _ in 1...120 { world.step() }
        #expect(world.believed.filter { !$0.value.isEmpty } == world.truth, "seed \(seed)")
        #expect(world.doubled.isEmpty, "seed \(seed)")
        let others = world.alive["survivor"]?.table.entryCount
        #expect(
            others == world.truth.filter { $0.key != "survivor" }.values.reduce(0) { $0 + $1.count }, "seed \(seed)")
    }
}
