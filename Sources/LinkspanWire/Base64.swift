/// Base 64 (RFC 4648): bytes as text of 64 characters.
public enum Base64: Sendable {
    /// Section 4, with padding: the form in which SocketCluster carries bytes in JSON, and WebSocket its keys.
    case standard
    /// Section 5, without padding: as in JSON Web Tokens.
    case urlSafe

    public func encode(_ bytes: UnsafeRawBufferPointer, into sink: inout some ByteSink) {
        sink.reserve((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var group: UInt32 = 0
            for offset in 0..<3 { group = group << 8 | (offset < count ? UInt32(bytes[start + offset]) : 0) }
            for digit in 0...count { sink.put(self.digit(UInt8(group >> UInt32(18 - 6 * digit) & 0x3F))) }
            guard self == .standard else { continue }
            for _ in count..<3 { sink.put(UInt8(ascii: "=")) }
        }
    }

    public func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        Array(bytes).withUnsafeBytes { self.encode($0, into: &text) }
        return text
    }

    /// Nil for what ``decodedCount(_:)`` is nil for.
    public func decode(_ text: some BidirectionalCollection<UInt8>) -> [UInt8]? {
        guard let count = self.decodedCount(text) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        self.decode(text, into: &bytes)
        return bytes
    }

    /// How many bytes `text` stands for.
    ///
    /// Nil when a character is outside the alphabet, or when the length is one that no bytes encode to; with padding also unless it is
    /// exactly what ``encode(_:)`` would have written. Without padding, bits past the last byte may be anything: verifiers of tokens
    /// do not look at them.
    func decodedCount(_ text: some BidirectionalCollection<UInt8>) -> Int? {
        switch self {
        case .urlSafe:
            guard text.count % 4 != 1, text.allSatisfy({ self.value($0) != nil }) else { return nil }
            return text.count * 3 / 4
        case .standard:
            // `=x` is no padding: its `=` stays among the digits.
            let padding = text.reversed().prefix(2).prefix { $0 == UInt8(ascii: "=") }.count
            let digits = text.dropLast(padding)
            guard text.count % 4 == 0, digits.allSatisfy({ self.value($0) != nil }) else { return nil }
            guard let last = digits.last.flatMap(self.value) else { return 0 }
            let spare: UInt8 = padding == 0 ? 0 : padding == 1 ? 0b11 : 0b1111
            return last & spare == 0 ? text.count / 4 * 3 - padding : nil
        }
    }

    /// - Precondition: ``decodedCount(_:)`` gave a number for `text`.
    func decode(_ text: some BidirectionalCollection<UInt8>, into sink: inout some ByteSink) {
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for character in text {
            guard let value = self.value(character) else { return }
            bits = bits << 6 | UInt32(value)
            bitCount += 6
            guard bitCount >= 8 else { continue }
            bitCount -= 8
            sink.put(UInt8(truncatingIfNeeded: bits >> bitCount))
        }
    }

    private func digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        case 62: self.lastDigits.0
        default: self.lastDigits.1
        }
    }

    private func value(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case self.lastDigits.0: 62
        case self.lastDigits.1: 63
        default: nil
        }
    }

    /// Those for 62 and 63, in which the alphabets differ.
    private var lastDigits: (UInt8, UInt8) {
        switch self {
        case .standard: (UInt8(ascii: "+"), UInt8(ascii: "/"))
        case .urlSafe: (UInt8(ascii: "-"), UInt8(ascii: "_"))
        }
    }
}
