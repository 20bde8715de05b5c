internal import CLinkspanFloor
internal import Glibc
internal import LinkspanBridgeKit
internal import Synchronization

/// One thread of the generator, with its share of connections, around one epoll.
///
/// Lives and dies on that thread; others see its `counters` and wake it by its signal.
final class LoadThread {
    let index: Int
    private let counters: LoadCounters
    private(set) var faults = Faults()
    private(set) var latency = Histogram()

    private let run: LoadRun
    private let plan: LoadPlan
    private let streams: [LoadStream]
    /// Raised by other threads: a stream that we own moved on, or the phase changed.
    private let signal: Int32
    private let wakes: [Int32]
    private let poller: Int32
    private let timer: Int32

    private var connections: [UnsafeMutablePointer<LoadConnection>] = []
    private var nextToConnect = 0
    private var connecting = 0
    /// By stream: our publisher, and what was sent.
    private var publishers: [Int: UnsafeMutablePointer<LoadConnection>] = [:]
    private var owned: [OwnedStream] = []
    private var places: [Int]
    private var local: [LocalProgress]
    private var dirty: [Int] = []

    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
    private let outgoing: UnsafeMutableRawBufferPointer
    private let filling: UnsafeMutableRawBufferPointer
    private var published: UInt64 = 0
    private var delivered: UInt64 = 0
    private var acknowledged: UInt64 = 0
    private var now: UInt64 = 0
    private var measuredFrom = UInt64.max
    private var measuredUntil = UInt64.max
    private var isPublishing = false
    private var moved: Set<Int> = []

    private struct OwnedStream {
        let stream: Int
        var sent: UInt64 = 0
        /// When the next one is due, at a fixed pace.
        var due: UInt64 = 0
        var isDirty = false
    }

    /// How often each message under way arrived at this thread's subscribers of one stream.
    private struct LocalProgress {
        var counts: [UInt32] = []
        var completed: UInt64 = 0
        var subscribers: UInt32 = 0
    }

    /// Messages that may leave in one write.
    private static let largestBurst = 512

    init(index: Int, run: LoadRun, counters: LoadCounters, signals: [Int32]) throws {
        self.index = index
        self.counters = counters
        self.run = run
        self.plan = run.plan
        self.streams = run.streams
        self.signal = signals[index]
        self.wakes = signals
        self.poller = linkspan_poller()
        self.timer = linkspan_timer()
        guard self.poller >= 0, self.timer >= 0 else { throw BenchError("no descriptors left (errno \(errno))") }
        let longest = run.streams.map(\.longestPublish).max() ?? 0
        self.outgoing = .allocate(byteCount: longest * Self.largestBurst, alignment: 16)
        self.filling = .allocate(byteCount: run.plan.payloadSize, alignment: 16)
        self.filling.copyBytes(from: Stamp(stream: 0, sequence: 0, due: 0).payload(size: run.plan.payloadSize))
        self.places = [Int](repeating: -1, count: run.streams.count)
        self.local = run.streams.map { stream in
            let subscribers = stream.subscribers[index]
            guard subscribers > 0, case .window(let window) = run.plan.pace else { return LocalProgress() }
            return LocalProgress(counts: [UInt32](repeating: 0, count: window), subscribers: UInt32(subscribers))
        }
        for (number, stream) in run.streams.enumerated() {
            for _ in 0..<stream.subscribers[index] {
                self.add(LoadConnection(descriptor: -1, stream: number, role: .subscriber))
            }
            if stream.owner == index {
                self.places[number] = self.owned.count
                self.owned.append(OwnedStream(stream: number))
                self.publishers[number] = self.add(LoadConnection(descriptor: -1, stream: number, role: .publisher))
            }
        }
    }

    deinit {
        for connection in self.connections {
            close(connection.pointee.descriptor)
            connection.pointee.unread.free()
            connection.pointee.unsent.free()
            connection.deallocate()
        }
        close(self.poller)
        close(self.timer)
        self.buffer.deallocate()
        self.outgoing.deallocate()
        self.filling.deallocate()
    }

