import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

/// The files of a disk buffer in memory, with a program over them that can be killed at any moment.
private struct SimulatedDisk {
    var segments: [UInt64: ByteBuffer] = [:]
    var settledBelow: UInt64?
    /// Bytes that all segments may have; writes beyond it fail half way.
    var room = Int.max

    static let clock = (now: NIODeadline.uptimeNanoseconds(1 << 60), wallNow: UInt64(1_795_216_176_123))

    mutating func perform(_ job: StorageJob) -> StorageOutcome {
        var outcome = StorageOutcome()
        if let mark = job.settledBelow { self.settledBelow = mark }
        for segment in job.deletions { self.segments[segment] = nil }
        for write in job.writes {
            guard self.write(write) else {
                outcome.problem = StorageProblem("no space", isFull: true)
                break
            }
            outcome.writes += 1
        }
        if let read = job.read { outcome.read = self.read(read) }
        return outcome
    }

    private mutating func write(_ write: StorageJob.Write) -> Bool {
        var bytes = write.encoded(at: Self.clock.now, wallNow: Self.clock.wallNow)
        let used = self.segments.values.reduce(0) { $0 + $1.readableBytes }
        let isWhole = used + bytes.readableBytes <= self.room
        if !isWhole { bytes = bytes.readSlice(length: bytes.readableBytes / 2)! }
        var file = write.isNew ? ByteBuffer() : self.segments[write.place.segment] ?? ByteBuffer()
        file.setBuffer(bytes, at: write.fileOffset)
        file.moveWriterIndex(to: max(file.writerIndex, write.fileOffset + bytes.readableBytes))
        self.segments[write.place.segment] = file
        return isWhole
    }

    private func read(_ read: StorageJob.Read) -> StorageOutcome.Records {
        var found = StorageOutcome.Records()
        guard let file = self.segments[read.place.segment] else { return found }
        let end = min(read.end, file.writerIndex)
        // Small pieces, so that reading goes on from the middle of segments.
        var count = min(500, read.byteCount)
        while true {
            let stop = min(end, read.place.offset + count)
            let bytes = file.getSlice(at: read.place.offset, length: max(0, stop - read.place.offset)) ?? ByteBuffer()
            var reader = RecordReader(bytes, at: read.place.offset, isLast: stop == end)
            scan: while true {
                switch reader.next() {
                case .record(let record): found.records.append(record)
                case .needsMore(let needed) where found.records.isEmpty:
                    count = reader.offset - read.place.offset + needed
                    break scan
                case .needsMore:
                    found.next = RecordPlace(segment: read.place.segment, offset: reader.offset)
                    return found
                case .end:
                    if stop < end { found.next = RecordPlace(segment: read.place.segment, offset: reader.offset) }
                    return found
                }
            }
        }
    }

    /// What a new process finds.
    mutating func reopened() -> StoredBuffer {
        var stored = StoredBuffer()
        let names = self.segments.keys.sorted()
        stored.settledBelow = self.settledBelow ?? names.first ?? 1
        for (index, first) in names.enumerated() {
            let findings = SegmentFindings(self.segments[first]!, first: first)
            let next = index + 1 < names.count ? names[index + 1] : nil
            let end = next ?? findings.end
            guard end > stored.settledBelow, next != nil || findings.count > 0 else {
                self.segments[first] = nil
                continue
            }
            stored.segments.append(.init(first: first, end: end, byteCount: findings.byteCount))
        }
        return stored
    }
}

/// A disk buffer beside everything that should be true of it.
private struct World {
    let settings: BufferSettings
    var disk = SimulatedDisk()
    var buffer: EgressBuffer
    /// In flight, by ticket.
    var flying: [UInt64: Int] = [:]
    var nextMessage = 0
    /// Accepted and not known to be settled.
    var pending: Set<Int> = []
    /// Taken at least once, and the last one that was taken for the first time.
    var newest = -1
    var confirmed: Set<Int> = []
    var recovered: UInt64 = 0

