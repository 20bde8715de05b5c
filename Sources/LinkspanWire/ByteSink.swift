/// Where encoders write: an array of bytes, or a buffer of whoever sends them.
public protocol ByteSink {
    mutating func put(_ byte: UInt8)
    mutating func put(contentsOf bytes: UnsafeRawBufferPointer)
    /// Makes room for `count` more bytes, so that the writes that follow grow the sink at most once.
    mutating func reserve(_ count: Int)
}

extension [UInt8]: ByteSink {
    @inlinable
    public mutating func put(_ byte: UInt8) {
        self.append(byte)
    }

    @inlinable
    public mutating func put(contentsOf bytes: UnsafeRawBufferPointer) {
        self.append(contentsOf: bytes)
    }

    @inlinable
    public mutating func reserve(_ count: Int) {
        // `reserveCapacity` is exact; asked for a little each time it would copy the array each time.
        let needed = self.count + count
        if needed > self.capacity { self.reserveCapacity(Swift.max(needed, self.capacity * 2)) }
    }
}

extension ByteSink {
    @inlinable
    public mutating func put(_ text: StaticString) {
        self.put(contentsOf: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inlinable
    public mutating func put(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { self.put(contentsOf: $0) }
    }

    @inlinable
    public mutating func put(_ text: JSONText) {
        text.utf8.withUnsafeBytes { self.put(contentsOf: $0) }
    }

    /// The UTF-8 of `text` as it stands, without quotes or escapes.
    public mutating func put(verbatim text: String) {
        var copy = text
        copy.withUTF8 { self.put(contentsOf: UnsafeRawBufferPointer($0)) }
    }

    /// Decimal digits, with a minus sign where due.
    public mutating func put(decimal value: Int64) {
        if value < 0 { self.put(UInt8(ascii: "-")) }
        var magnitude = value.magnitude
        var digits = InlineArray<20, UInt8>(repeating: 0)
        var start = 20
        repeat {
            start -= 1
            digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: magnitude % 10)
            magnitude /= 10
        } while magnitude > 0
        for index in start..<20 { self.put(digits[index]) }
    }

    public mutating func put(_ callID: CallID) {
        switch callID {
        case .integer(let value): self.put(decimal: value)
        case .literal(let text): self.put(verbatim: text)
        }
    }

    /// `string` between quotes, escaped as `JSON.stringify` does: `\"`, `\\`, the five short escapes and `\u00xx`,
    /// nothing else.
    public mutating func putJSONString(_ string: String) {
        self.put(UInt8(ascii: "\""))
        var copy = string
        copy.withUTF8 { self.putEscaped(UnsafeRawBufferPointer($0)) }
        self.put(UInt8(ascii: "\""))
    }

    /// UTF-8 escaped as in ``putJSONString(_:)``, without the quotes.
    /// - Precondition: `bytes` are valid UTF-8.
    public mutating func putEscaped(_ bytes: UnsafeRawBufferPointer) {
        var start = 0
        for index in 0..<bytes.count {
            let byte = bytes[index]
            guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
            self.put(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
            self.putEscape(byte)
            start = index + 1
        }
        self.put(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }

    private mutating func putEscape(_ byte: UInt8) {
        switch byte {
        case 0x08: self.put("\\b")
        case 0x09: self.put("\\t")
        case 0x0A: self.put("\\n")
        case 0x0C: self.put("\\f")
        case 0x0D: self.put("\\r")
        case UInt8(ascii: "\""): self.put("\\\"")
        case UInt8(ascii: "\\"): self.put("\\\\")
        default:
            self.put("\\u00")
            self.put(byte < 0x10 ? UInt8(ascii: "0") : UInt8(ascii: "1"))
            let low = byte & 0x0F
            self.put(low < 10 ? UInt8(ascii: "0") + low : UInt8(ascii: "a") + low - 10)
        }
    }
}