    @discardableResult
    private func add(_ connection: LoadConnection) -> UnsafeMutablePointer<LoadConnection> {
        let place = UnsafeMutablePointer<LoadConnection>.allocate(capacity: 1)
        place.initialize(to: connection)
        self.connections.append(place)
        return place
    }

    /// Works until the run has ended.
    func work() {
        do {
            linkspan_watch(self.poller, self.signal, 1, 0, nil)
            linkspan_watch(self.poller, self.timer, 1, 0, nil)
            try self.loop()
        } catch let error as BenchError {
            self.run.fail(error)
        } catch {
            self.run.fail(BenchError("\(error)"))
        }
        self.endChecks()
    }

    private func loop() throws {
        var events = [linkspan_event](repeating: linkspan_event(), count: 512)
        while true {
            let phase = self.run.phase.load(ordering: .acquiring)
            if phase == .ended { return }
            self.noticed(phase)
            if self.nextToConnect < self.connections.count { try self.connectMore() }
            let count = linkspan_await(self.poller, &events, Int32(events.count), 100)
            self.now = MonotonicClock.nanoseconds()
            self.measuredFrom = self.run.measuredFrom.load(ordering: .relaxed)
            self.measuredUntil = self.run.measuredUntil.load(ordering: .relaxed)
            for index in 0..<max(0, Int(count)) {
                guard let pointer = events[index].pointer else {
                    self.clearSignals()
                    continue
                }
                let connection = pointer.assumingMemoryBound(to: LoadConnection.self)
                if events[index].is_writable != 0 { try self.writable(connection) }
                if events[index].is_readable != 0 { try self.readable(connection) }
            }
            try self.pump()
            self.turnEnded()
        }
    }

    private func noticed(_ phase: LoadRun.Phase) {
        if phase == .running, !self.isPublishing {
            self.isPublishing = true
            let start = MonotonicClock.nanoseconds()
            for index in self.owned.indices {
                // Streams of a fixed pace start one after the other, not all at once.
                self.owned[index].due = start + self.interval * UInt64(index) / UInt64(max(1, self.owned.count))
                self.markDirty(index)
            }
            self.dueFirst()
        } else if phase == .draining, !self.counters.hasStopped.load(ordering: .relaxed) {
            self.isPublishing = false
            for owned in self.owned { self.streams[owned.stream].sent.store(owned.sent, ordering: .releasing) }
            self.counters.published.store(self.published, ordering: .relaxed)
            self.counters.hasStopped.store(true, ordering: .releasing)
        }
    }

    private func turnEnded() {
        self.counters.published.store(self.published, ordering: .relaxed)
        self.counters.delivered.store(self.delivered, ordering: .relaxed)
        self.counters.acknowledged.store(self.acknowledged, ordering: .relaxed)
        guard !self.moved.isEmpty else { return }
        for owner in self.moved { LoadSignal.raise(self.wakes[owner]) }
        self.moved.removeAll(keepingCapacity: true)
    }

    private func clearSignals() {
        var value: UInt64 = 0
        _ = read(self.signal, &value, 8)
        _ = read(self.timer, &value, 8)
        for index in self.owned.indices where self.streams[self.owned[index].stream].subscribers.count > 1 {
            self.markDirty(index)
        }
    }

    // MARK: Connecting

    private func connectMore() throws {
        while self.connecting < self.plan.concurrentConnects, self.nextToConnect < self.connections.count {
            let connection = self.connections[self.nextToConnect]
            self.nextToConnect += 1
            self.connecting += 1
            let port = connection.pointee.role == .publisher ? self.plan.publishPort : self.plan.subscribePort
            connection.pointee.descriptor = try Loopback.connect(port: port)
            linkspan_watch(self.poller, connection.pointee.descriptor, 1, 0, connection)
            try self.nextStep(connection)
        }
    }