    init(_ settings: BufferSettings) {
        self.settings = settings
        self.buffer = EgressBuffer(settings: settings, guarantee: .atLeastOnce)
        self.buffer.storageOpened(StoredBuffer())
    }

    mutating func publish(bytes: Int) {
        let data = ByteBuffer(string: "\(self.nextMessage)" + String(repeating: " ", count: bytes))
        let header = EnvelopeHeader(
            origin: Origin(instance: InstanceID("a")!, epoch: 1, sequence: UInt64(self.nextMessage) + 1),
            hops: [InstanceID("a")!], acceptedAt: 1)
        self.buffer.append(
            BufferedEnvelope(name: "n", data: data, header: header, acceptedAt: SimulatedDisk.clock.now))
        self.pending.insert(self.nextMessage)
        self.nextMessage += 1
    }

    /// Does one job, if there is one.
    mutating func work() -> Bool {
        guard let job = self.buffer.nextStorageJob() else { return false }
        let outcome = self.disk.perform(job)
        self.buffer.storageFinished(
            job, outcome, at: SimulatedDisk.clock.now, wallNow: SimulatedDisk.clock.wallNow)
        return true
    }

    mutating func take(_ limit: Int) -> [Int] {
        var taken: [Int] = []
        var flying = self.flying
        _ = self.buffer.take(upTo: limit, at: SimulatedDisk.clock.now) { ticket, envelope in
            let text = String(buffer: envelope.data)
            let message = Int(text.prefix { $0 != " " }) ?? -1
            #expect(envelope.header?.origin.sequence == UInt64(message) + 1)
            flying[ticket] = message
            taken.append(message)
        }
        self.flying = flying
        return taken
    }

    mutating func confirm(_ tickets: ClosedRange<UInt64>) {
        self.buffer.confirm(tickets)
        for (ticket, message) in self.flying where tickets.contains(ticket) {
            self.confirmed.insert(message)
            self.pending.remove(message)
            self.flying[ticket] = nil
        }
    }

    mutating func linkLost() {
        self.buffer.linkLost()
        self.flying = [:]
    }

    /// The process ends where it stands, and another begins. What was never written is gone.
    mutating func crash() {
        let unwritten = self.buffer.storage?.unwritten ?? 0
        let settled = self.buffer.ledger
        for message in (self.nextMessage - unwritten)..<self.nextMessage { self.pending.remove(message) }
        self.flying = [:]
        self.buffer = EgressBuffer(settings: self.settings, guarantee: .atLeastOnce)
        self.buffer.storageOpened(self.disk.reopened())
        self.recovered = self.buffer.ledger.recovered
        #expect(self.buffer.ledger.isBalanced && settled.isBalanced)
    }
}

@Suite struct DiskBufferModelTests {
    private static func settings(_ policy: OverflowPolicy, size: Int = 1 << 20) -> BufferSettings {
        var settings = BufferSettings()
        settings.type = .disk
        settings.sizeBytes = size
        settings.whenFull = policy
        return settings
    }

    @Test func `nothing leaves before it is written, and everything after`() {
        var world = World(Self.settings(.block))
        for _ in 0..<3 { world.publish(bytes: 10) }
        let early = world.take(9)
        #expect(early == [] && world.buffer.ledger.buffered == 3)
        let didWork = world.work()
        #expect(didWork)
        let taken = world.take(9)
        #expect(taken == [0, 1, 2])
        world.confirm(1...3)
        #expect(world.buffer.isSettled && world.buffer.ledger.isBalanced)
    }

    @Test func `what was written and not settled is there after a crash, in order`() {
        var world = World(Self.settings(.block))
        for _ in 0..<5 { world.publish(bytes: 10) }
        while world.work() {}
        _ = world.take(3)
        world.confirm(1...2)
        while world.work() {}
        world.publish(bytes: 10)
        world.crash()
        #expect(world.recovered == 3)
        while world.work() {}
        let taken = world.take(9)
        #expect(taken == [2, 3, 4])
    }

