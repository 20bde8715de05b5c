internal import NIOCore
internal import Testing

@testable internal import LinkspanServer

struct ReceiveBuffersTests {
    private let spare = SpareBuffer()
    private let allocator = ByteBufferAllocator()

    /// Of a connection that has read before.
    private func experienced() -> ReceiveBuffers {
        var buffers = ReceiveBuffers(spare: self.spare)
        _ = buffers.record(actualReadBytes: 100)
        return buffers
    }

    private func address(of buffer: ByteBuffer) -> UnsafeRawPointer? {
        buffer.withVeryUnsafeBytes { $0.baseAddress }
    }

    @Test func `a read takes the buffer that another connection has done with`() {
        var first = self.experienced().buffer(allocator: self.allocator)
        first.writeString("of the first")
        let address = self.address(of: first)
        self.spare.put(first)
        first = ByteBuffer()
        let second = self.experienced().buffer(allocator: self.allocator)
        #expect(self.address(of: second) == address)
        #expect(second.readableBytes == 0 && second.capacity >= 4096)
        let third = self.experienced().buffer(allocator: self.allocator)
        #expect(self.address(of: third) != address)
    }

    @Test func `what somebody still holds is not written over`() {
        var first = self.experienced().buffer(allocator: self.allocator)
        first.writeString("kept")
        self.spare.put(first)
        var second = self.experienced().buffer(allocator: self.allocator)
        second.writeString("new!")
        #expect(String(buffer: first) == "kept")
        #expect(String(buffer: second) == "new!")
    }

    @Test func `the first read of a connection gets a small buffer of its own, because NIO keeps it`() {
        self.spare.put(self.allocator.buffer(capacity: 65_536))
        let first = ReceiveBuffers(spare: self.spare).buffer(allocator: self.allocator)
        #expect(first.capacity == 512)
        self.spare.put(first)
        #expect(self.experienced().buffer(allocator: self.allocator).capacity == 65_536)
    }

    @Test func `a buffer that is too small for a connection stays for others`() {
        self.spare.put(self.allocator.buffer(capacity: 4096))
        var large = self.experienced()
        _ = large.record(actualReadBytes: 4096)
        #expect(large.buffer(allocator: self.allocator).capacity >= 8192)
        #expect(self.spare.take(capacity: 4096)?.capacity == 4096)
        #expect(self.spare.take(capacity: 1) == nil)
    }

    @Test func `a buffer that no read would get is not kept`() {
        self.spare.put(self.allocator.buffer(capacity: 131_072))
        #expect(self.spare.take(capacity: 1) == nil)
        self.spare.put(self.allocator.buffer(capacity: 65_536))
        self.spare.put(self.allocator.buffer(capacity: 1024))
        #expect(self.spare.take(capacity: 1)?.capacity == 65_536)
    }
}
