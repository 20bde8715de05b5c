/// The masking key of a client frame (RFC 6455 5.3), its first byte in the highest bits. Masking twice restores the
/// bytes.
public struct WebSocketMask: Hashable, Sendable {
    public var key: UInt32

    public init(key: UInt32) {
        self.key = key
    }

    /// Masks or unmasks in place, eight bytes at a time.
    /// - Parameter offset: bytes of the same payload that lie before `bytes`.
    public func apply(to bytes: UnsafeMutableRawBufferPointer, offset: Int = 0) {
        guard let base = bytes.baseAddress else { return }
        let key = self.rotated(by: offset)
        let word = UInt64(key.bigEndian) << 32 | UInt64(key.bigEndian)
        var index = 0
        while index &+ 8 <= bytes.count {
            let masked = base.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ word
            base.storeBytes(of: masked, toByteOffset: index, as: UInt64.self)
            index &+= 8
        }
        while index < bytes.count {
            bytes[index] ^= UInt8(truncatingIfNeeded: key >> UInt32(24 &- 8 &* (index & 3)))
            index &+= 1
        }
    }

    public func apply(to bytes: inout MutableRawSpan, offset: Int = 0) {
        bytes.withUnsafeMutableBytes { self.apply(to: $0, offset: offset) }
    }

    private func rotated(by offset: Int) -> UInt32 {
        let bits = UInt32(8 * (offset & 3))
        return bits == 0 ? self.key : self.key << bits | self.key >> (32 - bits)
    }
}
