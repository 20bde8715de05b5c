import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

/// Instances that share channels over an upstream that loses, repeats and reorders whatever passes through it.
private struct Network {
    enum Packet {
        case message(ChannelName, EnvelopeHeader)
        case marks(ByteBuffer)
        case repair(ByteBuffer)
    }

    struct Flight {
        var at: NIODeadline
        var order: Int
        var to: Int
        var packet: Packet
    }

    /// What the bridges and owners of one instance do between them.
    struct Instance {
        let id: InstanceID
        var next: [ChannelName: UInt64] = [:]
        var windows: [ChannelName: OriginWindows] = [:]
        var watch = GapWatch()
        var ledger = GapLedger()
        var desk: RepairDesk
        var memory: RepairMemory
        var book = MarkBook()
        var delivered: [ChannelName: [InstanceID: [UInt64]]] = [:]
        var received = 0
        var duplicates = 0
        var held = 0

        init(_ id: InstanceID, _ settings: RepairSettings) {
            self.id = id
            self.desk = RepairDesk(instance: id, settings: settings)
            self.memory = RepairMemory(settings: settings)
        }

        mutating func mark(_ mark: SequenceMark, _ context: GapContext) {
            self.windows[mark.channel]?.mark(mark.origin, isDirect: true, context, &self.watch)
        }

        mutating func release(_ channel: ChannelName, at now: NIODeadline) -> [Origin] {
            var released: [Origin] = []
            self.windows[channel]?.release(at: now, &self.watch) { released.append($0.header.origin) }
            return released
        }

        var isBalanced: Bool {
            let delivered = self.delivered.values.flatMap { $0.values.map(\.count) }.reduce(0, +)
            return self.received == delivered + self.duplicates + self.held && self.ledger.counts.isBalanced
        }
    }

    var random: SeededRandom
    var now = NIODeadline.uptimeNanoseconds(0) + .seconds(10)
    var instances: [Instance]
    var flights: [Flight] = []
    var isCut = false
    var lossPercent = 15
    private var order = 0
    private let repairs: Bool
    private let settings: RepairSettings
    let channels: [ChannelName] = ["a", "b"]

    init(_ count: Int, random: SeededRandom, repairs: Bool = true) {
        // Long enough for what the network does; the numbers of a slow test would be the same.
        var settings = RepairSettings()
        settings.hold = .seconds(60)
        settings.window = .seconds(120)
        self.settings = settings
        self.random = random
        self.repairs = repairs
        self.instances = (0..<count).map { Instance(InstanceID("i\($0)")!, settings) }
    }

    private mutating func send(_ packet: Packet, from sender: Int) {
        guard !self.isCut else { return }
        for receiver in self.instances.indices where receiver != sender {
            let isRepeated = Int.random(in: 0..<100, using: &self.random) < 10
            for _ in 0...(isRepeated ? 1 : 0) where Int.random(in: 0..<100, using: &self.random) >= self.lossPercent {
                self.order += 1
                let delay = TimeAmount.milliseconds(Int64.random(in: 1...20, using: &self.random))
                self.flights.append(Flight(at: self.now + delay, order: self.order, to: receiver, packet: packet))
            }
        }
    }

    mutating func publish(_ sender: Int, _ channel: ChannelName) {
        let sequence = self.instances[sender].next[channel, default: 0] + 1
        self.instances[sender].next[channel] = sequence
        let id = self.instances[sender].id
        let header = EnvelopeHeader(
            origin: Origin(instance: id, epoch: 1, sequence: sequence), hops: [id], acceptedAt: 0)
        self.instances[sender].memory.remember(channel.string, header, ByteBuffer(), at: self.now)
        self.send(.message(channel, header), from: sender)
    }

    /// Everybody went quiet.
    mutating func mark() {
        for index in self.instances.indices {
            for (channel, sequence) in self.instances[index].next.sorted(by: { $0.key.string < $1.key.string }) {
                let origin = Origin(instance: self.instances[index].id, epoch: 1, sequence: sequence)
                self.instances[index].book.note(SequenceMark(channel: channel, origin: origin), at: self.now)
            }
        }
    }

