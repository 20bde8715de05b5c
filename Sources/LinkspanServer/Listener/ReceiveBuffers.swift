internal import NIOCore

/// Gives a connection a fresh buffer for each read, as large as its reads were lately.
///
/// NIO keeps the first buffer of a connection for as long as that lives and uses it again and again; ten thousand idle connections then hold
/// twenty megabytes for nothing. Here the kept one is small, and those after it go back to the allocator as soon as their bytes are
/// handled, where the next connection finds them still in the cache. Set ``ChannelOptions/maxMessagesPerRead`` to 1
/// with it, or NIO keeps as many buffers as that.
struct ReceiveBuffers: RecvByteBufferAllocator {
    private var size: Int32 = Self.firstSize
    private var smallReads: Int32 = 0

    /// Fits the request of most clients.
    private static let firstSize: Int32 = 512
    private static let minimum: Int32 = 4 << 10
    private static let maximum: Int32 = 64 << 10

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        allocator.buffer(capacity: Int(self.size))
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
