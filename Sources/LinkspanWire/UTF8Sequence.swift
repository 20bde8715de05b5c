/// Well-formed UTF-8 by table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing past U+10FFFF.
enum UTF8Sequence {
    /// Bytes of the well-formed sequence of two or more bytes at `bytes`, 0 if there is none.
    @inline(__always)
    static func length(at bytes: UnsafePointer<UInt8>, available: Int) -> Int {
        switch bytes[0] {
        case 0xC2...0xDF:
            return available >= 2 && Self.isContinuation(bytes[1]) ? 2 : 0
        case 0xE0...0xEF:
            guard available >= 3, Self.isContinuation(bytes[1]), Self.isContinuation(bytes[2]) else { return 0 }
            switch (bytes[0], bytes[1]) {
            case (0xE0, ..<0xA0), (0xED, 0xA0...): return 0
            default: return 3
            }
        case 0xF0...0xF4:
            guard available >= 4, Self.isContinuation(bytes[1]), Self.isContinuation(bytes[2]),
                Self.isContinuation(bytes[3])
            else { return 0 }
            switch (bytes[0], bytes[1]) {
            case (0xF0, ..<0x90), (0xF4, 0x90...): return 0
            default: return 4
            }
        default:
            return 0
        }
    }

    /// Bytes of the sequence that `lead` begins, nil if none does.
    static func expectedLength(lead: UInt8) -> Int? {
        switch lead {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: nil
        }
    }

    /// A second byte that may follow `lead` (and every lead of the same length admits the third and fourth byte 0x80).
    static func admissibleSecond(lead: UInt8) -> UInt8 {
        switch lead {
        case 0xE0: 0xA0
        case 0xF0: 0x90
        default: 0x80
        }
    }

    @inline(__always)
    private static func isContinuation(_ byte: UInt8) -> Bool {
        byte & 0xC0 == 0x80
    }
}