    mutating func step(_ milliseconds: Int64 = 1) {
        self.now = self.now + .milliseconds(milliseconds)
        let due = self.flights.filter { $0.at <= self.now }.sorted { ($0.at, $0.order) < ($1.at, $1.order) }
        self.flights.removeAll { $0.at <= self.now }
        for flight in due { self.arrive(flight.packet, at: flight.to) }
        for index in self.instances.indices {
            for channel in self.channels { self.settle(channel, at: index) }
            let marks = self.instances[index].book.takeDue(upTo: 256, at: self.now)
            if !marks.isEmpty {
                self.send(.marks(MarkMessage(sender: self.instances[index].id, marks: marks).json), from: index)
            }
            guard self.repairs else { continue }
            for request in self.instances[index].desk.takeDue(at: self.now, using: &self.random) {
                self.send(.repair(RepairMessage.json(request)), from: index)
            }
        }
    }

    private mutating func arrive(_ packet: Packet, at index: Int) {
        switch packet {
        case .message(let channel, let header):
            self.instances[index].received += 1
            self.judge(channel, header, at: index)
        case .marks(let json):
            guard let message = MarkMessage(json) else {
                Issue.record("marks did not come through")
                return
            }
            for mark in message.marks {
                let context = self.context(mark.channel, message.sender)
                self.instances[index].mark(mark, context)
            }
        case .repair(let json):
            switch RepairMessage(json) {
            case .request(let request) where request.sender == self.instances[index].id:
                let answer = self.instances[index].memory.answer(
                    request, byteLimit: 1 << 20, at: self.now
                ) { $0.string }
                for json in RepairMessage.json(sender: self.instances[index].id, answer) {
                    self.send(.repair(json), from: index)
                }
            case .request(let request):
                self.instances[index].desk.overheard(request, at: self.now, using: &self.random)
            case .answer(_, let messages):
                for message in messages where message.header.origin.instance != self.instances[index].id {
                    self.instances[index].received += 1
                    let isMissing = self.instances[index].windows[message.channel]?.isMissing(message.header.origin)
                    if isMissing == true {
                        self.judge(message.channel, message.header, at: index)
                    } else {
                        self.instances[index].duplicates += 1
                    }
                }
            case nil: Issue.record("a request or answer did not come through")
            }
        }
    }

    private func context(_ channel: ChannelName, _ sender: InstanceID) -> GapContext {
        GapContext(
            channel: channel, bridge: BridgeIndex(0), sender: sender,
            terms: GapTerms(hold: self.repairs ? .seconds(60) : nil, finalAfter: .seconds(120)), now: self.now,
            wallClock: 0)
    }

    private mutating func judge(_ channel: ChannelName, _ header: EnvelopeHeader, at index: Int) {
        var windows = self.instances[index].windows[channel] ?? OriginWindows()
        let verdict = windows.judge(header.origin, isDirect: true, at: self.now)
        windows.book(
            verdict, of: header.origin, self.context(channel, header.origin.instance), &self.instances[index].watch)
        if verdict == .duplicate {
            self.instances[index].duplicates += 1
        } else if windows.mustWait(header.origin) {
            self.instances[index].held += 1
            let envelope = HeldEnvelope(header: header, data: ByteBuffer(), bridge: BridgeIndex(0))
            windows.hold(envelope, &self.instances[index].watch)
        } else {
            self.deliver(channel, header.origin, at: index)
        }
        self.instances[index].windows[channel] = windows
        self.settle(channel, at: index)
    }

    private mutating func settle(_ channel: ChannelName, at index: Int) {
        let released = self.instances[index].release(channel, at: self.now)
        self.instances[index].held -= released.count
        for origin in released { self.deliver(channel, origin, at: index) }
        guard self.instances[index].watch.hasEvents else { return }
        for event in self.instances[index].watch.takeEvents().values.flatMap(\.self) {
            self.instances[index].ledger.apply(event)
            self.instances[index].desk.apply(event, at: self.now, using: &self.random)
        }
    }

