/// Resolves the escapes of JSON strings that the scanner has admitted.
enum JSONUnescaping {
    struct Result {
        var count: Int
        var hadLoneSurrogate: Bool
    }

    /// Writes the UTF-8 of `raw` into `output`, which must hold at least as many bytes; lone surrogates become U+FFFD.
    static func unescape(_ raw: UnsafeBufferPointer<UInt8>, into output: UnsafeMutableBufferPointer<UInt8>) -> Result {
        var read = 0
        var result = Result(count: 0, hadLoneSurrogate: false)
        while read < raw.count {
            let byte = raw[read]
            guard byte == UInt8(ascii: "\\") else {
                output[result.count] = byte
                result.count += 1
                read += 1
                continue
            }
            let escape = Self.escape(in: raw, at: read)
            read += escape.length
            result.hadLoneSurrogate = result.hadLoneSurrogate || escape.isLoneSurrogate
            result.count += Self.write(escape.scalar, into: output, at: result.count)
        }
        return result
    }

    static func hasLoneSurrogate(_ raw: UnsafeBufferPointer<UInt8>) -> Bool {
        var read = 0
        while read < raw.count {
            guard raw[read] == UInt8(ascii: "\\") else {
                read += 1
                continue
            }
            let escape = Self.escape(in: raw, at: read)
            if escape.isLoneSurrogate { return true }
            read += escape.length
        }
        return false
    }

    private struct Escape {
        var scalar: UInt32
        var length: Int
        var isLoneSurrogate = false
    }

    private static func escape(in raw: UnsafeBufferPointer<UInt8>, at start: Int) -> Escape {
        switch raw[start + 1] {
        case UInt8(ascii: "b"): return Escape(scalar: 0x08, length: 2)
        case UInt8(ascii: "f"): return Escape(scalar: 0x0C, length: 2)
        case UInt8(ascii: "n"): return Escape(scalar: 0x0A, length: 2)
        case UInt8(ascii: "r"): return Escape(scalar: 0x0D, length: 2)
        case UInt8(ascii: "t"): return Escape(scalar: 0x09, length: 2)
        case UInt8(ascii: "u"): return Self.unicodeEscape(in: raw, at: start)
        case let literal: return Escape(scalar: UInt32(literal), length: 2)
        }
    }

    private static func unicodeEscape(in raw: UnsafeBufferPointer<UInt8>, at start: Int) -> Escape {
        let first = Self.hexadecimal(in: raw, at: start + 2)
        guard first & 0xF800 == 0xD800 else { return Escape(scalar: first, length: 6) }
        let lone = Escape(scalar: 0xFFFD, length: 6, isLoneSurrogate: true)
        guard first < 0xDC00, start + 12 <= raw.count, raw[start + 6] == UInt8(ascii: "\\"),
            raw[start + 7] == UInt8(ascii: "u")
        else { return lone }
        let second = Self.hexadecimal(in: raw, at: start + 8)
        guard second & 0xFC00 == 0xDC00 else { return lone }
        return Escape(scalar: 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), length: 12)
    }

    private static func hexadecimal(in raw: UnsafeBufferPointer<UInt8>, at start: Int) -> UInt32 {
        var value: UInt32 = 0
        for offset in 0..<4 {
            let byte = raw[start + offset]
            // Digits are 0x30 to 0x39, letters of both cases end in 1 to 6.
            let digit = byte < UInt8(ascii: "A") ? byte &- UInt8(ascii: "0") : (byte & 0x0F) &+ 9
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private static func write(_ scalar: UInt32, into output: UnsafeMutableBufferPointer<UInt8>, at index: Int) -> Int {
        switch scalar {
        case 0..<0x80:
            output[index] = UInt8(scalar)
            return 1
        case 0x80..<0x800:
            output[index] = UInt8(0xC0 | scalar >> 6)
            output[index + 1] = UInt8(0x80 | scalar & 0x3F)
            return 2
        case 0x800..<0x10000:
            output[index] = UInt8(0xE0 | scalar >> 12)
            output[index + 1] = UInt8(0x80 | scalar >> 6 & 0x3F)
            output[index + 2] = UInt8(0x80 | scalar & 0x3F)
            return 3
        default:
            output[index] = UInt8(0xF0 | scalar >> 18)
            output[index + 1] = UInt8(0x80 | scalar >> 12 & 0x3F)
            output[index + 2] = UInt8(0x80 | scalar >> 6 & 0x3F)
            output[index + 3] = UInt8(0x80 | scalar & 0x3F)
            return 4
        }
    }
}
