internal import NIOCore

/// Gives a connection a buffer for each read, at least as large as its reads were lately: the spare one of its loop, or a fresh one.
///
/// NIO keeps the first buffer of a connection for as long as that lives and uses it again and again; ten thousand idle connections then hold
/// twenty megabytes for nothing. Here the kept one is small, and those after it are spare again as soon as their bytes are
/// handled, so that the next connection finds them still in the cache. Set ``ChannelOptions/maxMessagesPerRead`` to 1
/// with it, or NIO keeps as many buffers as that.
struct ReceiveBuffers: RecvByteBufferAllocator {
    let spare: SpareBuffer
    private var size: Int32 = Self.firstSize
    private var smallReads: Int32 = 0

    /// Fits the request of most clients.
    private static let firstSize: Int32 = 512
    fileprivate static let minimum: Int32 = 4 << 10
    fileprivate static let maximum: Int32 = 64 << 10

    init(spare: SpareBuffer) {
        self.spare = spare
    }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        if self.size > Self.firstSize, let spare = self.spare.take(capacity: Int(self.size)) { return spare }
        return allocator.buffer(capacity: Int(self.size))
    }

    /// Always true, which keeps NIO from using the first buffer again.
    mutating func record(actualReadBytes: Int) -> Bool {
        if actualReadBytes >= Int(self.size) {
            self.size = min(max(self.size * 2, Self.minimum), Self.maximum)
            self.smallReads = 0
        } else if self.size < Self.minimum {
            self.size = Self.minimum
        } else if actualReadBytes < Int(self.size / 4), self.size > Self.minimum {
            self.smallReads += 1
            if self.smallReads == 16 { (self.size, self.smallReads) = (self.size / 2, 0) }
        } else {
            self.smallReads = 0
        }
        return true
    }

    /// None, for the same reason.
    func nextBufferSize() -> Int? { nil }
}

/// The receive buffer that the next read of a loop takes, of whichever connection.
///
/// Confined to that loop.
final class SpareBuffer {
    @exclusivity(unchecked) private var buffer: ByteBuffer?

    /// An empty buffer of at least `capacity` bytes, if there is one.
    func take(capacity: Int) -> ByteBuffer? {
        guard var buffer = self.buffer, buffer.capacity >= capacity else { return nil }
        self.buffer = nil
        // Nobody holds the memory any more, or it is left to them.
        buffer.clear()
        return buffer
    }

    /// Keeps `buffer` for the next read, unless it is of no size for one: TLS brings buffers of its own. What it holds counts as read, also where
    /// others hold it still.
    func put(_ buffer: ByteBuffer) {
        let sizes = Int(ReceiveBuffers.minimum)...Int(ReceiveBuffers.maximum)
        if sizes.contains(buffer.capacity) { self.buffer = buffer }
    }
}

// NIO asks for a channel's buffers on the channel's loop only. A NIOLoopBound would be too large for where NIO keeps allocators, an allocation per connection.
extension SpareBuffer: @unchecked Sendable {}