    private mutating func deliver(_ channel: ChannelName, _ origin: Origin, at index: Int) {
        self.instances[index].delivered[channel, default: [:]][origin.instance, default: []].append(origin.sequence)
    }

    /// What `receiver` should have of `sender`, from the first one that it ever heard.
    func promised(_ channel: ChannelName, of sender: Int, at receiver: Int) -> [UInt64] {
        let heard = self.instances[receiver].delivered[channel]?[self.instances[sender].id] ?? []
        guard let first = heard.first else { return [] }
        return Array(first...self.instances[sender].next[channel, default: 0])
    }
}

@Suite struct RepairNetworkTests {
    /// Publishes through a bad network with a cut in the middle, then lets it come to rest.
    private func run(_ count: Int, random: SeededRandom, repairs: Bool) -> Network {
        var network = Network(count, random: random, repairs: repairs)
        // Everybody hears everybody once: what came before that nobody promised.
        network.lossPercent = 0
        for index in network.instances.indices {
            for channel in network.channels { network.publish(index, channel) }
        }
        network.step(30)
        network.lossPercent = 15
        for round in 0..<120 {
            network.isCut = (50..<70).contains(round)
            let sender = Int.random(in: 0..<count, using: &network.random)
            for channel in network.channels { network.publish(sender, channel) }
            network.step(3)
            guard network.instances.allSatisfy(\.isBalanced) else {
                Issue.record("seed \(random.seed): out of balance in round \(round)")
                return network
            }
        }
        network.mark()
        for _ in 0..<4000 {
            network.step(25)
            let isAtRest = network.instances.allSatisfy { $0.book.isEmpty && $0.desk.nextDue == nil }
            if repairs && isAtRest && network.flights.isEmpty { break }
        }
        return network
    }

    @Test(arguments: 2...5)
    func `with repair every message comes once and in order at every instance`(_ count: Int) {
        let random = SeededRandom()
        let network = self.run(count, random: random, repairs: true)
        for receiver in 0..<count {
            let instance = network.instances[receiver]
            #expect(instance.isBalanced && instance.held == 0, "seed \(random.seed)")
            #expect(instance.ledger.counts.open == 0 && instance.ledger.counts.final == 0, "seed \(random.seed)")
            for sender in 0..<count where sender != receiver {
                for channel in network.channels {
                    let delivered = instance.delivered[channel]?[network.instances[sender].id]
                    #expect(
                        delivered == network.promised(channel, of: sender, at: receiver),
                        "seed \(random.seed): \(sender) to \(receiver)")
                }
            }
        }
    }

    @Test(arguments: 2...3)
    func `without repair the ledger names exactly what was lost`(_ count: Int) {
        let random = SeededRandom()
        var network = self.run(count, random: random, repairs: false)
        for _ in 0..<130 {
            network.now = network.now + .seconds(1)
            network.step()
        }
        for receiver in 0..<count {
            let instance = network.instances[receiver]
            var lost: UInt64 = 0
            for sender in 0..<count where sender != receiver {
                for channel in network.channels {
                    let delivered = instance.delivered[channel]?[network.instances[sender].id] ?? []
                    #expect(Set(delivered).count == delivered.count, "seed \(random.seed): something came twice")
                    // What was overtaken before the first one came is late, and no part of a gap.
                    let first = delivered.first ?? 1
                    let due = Set(first...max(first, network.instances[sender].next[channel, default: 0]))
                    lost += UInt64(due.subtracting(delivered).count)
                }
            }
            #expect(lost > 0)
            #expect(instance.ledger.counts.final == lost, "seed \(random.seed): instance \(receiver)")
            #expect(instance.ledger.counts.open == 0 && instance.isBalanced, "seed \(random.seed)")
        }
    }
}