    @Test func `what does not fit into memory comes back from the files, in order`() {
        var world = World(Self.settings(.block, size: 64 << 20))
        for _ in 0..<24 { world.publish(bytes: 1 << 20) }
        while world.work() {}
        #expect((world.buffer.storage?.onDiskOnly ?? 0) > 10)
        var taken: [Int] = []
        for _ in 0..<200 where taken.count < 24 {
            taken += world.take(2)
            world.confirm(0...(.max))
            while world.work() {}
        }
        #expect(taken == Array(0..<24))
        #expect(world.buffer.ledger.confirmed == 24 && world.buffer.ledger.isBalanced)
    }

    @Test func `files whose records are settled are deleted`() {
        var world = World(Self.settings(.block))
        for _ in 0..<40 {
            for _ in 0..<10 { world.publish(bytes: 10_000) }
            while world.work() {}
            _ = world.take(10)
            world.confirm(0...(.max))
            while world.work() {}
        }
        #expect(world.disk.segments.count <= 1)
        #expect(world.buffer.usedBytes <= 64 << 10)
        #expect(world.buffer.ledger.confirmed == 400)
    }

    @Test func `a full buffer drops a whole file of its oldest, counted to the message`() {
        var world = World(Self.settings(.dropOldest))
        for _ in 0..<300 {
            world.publish(bytes: 5000)
            while world.work() {}
            #expect(world.buffer.ledger.isBalanced && world.buffer.usedBytes <= 1 << 20)
        }
        let dropped = world.buffer.ledger.dropped[.bufferFull]
        #expect(dropped > 0 && world.buffer.ledger.buffered == 300 - dropped)
        var taken: [Int] = []
        while world.buffer.hasWaiting {
            taken += world.take(100)
            world.confirm(0...(.max))
            while world.work() {}
        }
        #expect(taken == Array(Int(dropped)..<300))
    }

    @Test func `a full buffer of the other policy drops what comes`() {
        var world = World(Self.settings(.dropNewest))
        for _ in 0..<300 {
            world.publish(bytes: 5000)
            while world.work() {}
        }
        let kept = Int(world.buffer.ledger.buffered)
        #expect(kept > 150 && world.buffer.ledger.dropped[.bufferFull] == UInt64(300 - kept))
        var taken: [Int] = []
        while world.buffer.hasWaiting {
            taken += world.take(100)
            world.confirm(0...(.max))
            while world.work() {}
        }
        #expect(taken == Array(0..<kept))
    }

    @Test func `a full disk is a state with a name, and ends`() {
        var world = World(Self.settings(.block))
        world.disk.room = 2000
        for _ in 0..<20 { world.publish(bytes: 200) }
        while world.work() {}
        #expect(world.buffer.storage?.problem?.isFull == true)
        #expect(world.buffer.ledger.buffered == 20 && world.buffer.ledger.dropped.total == 0)
        world.disk.room = .max
        let triesAtOnce = world.work()
        #expect(!triesAtOnce, "it waits before it tries again")
        world.buffer.retryStorage()
        while world.work() {}
        #expect(world.buffer.storage?.problem == nil)
        let taken = world.take(99)
        #expect(taken == Array(0..<20))
    }

    @Test func `what cannot be written waits in bounded memory, and is dropped by name beyond it`() {
        var world = World(Self.settings(.dropNewest, size: 1 << 30))
        world.disk.room = 0
        for _ in 0..<50 { world.publish(bytes: 1 << 20) }
        while world.work() {}
        for _ in 0..<50 { world.publish(bytes: 1 << 20) }
        #expect(world.buffer.ledger.buffered == 31)
        #expect(world.buffer.ledger.dropped[.unstored] == 50 && world.buffer.ledger.isBalanced)
        world.buffer.storageClosed()
        #expect(world.buffer.ledger.dropped[.stopped] == 31 && world.buffer.ledger.isBalanced)
    }

