/// The part of a cluster's name space that a name belongs to (Redis Cluster specification, "Key distribution model").
enum HashSlot {
    static let count = 16_384

    /// Of the whole name, or of what stands between its first `{` and the next `}`.
    static func of(_ name: String) -> Int {
        var name = name
        return name.withUTF8 { Self.of($0[...]) }
    }

    private static func of(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Int {
        var hashed = bytes
        if let open = bytes.firstIndex(of: UInt8(ascii: "{")) {
            let rest = bytes[(open + 1)...]
            if let close = rest.firstIndex(of: UInt8(ascii: "}")), close > rest.startIndex { hashed = rest[..<close] }
        }
        return Int(Self.checksum(hashed)) % Self.count
    }

    /// CRC16-CCITT as XMODEM has it: polynomial 0x1021, starting at zero.
    private static func checksum(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> UInt16 {
        var checksum: UInt16 = 0
        for byte in bytes { checksum = checksum << 8 ^ Self.table[Int(UInt8(checksum >> 8) ^ byte)] }
        return checksum
    }

    private static let table: [UInt16] = (0..<256).map { index in
        (0..<8).reduce(UInt16(index) << 8) { value, _ in value & 0x8000 != 0 ? value << 1 ^ 0x1021 : value << 1 }
    }
}
