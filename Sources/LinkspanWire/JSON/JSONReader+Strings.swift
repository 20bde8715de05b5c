extension JSONReader {
    /// The string that begins at `start`; sets `hasEscapes` if it has any, and leaves it alone otherwise.
    @inline(__always)
    func endOfString(_ start: Int, _ hasEscapes: inout Bool) throws(JSONError) -> Int {
        var index = start &+ 1
        while true {
            index = self.afterPlainBytes(index)
            guard index < self.count else { throw JSONError(reason: .unexpectedEnd, offset: index) }
            switch self.base[index] {
            case UInt8(ascii: "\""):
                return index &+ 1
            case UInt8(ascii: "\\"):
                hasEscapes = true
                index = try self.endOfEscape(index)
            case 0x80...:
                index = try self.endOfMultibyteRun(index)
            default:
                throw JSONError(reason: .unexpectedByte, offset: index)
            }
        }
    }

    /// The next byte that is a quote, a backslash, a control character or not ASCII, or the end.
    @inline(__always)
    private func afterPlainBytes(_ start: Int) -> Int {
        let raw = UnsafeRawPointer(self.base)
        var index = start
        while index &+ 8 <= self.count {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let stops = Self.stops(in: word)
            guard stops == 0 else { return index &+ stops.trailingZeroBitCount >> 3 }
            index &+= 8
        }
        while index < self.count {
            switch self.base[index] {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0..<0x20, 0x80...: return index
            default: index &+= 1
            }
        }
        return index
    }

    /// The high bit of every byte of `word` at which a string body cannot simply go on.
    ///
    /// A subtraction borrows from the byte above only when the byte below is itself a stop, so the lowest bit that is
    /// set is always right.
    @inline(__always)
    private static func stops(in word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let control = word &- ones &* 0x20
        let quote = (word ^ (ones &* 0x22)) &- ones
        let backslash = (word ^ (ones &* 0x5C)) &- ones
        return (control | quote | backslash | word) & (ones &* 0x80)
    }

    private func endOfEscape(_ start: Int) throws(JSONError) -> Int {
        let index = start &+ 1
        switch self.byte(at: index) {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return index &+ 1
        case UInt8(ascii: "u"):
            for digit in index &+ 1...index &+ 4 {
                switch self.byte(at: digit) {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                    UInt8(ascii: "A")...UInt8(ascii: "F"):
                    continue
                default:
                    throw self.unexpected(at: digit)
                }
            }
            return index &+ 5
        default:
            throw self.unexpected(at: index)
        }
    }

    /// A run of characters beyond ASCII.
    private func endOfMultibyteRun(_ start: Int) throws(JSONError) -> Int {
        var index = start
        while index < self.count, self.base[index] >= 0x80 {
            let length = UTF8Sequence.length(at: self.base + index, available: self.count &- index)
            guard length > 0 else { throw JSONError(reason: .invalidUTF8, offset: index) }
            index &+= length
        }
        return index
    }
}
