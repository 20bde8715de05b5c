internal import Glibc
internal import LinkspanWire

/// Contiguous bytes that one loop writes and then only reads, with an address that holds while nobody appends.
///
/// `ByteBuffer` would cost a uniqueness check per append and a closure per read; here one block is filled by the owner of a channel and
/// handed to `send` once per subscriber. Blocks are pooled by their loop (``FrameBlockPool``), so the hot path does not allocate.
///
/// Sendable without a lock: it belongs to one loop at a time. The loop that filled it gives it away whole and keeps no reference.
final class FrameBlock: @unchecked Sendable {
    @exclusivity(unchecked) private(set) var base: UnsafeMutableRawPointer
    @exclusivity(unchecked) private(set) var capacity: Int
    @exclusivity(unchecked) private(set) var count = 0

    /// - Parameter capacity: to begin with. Most channels have little for one turn, and what is written to a thousand of them should lie close
    ///   together; a block that had to grow stays large while it is pooled.
    init(capacity: Int = 1024) {
        self.base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        self.capacity = capacity
    }

    deinit {
        self.base.deallocate()
    }

    func clear() {
        self.count = 0
    }

    /// Forgets what was appended after the first `count` bytes.
    func truncate(to count: Int) {
        self.count = count
    }

    /// Counts bytes that somebody else wrote behind the last one.
    /// - Precondition: ``makeRoom(_:)`` was asked for them.
    func advance(by byteCount: Int) {
        self.count += byteCount
    }

    @inline(__always)
    func makeRoom(_ extra: Int) {
        if self.count + extra > self.capacity { self.grow(to: self.count + extra) }
    }

    /// Appends one server frame whose payload `encode` writes, and returns where it lies.
    func putFrame(
        _ opcode: WebSocketOpcode = .text, isCompressed: Bool = false, _ encode: (inout FrameBlock) -> Void
    ) -> Range<Int> {
        let start = self.count
        self.makeRoom(64)
        self.count += 2
        var sink = self
        encode(&sink)
        let length = self.count - start - 2
        let header = WebSocketFrameHeader(opcode: opcode, payloadLength: length, isCompressed: isCompressed)
        let headerLength = WebSocketFrameHeader.length(payloadLength: length, isMasked: false)
        if headerLength > 2 {
            self.makeRoom(headerLength - 2)
            memmove(self.base + start + headerLength, self.base + start + 2, length)
        }
        self.count = start
        header.encode(into: &sink)
        self.count = start + headerLength + length
        return start..<self.count
    }

    private func grow(to needed: Int) {
        let capacity = max(needed, self.capacity * 2)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: self.base, byteCount: self.count)
        self.base.deallocate()
        self.base = larger
        self.capacity = capacity
    }
}

extension FrameBlock: ByteSink {
    func put(_ byte: UInt8) {
        self.makeRoom(1)
        self.base.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }

    func put(contentsOf bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        self.makeRoom(bytes.count)
        (self.base + self.count).copyMemory(from: source, byteCount: bytes.count)
        self.count += bytes.count
    }

    func reserve(_ count: Int) {
        self.makeRoom(count)
    }
}

/// Blocks that one loop has done with, for the next turn.
struct FrameBlockPool {
    private var blocks: ContiguousArray<FrameBlock> = []
    private var bytes = 0

    /// Memory that an idle loop keeps.
    private static let byteLimit = 4 << 20
    /// A block that one large message made large is not kept.
    private static let blockByteLimit = 256 << 10

    mutating func take() -> FrameBlock {
        guard let block = self.blocks.popLast() else { return FrameBlock() }
        self.bytes -= block.capacity
        return block
    }

    mutating func give(_ block: FrameBlock) {
        guard block.capacity <= Self.blockByteLimit, self.bytes + block.capacity <= Self.byteLimit else { return }
        block.clear()
        self.bytes += block.capacity
        self.blocks.append(block)
    }
}

@available(*, unavailable)
extension FrameBlockPool: Sendable {}