    @Test func `damaged records are counted one by one, and the others leave in order`() {
        var world = World(Self.settings(.block))
        for _ in 0..<30 { world.publish(bytes: 10_000) }
        while world.work() {}
        let names = world.disk.segments.keys.sorted()
        #expect(names.count >= 4)
        // One byte in the middle of the first file, the end of the second, and the third is gone.
        world.disk.segments[names[0]]!.setInteger(UInt8(0), at: 30_000)
        let second = world.disk.segments[names[1]]!
        world.disk.segments[names[1]] = second.getSlice(at: 0, length: second.readableBytes - 1)!
        world.disk.segments[names[2]] = nil
        world.crash()
        #expect(world.recovered == 30)
        while world.work() {}
        let gone = [2, Int(names[2]) - 2] + (Int(names[2]) - 1..<Int(names[3]) - 1)
        let taken = world.take(99)
        #expect(taken == (0..<30).filter { !gone.contains($0) })
        #expect(world.buffer.ledger.dropped[.damaged] == UInt64(gone.count) && world.buffer.ledger.isBalanced)
        world.confirm(0...(.max))
        #expect(world.buffer.isSettled)
    }

    @Test(arguments: [OverflowPolicy.block, .dropNewest, .dropOldest])
    func `whatever happens, the ledger balances, nothing stored is lost and nothing leaves out of order`(
        policy: OverflowPolicy
    ) {
        var random = SeededRandom()
        var world = World(Self.settings(policy))
        var lastTaken = -1
        for step in 0..<6000 {
            switch Int.random(in: 0..<40, using: &random) {
            case 0..<14:
                let blocked = policy == .block && world.buffer.isBlocking
                if !blocked { world.publish(bytes: Int.random(in: 0..<12_000, using: &random)) }
            case 14..<24: _ = world.work()
            case 24..<31:
                for message in world.take(Int.random(in: 0...6, using: &random)) {
                    #expect(message > lastTaken, "seed \(random.seed), step \(step)")
                    lastTaken = message
                }
            case 31..<35:
                let low = world.flying.keys.min() ?? 1
                world.confirm(low...(low + UInt64.random(in: 0...4, using: &random)))
            case 35:
                let ticket = world.flying.keys.randomElement(using: &random)
                if let ticket { world.confirm(ticket...ticket) }
            case 36:
                world.linkLost()
                lastTaken = -1
            case 37:
                world.disk.room = Bool.random(using: &random) ? .max : Int.random(in: 0..<(1 << 20), using: &random)
            case 38: world.buffer.retryStorage()
            default:
                guard Int.random(in: 0..<6, using: &random) == 0 else { continue }
                world.crash()
                lastTaken = -1
            }
            guard world.buffer.ledger.isBalanced, world.buffer.usedBytes <= 33 << 20 else {
                Issue.record("seed \(random.seed), step \(step): \(world.buffer.ledger)")
                return
            }
        }
        // At the end the disk has room and the upstream takes everything.
        world.disk.room = .max
        world.linkLost()
        world.buffer.retryStorage()
        while world.work() {}
        while world.buffer.ledger.pending > 0 {
            let before = world.buffer.ledger.pending
            _ = world.take(1000)
            world.confirm(0...(.max))
            while world.work() {}
            guard world.buffer.ledger.pending < before else {
                Issue.record("seed \(random.seed): \(world.buffer.ledger) stays")
                return
            }
        }
        let ledger = world.buffer.ledger
        #expect(ledger.isBalanced && ledger.dropped[.damaged] == 0, "seed \(random.seed)")
        if policy == .block {
            #expect(world.pending.isEmpty, "seed \(random.seed): lost \(world.pending.sorted())")
        }
        #expect(world.disk.segments.count <= 1, "seed \(random.seed)")
    }
}
