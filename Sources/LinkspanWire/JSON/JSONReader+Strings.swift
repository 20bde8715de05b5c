extension JSONReader {
    /// Steps over the string that starts here; true if it has escapes.
    @inline(__always)
    mutating func scanString() throws(JSONError) -> Bool {
        self.position &+= 1
        var hasEscapes = false
        while true {
            self.skipPlainBytes()
            guard self.position < self.count else { throw self.failure(.unexpectedEnd) }
            switch self.base[self.position] {
            case UInt8(ascii: "\""):
                self.position &+= 1
                return hasEscapes
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try self.scanEscape()
            case 0x80...:
                try self.scanMultibyte()
            default:
                throw self.failure(.unexpectedByte)
            }
        }
    }

    /// Moves to the next byte that is a quote, a backslash, a control character or not ASCII, or to the end.
    @inline(__always)
    private mutating func skipPlainBytes() {
        let raw = UnsafeRawPointer(self.base)
        while self.position &+ 8 <= self.count {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: self.position, as: UInt64.self))
            let stops = Self.stops(in: word)
            if stops == 0 {
                self.position &+= 8
            } else {
                self.position &+= stops.trailingZeroBitCount >> 3
                return
            }
        }
        while self.position < self.count {
            switch self.base[self.position] {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0..<0x20, 0x80...: return
            default: self.position &+= 1
            }
        }
    }

    /// The high bit of every byte of `word` at which a string body cannot simply go on.
    ///
    /// A subtraction borrows from the byte above only when the byte below is itself a stop, so the lowest bit set is always right.
    @inline(__always)
    private static func stops(in word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let control = word &- ones &* 0x20
        let quote = (word ^ (ones &* 0x22)) &- ones
        let backslash = (word ^ (ones &* 0x5C)) &- ones
        return (control | quote | backslash | word) & (ones &* 0x80)
    }

    private mutating func scanEscape() throws(JSONError) {
        self.position &+= 1
        switch self.current {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            self.position &+= 1
        case UInt8(ascii: "u"):
            self.position &+= 1
            for _ in 0..<4 {
                switch self.current {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                    UInt8(ascii: "A")...UInt8(ascii: "F"):
                    self.position &+= 1
                default:
                    throw self.unexpected()
                }
            }
        default:
            throw self.unexpected()
        }
    }

    /// Steps over a run of characters beyond ASCII.
    private mutating func scanMultibyte() throws(JSONError) {
        while self.position < self.count, self.base[self.position] >= 0x80 {
            let length = UTF8Sequence.length(at: self.base + self.position, available: self.count &- self.position)
            guard length > 0 else { throw self.failure(.invalidUTF8) }
            self.position &+= length
        }
    }
}
