internal import CLinkspanZlib
internal import LinkspanWire

/// Why a compressed message could not be read.
enum InflateError: Error, Hashable {
    case malformed
    /// Larger than a message may be once it is inflated. Nothing beyond that was.
    case tooBig
    case outOfMemory

    var closeCode: CloseCode {
        switch self {
        case .malformed: .invalidPayload
        case .tooBig: .messageTooBig
        case .outOfMemory: .unexpectedCondition
        }
    }
}

/// Inflates compressed messages one by one (RFC 7692 7.2.2): clients were told to keep no context either.
///
/// Sole owner of one `z_stream`, about 40 KiB with the largest window; one serves all connections of a loop.
final class Inflater {
    /// On the heap because zlib remembers where it was.
    private let stream: UnsafeMutablePointer<z_stream>
    private var spare: FrameBlock?

    /// The end of each message, which senders leave out: 00 00 FF FF.
    private static let tail = UInt32(bigEndian: 0x0000_FFFF)
    private static let firstByteCount = 4096
    /// A block that one large message made large is not kept.
    private static let spareByteLimit = 256 << 10
    /// `data_type` when the last bits read were the end of a block.
    private static let isBetweenBlocks: CInt = 128

    init() throws(InflateError) {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
        let result = inflateInit2_(
            self.stream, -15, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
        guard result == Z_OK else {
            self.stream.deallocate()
            throw .outOfMemory
        }
    }

    deinit {
        inflateEnd(self.stream)
        self.stream.deallocate()
    }

    /// The message that `payload` is the compressed form of; to be given back by ``reclaim(_:)`` when it is handled.
    /// - Parameter limit: bytes of it that are admitted.
    func inflate(_ payload: UnsafeRawBufferPointer, limit: Int) throws(InflateError) -> FrameBlock {
        guard inflateReset(self.stream) == Z_OK else { throw .malformed }
        let output = self.spare ?? FrameBlock(capacity: Self.firstByteCount)
        self.spare = nil
        var isComplete = try self.take(payload, limit: limit, into: output)
        if !isComplete {
            isComplete = try withUnsafeBytes(of: Self.tail) { tail throws(InflateError) in
                try self.take(tail, limit: limit, into: output)
            }
            isComplete = isComplete || self.stream.pointee.data_type & Self.isBetweenBlocks != 0
        }
        guard isComplete else { throw .malformed }
        return output
    }

    func reclaim(_ block: FrameBlock) {
        guard block.capacity <= Self.spareByteLimit else { return }
        block.clear()
        self.spare = block
    }

    /// True when `input` ended with a final block, after which nothing has to come.
    private func take(
        _ input: UnsafeRawBufferPointer, limit: Int, into output: FrameBlock
    ) throws(InflateError) -> Bool {
        guard let base = input.baseAddress, let count = UInt32(exactly: input.count) else { return false }
        self.stream.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
        self.stream.pointee.avail_in = count
        while true {
            // One byte more than is admitted shows that there is more.
            let room = min(max(output.capacity - output.count, Self.firstByteCount), limit + 1 - output.count)
            output.makeRoom(room)
            self.stream.pointee.next_out = (output.base + output.count).assumingMemoryBound(to: UInt8.self)
            self.stream.pointee.avail_out = UInt32(clamping: room)
            let result = CLinkspanZlib.inflate(self.stream, Z_SYNC_FLUSH)
            output.advance(by: Int(UInt32(clamping: room) - self.stream.pointee.avail_out))
            guard output.count <= limit else { throw .tooBig }
            switch result {
            case Z_OK:
                if self.stream.pointee.avail_in == 0, self.stream.pointee.avail_out > 0 { return false }
            case Z_BUF_ERROR:
                // Nothing to do with what is there: all input is taken and all output written.
                return false
            case Z_STREAM_END:
                // A final block; more blocks may follow all the same (RFC 7692 7.2.3.4).
                if self.stream.pointee.avail_in == 0 { return true }
                guard inflateReset(self.stream) == Z_OK else { throw .malformed }
            default:
                throw .malformed
            }
        }
    }
}

@available(*, unavailable)
extension Inflater: Sendable {}
