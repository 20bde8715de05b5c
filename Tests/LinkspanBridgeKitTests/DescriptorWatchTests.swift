import Glibc
import LinkspanBridgeKit
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

/// By the kernel, and by the thread that polls where the kernel does not.
private let mechanisms = [true, false]

@Suite(.timeLimit(.minutes(3)))
struct DescriptorWatchTests {
    @Test func `here the kernel polls`() async throws {
        let watched = try await Watched(asksKernel: true)
        let isPolledByThread = try await watched.onLoop { $0.isPolledByThread }
        if let refusal = watched.refusals.events.first {
            print("SKIPPED: the kernel polls no descriptors here (\(refusal)); a thread does in all tests of watches")
        }
        #expect(isPolledByThread != watched.refusals.events.isEmpty)
        try await watched.close()
    }

    @Test(arguments: mechanisms)
    func `what is readable when it is asked for is told at once, and once`(asksKernel: Bool) async throws {
        let watched = try await Watched(asksKernel: asksKernel)
        watched.pair.send(3)
        #expect(try await watched.next(0, after: .readable) == .readable)
        // It is still readable; nobody asked again.
        #expect(try await watched.nextOfCallSoon(1) == [])
        #expect(try await watched.next(2, after: .readable) == .readable)
        try await watched.close()
    }

    @Test(arguments: mechanisms)
    func `what becomes readable later is told then`(asksKernel: Bool) async throws {
        let watched = try await Watched(asksKernel: asksKernel)
        try await watched.arm(.readable)
        try await watched.arm(.readable)
        #expect(try await watched.nextOfCallSoon(0) == [])
        watched.pair.send(1)
        #expect(try await watched.next(1) == .readable)
        #expect(try await watched.nextOfCallSoon(2) == [])
        try await watched.close()
    }

    @Test(arguments: mechanisms)
    func `a full socket is writable when the peer has read`(asksKernel: Bool) async throws {
        let watched = try await Watched(asksKernel: asksKernel)
        watched.pair.fill()
        try await watched.arm([.readable, .writable])
        #expect(try await watched.nextOfCallSoon(0) == [])
        watched.pair.drainPeer()
        #expect(try await watched.next(1) == .writable)
        watched.pair.send(1)
        #expect(try await watched.next(2) == .readable)
        try await watched.close()
    }

    @Test(arguments: mechanisms)
    func `a peer that hung up counts as readable and writable`(asksKernel: Bool) async throws {
        let watched = try await Watched(asksKernel: asksKernel)
        watched.pair.fill()
        try await watched.arm(.readable)
        watched.pair.closePeer()
        #expect(try await watched.next(0) == .readable)
        #expect(try await watched.next(1, after: .writable) == .writable)
        try await watched.close()
    }

    @Test(arguments: mechanisms)
    func `nothing is missed by an owner that reads, and asks when it found nothing more`(asksKernel: Bool) async throws
    {
        let watched = try await Watched(asksKernel: asksKernel) { pair, watch, _ in
            pair.receivedCount += pair.drain()
            try watch.arm(.readable)
        }
        try await watched.arm(.readable)
        let pair = watched.pair
        for count in 1...5000 {
            pair.send(1)
            // Sometimes it sleeps already, sometimes it is about to.
            if count % 7 == 0 { await Task.yield() }
        }
        try await eventually("5,000 bytes") {
            try await watched.onLoop { _ in pair.receivedCount } == 5000 ? true : nil
        }
        try await watched.close()
    }

    @Test(arguments: mechanisms)
    func `a descriptor that the library closed is closed for the peer when the watch is`(asksKernel: Bool) async throws
    {
        let watched = try await Watched(asksKernel: asksKernel)
        watched.pair.fill()
        try await watched.arm([.readable, .writable])
        watched.pair.closeNear()
        try await watched.close()
        watched.pair.drainPeer()
        try await eventually("end of file at the peer") { watched.pair.peerSeesEnd ? true : nil }
        #expect(watched.events.isEmpty)
    }

    @Test(arguments: mechanisms)
    func `an owner that calls itself again lets others have their turn`(asksKernel: Bool) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let other = try await Watched(asksKernel: asksKernel, on: loop)
        let log = other.log
        let busy = try await Watched(asksKernel: asksKernel, on: loop) { _, watch, _ in
            if log.count == 0 { watch.callSoon() }
        }
        try await other.arm(.readable)
        try await busy.onLoop { $0.callSoon() }
        _ = try await busy.log.wait(count: 10, "turn of its own")
        other.pair.send(1)
        #expect(try await other.next(0) == .readable)
        try await busy.close()
        try await other.close()
    }

    @Test(arguments: mechanisms)
    func `many watches on one loop tell of their own descriptors`(asksKernel: Bool) async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        var all: [Watched] = []
        for _ in 0..<60 { all.append(try await Watched(asksKernel: asksKernel, on: loop)) }
        for watched in all { try await watched.arm(.readable) }
        for index in all.indices where index.isMultiple(of: 3) { all[index].pair.send(1) }
        for (index, watched) in all.enumerated() {
            if index.isMultiple(of: 3) { #expect(try await watched.next(0) == .readable) }
            try await watched.close()
        }
        for (index, watched) in all.enumerated() { #expect(watched.events.count == (index.isMultiple(of: 3) ? 1 : 0)) }
    }

    @Test(arguments: mechanisms)
    func `when the loop ends the owner hears of it, and can ask no more`(asksKernel: Bool) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let errors = EventLog<String>()
        let watched = try await Watched(asksKernel: asksKernel, on: group.any()) { _, watch, ready in
            do { try watch.arm(ready) } catch { errors.append("\(error)") }
        }
        try await watched.arm(.readable)
        // The end of the loop closes what is registered; before that has happened there is nothing to close.
        try await watched.onLoop { $0.callSoon() }
        #expect(try await watched.next(0) == [])
        try await group.shutdownGracefully()
        #expect(try await watched.next(1) == [.readable, .writable])
        #expect(errors.events.count == 1)
    }

    @Test func `what is no descriptor is an error`() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        await #expect(throws: IOError.self) {
            try await loop.submit {
                let watch = try DescriptorWatch(-1, on: loop, asksKernel: true, whenRefused: { _ in }) { _ in }
                defer { watch.close() }
                try watch.arm(.readable)
            }.get()
        }
    }
}

