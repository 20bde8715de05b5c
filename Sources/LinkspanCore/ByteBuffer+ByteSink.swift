public import LinkspanWire
public import NIOCore

/// Lets the codec write straight into the buffers that go to sockets and bridges.
extension ByteBuffer: ByteSink {
    @inlinable
    public mutating func put(_ byte: UInt8) {
        self.writeInteger(byte)
    }

    @inlinable
    public mutating func put(contentsOf bytes: UnsafeRawBufferPointer) {
        self.writeBytes(bytes)
    }

    @inlinable
    public mutating func reserve(_ count: Int) {
        self.reserveCapacity(minimumWritableBytes: count)
    }
}
