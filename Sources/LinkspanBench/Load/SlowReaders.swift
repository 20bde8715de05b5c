internal import CLinkspanFloor
internal import Glibc
internal import LinkspanBridgeKit
internal import Synchronization

/// Subscribers of the first channel that take so many bytes a second and no more, whatever is published.
///
/// A server may hang up on them; what each got until then is judged: without a gap, in order, undamaged.
final class SlowReaders: Sendable {
    /// What the readers saw, and what the server took meanwhile.
    struct Outcome: Sendable {
        var faults: Faults
        /// By how much its resident memory grew at most, bytes.
        var growth: UInt64
    }

    private let plan: LoadPlan
    private let count: Int
    private let bytesPerSecond: Int
    private let isConnected = Atomic<Bool>(false)
    private let isEnding = Atomic<Bool>(false)

    private static let pauseMilliseconds: Int32 = 10
    private static let patience = Duration.seconds(30)

    /// - Parameter bytesPerSecond: of each of them.
    init(_ count: Int, of plan: LoadPlan, bytesPerSecond: Int) {
        self.plan = plan
        self.count = count
        self.bytesPerSecond = bytesPerSecond
    }

    /// Connects and subscribes them, and has them read while `body` runs.
    /// - Parameter server: whose memory is looked at.
    func read<Result: Sendable>(
        _ server: ProcessMeter, while body: () async throws -> Result
    ) async throws -> (Result, Outcome) {
        async let outcome = LinkThread.run(name: "slow-readers") { [self] _ in try self.work(server) }
        do {
            try await self.connected()
            let result = try await body()
            self.isEnding.store(true, ordering: .relaxed)
            return (result, try await outcome)
        } catch {
            self.isEnding.store(true, ordering: .relaxed)
            // What went wrong with the readers themselves says more.
            _ = try await outcome
            throw error
        }
    }

    private func connected() async throws {
        let deadline = MonotonicClock.nanoseconds() + Self.patience.nanoseconds
        while !self.isConnected.load(ordering: .acquiring) {
            guard MonotonicClock.nanoseconds() < deadline else { throw BenchError("slow readers were not subscribed") }
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    private func work(_ server: ProcessMeter) throws -> Outcome {
        if let core = self.plan.cores.last { Cores.pin(to: [core]) }
        let readers = try (0..<self.count).map { _ in try SlowReader(self.plan) }
        let share = self.bytesPerSecond * Int(Self.pauseMilliseconds) / 1000
        let before = server.residentBytes
        self.isConnected.store(true, ordering: .releasing)
        var largest = before
        var isLast = false
        while !isLast {
            poll(nil, 0, Self.pauseMilliseconds)
            isLast = self.isEnding.load(ordering: .relaxed)
            for reader in readers { try reader.read(share) }
            largest = max(largest, server.residentBytes)
        }
        return Outcome(faults: readers.reduce(into: Faults()) { $0 += $1.faults }, growth: largest - before)
    }
}

/// One of them, on the thread of all.
private final class SlowReader {
    private let descriptor: Int32
    private let plan: LoadPlan
    private let filling: [UInt8]
    private var check = DeliveryCheck()
    private var unread: [UInt8] = []
    private var hasEnded = false

    /// Small, so that what is not read waits at the server soon.
    private static let receiveBytes: Int32 = 16 << 10

    init(_ plan: LoadPlan) throws {
        self.plan = plan
        self.filling = Stamp(stream: 0, sequence: 0, due: 0).payload(size: plan.payloadSize)
        self.descriptor = try Loopback.connect(port: plan.subscribePort, receiveBytes: Self.receiveBytes)
        for step in plan.dialect.introduction(channel: 0, role: .subscriber) { try self.introduce(step) }
    }

    deinit {
        close(self.descriptor)
    }

    var faults: Faults { self.check.faults }

    /// Takes up to `count` bytes.
    func read(_ count: Int) throws {
        guard !self.hasEnded else { return }
        var taken = [UInt8](repeating: 0, count: count)
        let got = recv(self.descriptor, &taken, count, 0)
        if got < 0, errno == EAGAIN || errno == EINTR { return }
        guard got > 0 else { return self.hasEnded = true }
        self.unread += taken[..<got]
        let used = try self.unread.withUnsafeBytes { bytes in
            var used = 0
            while !self.hasEnded {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[used...])
                guard let message = try self.first(of: rest) else { break }
                used += message.length
                if message.kind == .delivery { self.judge(message.body) }
            }
            return used
        }
        self.unread.removeFirst(used)
    }

    /// The server may say why it hangs up, and that ends what is judged.
    private func first(of bytes: UnsafeRawBufferPointer) throws -> IncomingMessage? {
        let closing: UInt8 = 0x88
        if self.plan.dialect == .socketCluster, bytes.first == closing {
            self.hasEnded = true
            return nil
        }
        return try IncomingMessage.first(of: bytes, in: self.plan.dialect)
    }

    private func judge(_ body: UnsafeRawBufferPointer) {
        let stamp = self.filling.withUnsafeBytes { Stamp(payload: body, size: self.plan.payloadSize, filling: $0) }
        guard let stamp, stamp.stream == 0 else { return self.check.receivedDamaged() }
        self.check.received(stamp.sequence)
    }

    // MARK: Introduction

    private func introduce(_ step: Dialect.Step) throws {
        let sent = step.send.withUnsafeBytes { send(self.descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
        guard sent == step.send.count else {
            throw BenchError("a slow reader could not be introduced (errno \(errno))")
        }
        var answer: [UInt8] = []
        while !self.isAnswered(step, answer) {
            var ready = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
            var bytes = [UInt8](repeating: 0, count: 1024)
            guard poll(&ready, 1, 30_000) == 1, case let got = recv(self.descriptor, &bytes, bytes.count, 0), got > 0
            else { throw BenchError("the server did not answer a slow reader") }
            answer += bytes[..<got]
        }
    }

    /// Nobody publishes yet, so all that comes is the answer, and perhaps a ping.
    private func isAnswered(_ step: Dialect.Step, _ answer: [UInt8]) -> Bool {
        answer.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return false }
            switch step.answer {
            case .httpHead: return linkspan_find(start, bytes.count, "\r\n\r\n", 4) != nil
            case .control(let text):
                return text.utf8CodeUnitCount == 0
                    || linkspan_find(start, bytes.count, text.utf8Start, text.utf8CodeUnitCount) != nil
            }
        }
    }
}
