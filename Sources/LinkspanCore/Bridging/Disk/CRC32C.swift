/// The checksum of RFC 3720, appendix B.4 (Castagnoli polynomial), as storage systems use it.
enum CRC32C {
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        ~self.update(.max, bytes)
    }

    /// Eight bytes at a time ("slicing by 8"), without instructions that only some processors have.
    static func update(_ start: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var crc = start
        var offset = 0
        self.tables.withUnsafeBufferPointer { tables in
            while offset + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                let mixed = word ^ UInt64(crc)
                crc = 0
                for step in 0..<8 {
                    crc ^= tables[(7 - step) << 8 | Int(truncatingIfNeeded: (mixed >> UInt64(step * 8)) & 0xFF)]
                }
                offset += 8
            }
            while offset < bytes.count {
                crc = tables[Int((crc ^ UInt32(bytes[offset])) & 0xFF)] ^ (crc >> 8)
                offset += 1
            }
        }
        return crc
    }

    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            tables[byte] = (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? 0x82F6_3B78 ^ (crc >> 1) : crc >> 1 }
        }
        for index in 256..<tables.count {
            let crc = tables[index - 256]
            tables[index] = tables[Int(crc & 0xFF)] ^ (crc >> 8)
        }
        return tables
    }()
}
