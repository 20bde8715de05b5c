/// Standard base64 with padding (RFC 4648 4), the form in which SocketCluster carries bytes in JSON and WebSocket its keys.
public enum Base64 {
    public static func encode(_ bytes: UnsafeRawBufferPointer, into sink: inout some ByteSink) {
        sink.reserve((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let available = min(3, bytes.count - index)
            var group: UInt32 = 0
            for offset in 0..<3 {
                group = group << 8 | (offset < available ? UInt32(bytes[index + offset]) : 0)
            }
            for digit in 0..<4 {
                let isPadding = digit > available
                sink.put(isPadding ? UInt8(ascii: "=") : Self.character(UInt8(group >> UInt32(18 - 6 * digit) & 0x3F)))
            }
            index += 3
        }
    }

    /// How many bytes `text` stands for; nil unless it is what ``encode(_:into:)`` would have written for them.
    static func decodedCount(_ text: UnsafeRawBufferPointer) -> Int? {
        guard text.count % 4 == 0 else { return nil }
        guard text.count > 0 else { return 0 }
        let padding = text.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
        let digits = text.count - padding
        guard text[..<digits].allSatisfy({ Self.value($0) != nil }) else { return nil }
        // Bits past the last byte must be zero, and `=x` is no padding.
        guard text[digits...].allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
        let spare: UInt8 = padding == 0 ? 0 : padding == 1 ? 0b11 : 0b1111
        guard let last = Self.value(text[digits - 1]), last & spare == 0 else { return nil }
        return text.count / 4 * 3 - padding
    }

    /// - Precondition: ``decodedCount(_:)`` gave a number for `text`.
    static func decode(_ text: UnsafeRawBufferPointer, into sink: inout some ByteSink) {
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for byte in text {
            guard let value = Self.value(byte) else { return }
            bits = bits << 6 | UInt32(value)
            bitCount += 6
            guard bitCount >= 8 else { continue }
            bitCount -= 8
            sink.put(UInt8(truncatingIfNeeded: bits >> bitCount))
        }
    }

    private static func character(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