    private func nextStep(_ connection: UnsafeMutablePointer<LoadConnection>) throws {
        let stream = self.streams[connection.pointee.stream]
        let steps = self.plan.dialect.introduction(channel: stream.channel, role: connection.pointee.role)
        guard connection.pointee.stepsDone < steps.count else {
            connection.pointee.isReady = true
            self.connecting -= 1
            self.counters.ready.add(1, ordering: .relaxed)
            return
        }
        try steps[connection.pointee.stepsDone].send.withUnsafeBytes { try self.send($0, to: connection) }
    }

    // MARK: Reading

    private func readable(_ connection: UnsafeMutablePointer<LoadConnection>) throws {
        let kept = connection.pointee.unread.count
        if kept > 0 { self.buffer.baseAddress!.copyMemory(from: connection.pointee.unread.start!, byteCount: kept) }
        let got = recv(connection.pointee.descriptor, self.buffer.baseAddress! + kept, self.buffer.count - kept, 0)
        guard got > 0 else {
            if got < 0, errno == EAGAIN || errno == EINTR { return }
            throw BenchError(got == 0 ? "the server closed a connection" : "a connection broke (errno \(errno))")
        }
        let count = kept + got
        var used = 0
        while used < count {
            let rest = UnsafeRawBufferPointer(rebasing: self.buffer[used..<count])
            if connection.pointee.isReady {
                guard let message = try IncomingMessage.first(of: rest, in: self.plan.dialect) else { break }
                used += message.length
                try self.received(message, connection)
            } else {
                let step = try self.introduced(rest, connection)
                guard step > 0 else { break }
                used += step
            }
        }
        if used == count {
            if kept > 0 { connection.pointee.unread.free() }
            return
        }
        connection.pointee.unread.free()
        connection.pointee.unread.append(UnsafeRawBufferPointer(rebasing: self.buffer[used..<count]))
    }

    /// Takes one message of the introduction; returns its bytes, or 0 when it is not all there.
    private func introduced(
        _ bytes: UnsafeRawBufferPointer, _ connection: UnsafeMutablePointer<LoadConnection>
    ) throws -> Int {
        let channel = self.streams[connection.pointee.stream].channel
        let steps = self.plan.dialect.introduction(channel: channel, role: connection.pointee.role)
        let step = steps[connection.pointee.stepsDone]
        switch step.answer {
        case .httpHead:
            guard let end = linkspan_find(bytes.baseAddress!, bytes.count, "\r\n\r\n", 4) else { return 0 }
            guard contains(bytes, " 101 ") else { throw BenchError("the server refused a WebSocket") }
            connection.pointee.stepsDone += 1
            try self.nextStep(connection)
            return end + 4 - bytes.baseAddress!
        case .control(let text):
            guard let message = try IncomingMessage.first(of: bytes, in: self.plan.dialect) else { return 0 }
            if message.kind == .ping {
                try self.answerPing(message, connection)
            } else if message.kind == .control, contains(message.body, text) {
                connection.pointee.stepsDone += 1
                try self.nextStep(connection)
            }
            return message.length
        }
    }

    @inline(__always)
    private func received(_ message: IncomingMessage, _ connection: UnsafeMutablePointer<LoadConnection>) throws {
        switch message.kind {
        case .delivery where connection.pointee.role == .subscriber:
            self.deliveryReceived(message.body, connection)
        case .ping: try self.answerPing(message, connection)
        case .delivery: break
        case .control: self.controlReceived(message.body, connection)
        }
    }

    @inline(__always)
    private func deliveryReceived(_ body: UnsafeRawBufferPointer, _ connection: UnsafeMutablePointer<LoadConnection>) {
        self.delivered += 1
        let number = connection.pointee.stream
        guard
            let stamp = Stamp(
                payload: body, size: self.plan.payloadSize, filling: UnsafeRawBufferPointer(self.filling)),
            stamp.stream == UInt32(truncatingIfNeeded: number)
        else {
            connection.pointee.check.receivedDamaged()
            return
        }
        connection.pointee.check.received(stamp.sequence)
        if stamp.due >= self.measuredFrom, stamp.due < self.measuredUntil {
            self.latency.record(self.now > stamp.due ? self.now - stamp.due : 0)
        }
        if self.local[number].subscribers > 0 { self.count(stamp.sequence, number) }
    }

