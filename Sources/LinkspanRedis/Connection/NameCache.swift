internal import NIOCore

/// The names seen last, so that a message on a known name makes no new string.
struct NameCache {
    private static let size = 256
    private var names = [String](repeating: "", count: Self.size)

    /// The bytes as text. Bytes that are not UTF-8 become `%XX` escapes: no mapped name decodes to such, so the host refuses and counts
    /// the message instead of taking it for another channel's.
    mutating func name(_ bytes: UnsafeRawBufferPointer) -> String {
        let slot = Self.slot(bytes)
        if self.isEqual(slot, bytes) { return self.names[slot] }
        let name = String(validating: bytes, as: UTF8.self) ?? Self.escaped(bytes)
        self.names[slot] = name
        return name
    }

    /// FNV-1a over the last bytes, where names differ most.
    private static func slot(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hash: UInt32 = 2_166_136_261 ^ UInt32(truncatingIfNeeded: bytes.count)
        for byte in bytes.suffix(16) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return Int((hash ^ hash >> 16) % UInt32(Self.size))
    }

    private mutating func isEqual(_ slot: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        self.names[slot].withUTF8 { name in
            name.count == bytes.count && (name.isEmpty || UnsafeRawBufferPointer(name).elementsEqual(bytes))
        }
    }

    private static func escaped(_ bytes: UnsafeRawBufferPointer) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            if byte < 0x80 {
                text.append(byte)
            } else {
                text += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
