import Glibc
import TestSupport
import Testing

@testable import LinkspanServer

/// Two ends of a connection.
private final class SocketPair {
    let near: CInt
    private(set) var far: CInt

    init(sendBuffer: CInt? = nil) throws {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        (self.near, self.far) = (ends[0], ends[1])
        if var sendBuffer {
            setsockopt(self.near, SOL_SOCKET, SO_SNDBUF, &sendBuffer, socklen_t(MemoryLayout<CInt>.size))
        }
    }

    deinit {
        close(self.near)
        self.hangUp()
    }

    func hangUp() {
        if self.far >= 0 { close(self.far) }
        self.far = -1
    }

    /// All that has arrived.
    func received() -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(self.far, &buffer, buffer.count)
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }

    /// Writes until the socket takes no more.
    func fill() -> Int {
        let bytes = [UInt8](repeating: 0, count: 4096)
        var sum = 0
        while true {
            let count = write(self.near, bytes, bytes.count)
            guard count > 0 else { return sum }
            sum += count
        }
    }
}

/// Whether the kernel has rings for this process; containers often forbid them.
let hasRings: Bool = {
    do throws(SocketRing.Refusal) {
        _ = try SocketRing()
        return true
    } catch {
        print("SKIPPED: no io_uring here (\(error)); what needs it is not tested")
        return false
    }
}()

@Suite(.enabled(if: hasRings)) struct SocketRingTests {
    /// Bytes that stay where they are, each another than the one before.
    private let block: FrameBlock = {
        let block = FrameBlock()
        for number in 0..<1 << 20 { block.put(UInt8(truncatingIfNeeded: number * 7 >> 3)) }
        return block
    }()

    private func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.block.base + range.lowerBound, count: range.count)
    }

    private func stretches(_ ranges: [Range<Int>]) -> ContiguousArray<iovec> {
        ContiguousArray(
            ranges.map { iovec(iov_base: self.block.base + $0.lowerBound, iov_len: $0.count) })
    }

    @Test func `all that is added is written by one call, in order, again and again`() throws {
        let ring = try SocketRing(capacity: 8)
        let pairs = try (0..<4).map { _ in try SocketPair() }
        for round in 0..<10 {
            let ranges = (0..<8).map { (round * 100 + $0 * 10)..<(round * 100 + $0 * 11 + 1) }
            for (index, range) in ranges.enumerated() {
                #expect(!ring.isFull)
                ring.add(self.bytes(range), to: pairs[index % 4].near)
            }
            #expect(ring.isFull)
            try ring.submit()
            #expect((0..<8).map(ring.written) == ranges.map(\.count))
            for (index, pair) in pairs.enumerated() {
                let expected = Array(self.bytes(ranges[index])) + Array(self.bytes(ranges[index + 4]))
                #expect(pair.received() == expected, "round \(round), socket \(index)")
            }
            ring.clear()
        }
    }

    @Test func `a socket that is full takes nothing, or a part, and the others take all`() throws {
        let ring = try SocketRing()
        let pairs = try (0..<3).map { _ in try SocketPair(sendBuffer: 16_384) }
        let filled = pairs[0].fill()
        let whole = self.bytes(0..<1 << 20)
        ring.add(self.bytes(0..<100), to: pairs[0].near)
        ring.add(whole, to: pairs[1].near)
        ring.add(self.bytes(100..<200), to: pairs[2].near)
        try ring.submit()
        let part = ring.written(1)
        #expect(ring.written(0) == 0)
        #expect(part > 0 && part < whole.count)
        #expect(ring.written(2) == 100)
        #expect(pairs[0].received().count == filled)
        #expect(pairs[1].received() == Array(whole[..<part]))
        #expect(pairs[2].received() == Array(self.bytes(100..<200)))
    }

    @Test func `a broken socket is told from a full one, and harms no other`() throws {
        let ring = try SocketRing()
        let pairs = try (0..<2).map { _ in try SocketPair() }
        pairs[0].hangUp()
        ring.add(self.bytes(0..<10), to: pairs[0].near)
        ring.add(self.bytes(0..<10), to: pairs[1].near)
        try ring.submit()
        #expect(ring.written(0) < 0)
        #expect(ring.written(1) == 10)
        #expect(pairs[1].received() == Array(self.bytes(0..<10)))
    }

    @Test func `where there is no descriptor nothing is written, and the kernel is not asked`() throws {
        let ring = try SocketRing()
        let pair = try SocketPair()
        ring.add(self.bytes(0..<10), to: -1)
        #expect(ring.queuedCount == 0)
        try ring.submit()
        #expect(ring.written(0) == 0)
        ring.add(self.bytes(0..<10), to: pair.near)
        #expect(ring.count == 2)
        #expect(ring.queuedCount == 1)
        try ring.submit()
        #expect(ring.written(0) == 0)
        #expect(ring.written(1) == 10)
    }

    @Test func `stretches are one write, and those for which there is no room are not taken`() throws {
        let ring = try SocketRing(vectorCapacity: 5)
        let pairs = try (0..<3).map { _ in try SocketPair() }
        let ranges = [50..<60, 0..<10, 900..<1000]
        #expect(ring.add(self.stretches(ranges), to: pairs[0].near))
        #expect(!ring.add(self.stretches(ranges), to: pairs[1].near))
        #expect(ring.count == 1)
        #expect(ring.add(self.stretches([0..<1, 1..<2]), to: pairs[2].near))
        try ring.submit()
        #expect(ring.written(0) == 120)
        #expect(ring.written(1) == 2)
        #expect(pairs[0].received() == ranges.flatMap { Array(self.bytes($0)) })
        #expect(pairs[1].received().isEmpty)
        #expect(pairs[2].received() == Array(self.bytes(0..<2)))
        ring.clear()
        // More than any call could take: a part, as of a socket that is full.
        #expect(ring.add(self.stretches((0..<7).map { $0..<$0 + 1 }), to: pairs[1].near))
        try ring.submit()
        #expect(ring.written(0) == 5)
        #expect(pairs[1].received() == Array(self.bytes(0..<5)))
    }

    @Test func `what a ring that fails did not take counts as not written`() throws {
        let ring = try SocketRing()
        let pair = try SocketPair()
        ring.add(self.bytes(0..<10), to: pair.near)
        #expect(ring.add(self.stretches([0..<10, 20..<30]), to: pair.near))
        ring.add(self.bytes(0..<10), to: -1)
        ring.breakDown()
        let refusal = #expect(throws: SocketRing.Refusal.self) { try ring.submit() }
        #expect(refusal?.code == EOPNOTSUPP)
        #expect((0..<3).map(ring.written) == [0, 0, 0])
        #expect(pair.received().isEmpty)
    }

    @Test func `a kernel that is too old is called so`() throws {
        let refusal = #expect(throws: SocketRing.Refusal.self) { try SocketRing(flags: 1 << 31) }
        #expect(refusal?.description == "Linux 6.0 or later is needed")
    }
}

extension SocketRing {
    /// Lets the kernel take nothing more of it.
    func breakDown() {
        Self.breakDown(self.descriptor)
    }

    static func breakDown(_ descriptor: CInt) {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        dup2(null, descriptor)
        close(null)
    }
}