    /// A message is done here when each of our subscribers has it; since each gets them in order, they are done in order.
    @inline(__always)
    private func count(_ sequence: UInt64, _ number: Int) {
        let window = UInt64(self.local[number].counts.count)
        self.local[number].counts[Int(sequence % window)] += 1
        while true {
            let slot = Int(self.local[number].completed % window)
            guard self.local[number].counts[slot] >= self.local[number].subscribers else { return }
            self.local[number].counts[slot] = 0
            self.local[number].completed += 1
            let stream = self.streams[number]
            stream.advanced(self.index, to: self.local[number].completed)
            if stream.owner == self.index {
                self.markDirty(self.places[number])
            } else {
                self.moved.insert(stream.owner)
            }
        }
    }

    private func controlReceived(_ body: UnsafeRawBufferPointer, _ connection: UnsafeMutablePointer<LoadConnection>) {
        guard case .acknowledgement(let every) = self.plan.completion, connection.pointee.role == .publisher,
            let call = Self.callID(body)
        else { return }
        let done = call - PublishTemplate.firstCall + 1
        let expected = connection.pointee.acknowledged + UInt64(every)
        if done > expected { self.faults.lost += done - expected }
        if done < expected { self.faults.repeated += 1 }
        guard done >= expected else { return }
        self.acknowledged += done - connection.pointee.acknowledged
        connection.pointee.acknowledged = done
        self.markDirty(self.places[connection.pointee.stream])
    }

    /// The number in `{"rid":1000000000}`.
    private static func callID(_ body: UnsafeRawBufferPointer) -> UInt64? {
        let start: StaticString = #"{"rid":"#
        guard body.count > start.utf8CodeUnitCount,
            memoryEqual(body.baseAddress!, start.utf8Start, start.utf8CodeUnitCount)
        else { return nil }
        var value: UInt64 = 0
        for byte in body.dropFirst(start.utf8CodeUnitCount) {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { break }
            value = value &* 10 &+ UInt64(byte - UInt8(ascii: "0"))
        }
        return value >= PublishTemplate.firstCall ? value : nil
    }

    private func answerPing(_ message: IncomingMessage, _ connection: UnsafeMutablePointer<LoadConnection>) throws {
        let answer: [UInt8] =
            switch self.plan.dialect {
            case .socketCluster: [0x81, 0x80, 0, 0, 0, 0]
            case .plainWebSocket: [0x8A, 0x80 | UInt8(message.body.count), 0, 0, 0, 0] + Array(message.body)
            case .nats: Array("PONG\r\n".utf8)
            case .mqtt, .redis: []
            }
        try answer.withUnsafeBytes { try self.send($0, to: connection) }
    }

    // MARK: Publishing

    private var interval: UInt64 {
        guard case .perSecond(let rate) = self.plan.pace else { return 0 }
        return UInt64(1e9 / rate * Double(self.plan.channels))
    }

    private func markDirty(_ place: Int) {
        guard !self.owned[place].isDirty else { return }
        self.owned[place].isDirty = true
        self.dirty.append(place)
    }

    private func pump() throws {
        guard self.isPublishing else { return }
        if case .perSecond = self.plan.pace {
            for place in self.owned.indices { try self.publishDue(place) }
            self.dirty.removeAll(keepingCapacity: true)
            self.dueFirst()
            return
        }
        guard case .window(let window) = self.plan.pace else { return }
        var next = 0
        while next < self.dirty.count {
            let place = self.dirty[next]
            next += 1
            self.owned[place].isDirty = false
            try self.publishWindow(place, window)
        }
        self.dirty.removeAll(keepingCapacity: true)
    }

