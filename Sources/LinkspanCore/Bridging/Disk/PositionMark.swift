/// A position that a disk buffer remembers beside its records, with a checksum: before which everything is settled, and up to which records were
/// written.
public enum PositionMark {
    public static let byteCount = 12
    /// Distance of the places where marks are written: far enough for no write to touch two.
    public static let slotBytes = 4096

    public static func encode(_ position: UInt64) -> [UInt8] {
        let bytes = withUnsafeBytes(of: position.littleEndian) { [UInt8]($0) }
        let checksum = bytes.withUnsafeBytes { CRC32C.checksum($0) }
        return bytes + withUnsafeBytes(of: checksum.littleEndian) { [UInt8]($0) }
    }

    /// Nil when it is not whole.
    public static func decode(_ bytes: [UInt8]) -> UInt64? {
        guard bytes.count == Self.byteCount else { return nil }
        return bytes.withUnsafeBytes { bytes in
            let checksum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<8]))
            guard UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) == checksum else {
                return nil
            }
            return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        }
    }
}
