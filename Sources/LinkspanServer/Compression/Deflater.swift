internal import CLinkspanZlib
internal import LinkspanCore

/// Compresses messages one by one (RFC 7692 7.2.1), each without the context of the one before.
///
/// Sole owner of one `z_stream`, about 32 KiB; lives on one loop.
final class Deflater {
    let settings: CompressionSettings
    /// On the heap because zlib remembers where it was.
    private let stream: UnsafeMutablePointer<z_stream>

    /// zlib's own pairing for small windows: what is larger only takes longer to reset.
    private static let memoryLevel: CInt = 5
    /// What Z_SYNC_FLUSH ends with and the other side appends again.
    private static let tailByteCount = 4
    /// Beyond `deflateBound`, which does not know of the flush: a block's header, its alignment and the tail.
    private static let flushByteLimit = 16

    /// Nil when there is no memory.
    init?(_ settings: CompressionSettings) {
        self.settings = settings
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
        let result = deflateInit2_(
            self.stream, CInt(settings.level), Z_DEFLATED, -CInt(CompressionAgreement.windowBits), Self.memoryLevel,
            Z_DEFAULT_STRATEGY, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
        guard result == Z_OK else {
            self.stream.deallocate()
            return nil
        }
    }

    deinit {
        deflateEnd(self.stream)
        self.stream.deallocate()
    }

    /// Appends the compressed form of `payload`; false, with nothing appended, when there is none.
    func deflate(_ payload: UnsafeRawBufferPointer, into block: FrameBlock) -> Bool {
        guard let input = payload.baseAddress, let count = UInt32(exactly: payload.count),
            deflateReset(self.stream) == Z_OK
        else { return false }
        let bound = Int(deflateBound(self.stream, UInt(payload.count))) + Self.flushByteLimit
        guard let room = UInt32(exactly: bound) else { return false }
        block.makeRoom(bound)
        self.stream.pointee.next_in = UnsafeMutablePointer(mutating: input.assumingMemoryBound(to: UInt8.self))
        self.stream.pointee.avail_in = count
        self.stream.pointee.next_out = (block.base + block.count).assumingMemoryBound(to: UInt8.self)
        self.stream.pointee.avail_out = room
        let result = CLinkspanZlib.deflate(self.stream, Z_SYNC_FLUSH)
        // No room left would mean that the flush is not complete.
        guard result == Z_OK, self.stream.pointee.avail_in == 0, self.stream.pointee.avail_out > 0 else { return false }
        block.advance(by: bound - Int(self.stream.pointee.avail_out) - Self.tailByteCount)
        return true
    }
}

@available(*, unavailable)
extension Deflater: Sendable {}