    private func publishWindow(_ place: Int, _ window: Int) throws {
        let number = self.owned[place].stream
        guard let publisher = self.publishers[number] else { return }
        let isDelivered = self.plan.completion == .delivery
        let completed = isDelivered ? self.streams[number].completed : publisher.pointee.acknowledged
        let open = completed + UInt64(window)
        while self.owned[place].sent < open {
            let count = min(Int(open - self.owned[place].sent), Self.largestBurst)
            try self.publish(count, place, publisher, due: self.now, interval: 0)
        }
    }

    private func publishDue(_ place: Int) throws {
        guard let publisher = self.publishers[self.owned[place].stream] else { return }
        let interval = self.interval
        while self.owned[place].due <= self.now {
            let due = self.owned[place].due
            let count = min(Int((self.now - due) / interval) + 1, Self.largestBurst)
            try self.publish(count, place, publisher, due: due, interval: interval)
            self.owned[place].due = due + interval * UInt64(count)
        }
    }

    private func publish(
        _ count: Int, _ place: Int, _ publisher: UnsafeMutablePointer<LoadConnection>, due: UInt64, interval: UInt64
    ) throws {
        let stream = self.streams[self.owned[place].stream]
        var length = 0
        for index in 0..<count {
            length += stream.writePublish(
                sequence: self.owned[place].sent, due: due + interval * UInt64(index),
                to: self.outgoing.baseAddress! + length)
            self.owned[place].sent += 1
        }
        self.published += UInt64(count)
        try self.send(UnsafeRawBufferPointer(rebasing: self.outgoing[..<length]), to: publisher)
    }

    private func dueFirst() {
        guard case .perSecond = self.plan.pace, let due = self.owned.map(\.due).min() else { return }
        linkspan_timer_set(self.timer, due)
    }

    private func send(_ bytes: UnsafeRawBufferPointer, to connection: UnsafeMutablePointer<LoadConnection>) throws {
        var rest = bytes
        if connection.pointee.unsent.isEmpty {
            let sent = Glibc.send(
                connection.pointee.descriptor, bytes.baseAddress!, bytes.count, Int32(MSG_NOSIGNAL))
            if sent == bytes.count { return }
            guard sent >= 0 || errno == EAGAIN || errno == EINPROGRESS || errno == EINTR else {
                throw BenchError("a connection broke (errno \(errno))")
            }
            rest = UnsafeRawBufferPointer(rebasing: bytes[max(0, sent)...])
        }
        connection.pointee.unsent.append(rest)
        guard !connection.pointee.waitsToWrite else { return }
        connection.pointee.waitsToWrite = true
        linkspan_watch(self.poller, connection.pointee.descriptor, 0, 1, connection)
    }

    private func writable(_ connection: UnsafeMutablePointer<LoadConnection>) throws {
        if let start = connection.pointee.unsent.start {
            let sent = Glibc.send(
                connection.pointee.descriptor, start, connection.pointee.unsent.count, Int32(MSG_NOSIGNAL))
            guard sent >= 0 || errno == EAGAIN || errno == EINTR else {
                throw BenchError("a connection broke (errno \(errno))")
            }
            if sent > 0 { connection.pointee.unsent.removeFirst(sent) }
        }
        guard connection.pointee.unsent.isEmpty else { return }
        connection.pointee.waitsToWrite = false
        linkspan_watch(self.poller, connection.pointee.descriptor, 0, 0, connection)
    }

    private func endChecks() {
        for connection in self.connections where connection.pointee.role == .subscriber {
            connection.pointee.check.ended(
                sent: self.streams[connection.pointee.stream].sent.load(ordering: .acquiring))
            self.faults += connection.pointee.check.faults
        }
    }
}

/// An eventfd by which threads wake each other.
enum LoadSignal {
    static func make() throws -> Int32 {
        let descriptor = linkspan_signal()
        guard descriptor >= 0 else { throw BenchError("no descriptors left (errno \(errno))") }
        return descriptor
    }

    static func raise(_ descriptor: Int32) {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }
}