/// A connection that is watched at one end.
private final class Watched: Sendable {
    let pair: WatchedPair
    let log = EventLog<DescriptorWatch.Readiness>()
    let refusals = EventLog<String>()
    private let loop: any EventLoop
    private let watch: NIOLoopBound<DescriptorWatch>

    /// - Parameter whenReady: called on the loop after the log has it; what it throws is logged as nothing.
    init(
        asksKernel: Bool, on loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.any(),
        whenReady: @escaping @Sendable (WatchedPair, DescriptorWatch, DescriptorWatch.Readiness) throws -> Void = {
            _, _, _ in
        }
    ) async throws {
        let pair = try WatchedPair(on: loop)
        let (log, refusals) = (self.log, self.refusals)
        self.pair = pair
        self.loop = loop
        self.watch = try await loop.submit {
            let itself = NIOLoopBoundBox<DescriptorWatch?>(nil, eventLoop: loop)
            let watch = try DescriptorWatch(
                pair.near, on: loop, asksKernel: asksKernel, whenRefused: { refusals.append("\($0)") }
            ) { ready in
                log.append(ready)
                if let watch = itself.value { try? whenReady(pair, watch, ready) }
            }
            itself.value = watch
            return NIOLoopBound(watch, eventLoop: loop)
        }.get()
    }

    var events: [DescriptorWatch.Readiness] { self.log.events }

    func onLoop<Result: Sendable>(_ body: @escaping @Sendable (DescriptorWatch) throws -> Result) async throws -> Result
    {
        let watch = self.watch
        return try await self.loop.submit { try body(watch.value) }.get()
    }

    func arm(_ wishes: DescriptorWatch.Readiness) async throws {
        try await self.onLoop { try $0.arm(wishes) }
    }

    func close() async throws {
        try await self.onLoop { $0.close() }
    }

    /// The event of this number.
    func next(_ index: Int) async throws -> DescriptorWatch.Readiness {
        try await self.log.first(from: index, "readiness").event
    }

    func next(_ index: Int, after wishes: DescriptorWatch.Readiness) async throws -> DescriptorWatch.Readiness {
        try await self.arm(wishes)
        return try await self.next(index)
    }

    func nextOfCallSoon(_ index: Int) async throws -> DescriptorWatch.Readiness {
        try await self.onLoop { $0.callSoon() }
        return try await self.next(index)
    }
}

/// Two ends of a connection, both without blocking.
private final class WatchedPair: Sendable {
    let near: Int32
    private let far: Int32
    private let closed = Mutex((near: false, far: false))
    private let received: NIOLoopBoundBox<Int>

    init(on loop: any EventLoop) throws {
        var ends: [Int32] = [-1, -1]
        try #require(
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        (self.near, self.far) = (ends[0], ends[1])
        self.received = NIOLoopBoundBox.makeBoxSendingValue(0, eventLoop: loop)
    }

    deinit {
        self.closeNear()
        self.closePeer()
    }

    /// On the loop.
    var receivedCount: Int {
        get { self.received.value }
        set { self.received.value = newValue }
    }

    func closeNear() {
        self.closed.withLock {
            if !$0.near { close(self.near) }
            $0.near = true
        }
    }

    func closePeer() {
        self.closed.withLock {
            if !$0.far { close(self.far) }
            $0.far = true
        }
    }

    /// Sends bytes from the peer, all of them.
    func send(_ count: Int) {
        let bytes = [UInt8](repeating: 1, count: count)
        var sent = 0
        while sent < count {
            let written = write(self.far, bytes, count - sent)
            if written > 0 { sent += written } else { sched_yield() }
        }
    }

    /// Reads what has arrived, and returns how many bytes that were.
    func drain() -> Int { Self.drain(self.near) }

    /// Writes until the connection takes no more.
    func fill() {
        let bytes = [UInt8](repeating: 0, count: 4096)
        while write(self.near, bytes, bytes.count) > 0 {}
    }

    func drainPeer() { _ = Self.drain(self.far) }

    var peerSeesEnd: Bool {
        var byte: UInt8 = 0
        return read(self.far, &byte, 1) == 0
    }

    private static func drain(_ descriptor: Int32) -> Int {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var sum = 0
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return sum }
            sum += count
        }
    }
}
