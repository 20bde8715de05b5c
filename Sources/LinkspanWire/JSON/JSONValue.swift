/// The six kinds of JSON value.
public enum JSONKind: UInt8, Hashable, Sendable {
    case object, array, string, number, boolean, null
}

/// Where a validated JSON value lies in its text, and what it is. Offsets are bytes from the start of the text that was
/// scanned.
public struct JSONValue: Hashable, Sendable {
    public var kind: JSONKind
    /// Only for strings: whether a backslash occurs.
    public var hasEscapes: Bool
    /// The value without the whitespace around it, quotes of a string included.
    public var range: Range<Int>

    public init(kind: JSONKind, range: Range<Int>, hasEscapes: Bool = false) {
        self.kind = kind
        self.hasEscapes = hasEscapes
        self.range = range
    }

    /// What stands between the quotes; nil unless this is a string.
    public var string: StringSlice? {
        guard self.kind == .string else { return nil }
        return StringSlice(range: self.range.lowerBound + 1..<self.range.upperBound - 1, hasEscapes: self.hasEscapes)
    }

    /// Nil unless this is a number without fraction and exponent that fits.
    /// - Precondition: `text` is the text that was scanned.
    public func integer(in text: RawSpan) -> Int64? {
        guard self.kind == .number else { return nil }
        return text.withUnsafeBytes { self.integer(base: $0.bytes) }
    }

    /// Nil unless this is `true` or `false`.
    /// - Precondition: `text` is the text that was scanned.
    public func boolean(in text: RawSpan) -> Bool? {
        guard self.kind == .boolean else { return nil }
        return text.unsafeLoad(fromByteOffset: self.range.lowerBound, as: UInt8.self) == UInt8(ascii: "t")
    }

    func integer(base: UnsafePointer<UInt8>) -> Int64? {
        var position = self.range.lowerBound
        let isNegative = base[position] == UInt8(ascii: "-")
        if isNegative { position += 1 }
        // The scanner has admitted the number, so anything but digits here is a fraction or an exponent.
        var magnitude: UInt64 = 0
        guard self.range.upperBound - position <= 19 else { return nil }
        while position < self.range.upperBound {
            let digit = base[position] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            magnitude = magnitude &* 10 &+ UInt64(digit)
            position += 1
        }
        guard magnitude <= UInt64(Int64.max) else { return nil }
        return isNegative ? -Int64(magnitude) : Int64(magnitude)
    }
}

/// What stands between the quotes of a JSON string, as byte offsets into the text that was scanned.
public struct StringSlice: Hashable, Sendable {
    public var range: Range<Int>
    /// When false the bytes of `range` are the string's UTF-8 as they stand.
    public var hasEscapes: Bool

    public init(range: Range<Int>, hasEscapes: Bool) {
        self.range = range
        self.hasEscapes = hasEscapes
    }

    /// The string with its escapes resolved; a lone surrogate escape, which UTF-8 cannot say, becomes U+FFFD.
    /// - Precondition: `text` is the text that was scanned.
    public func string(in text: RawSpan) -> String {
        text.withUnsafeBytes { self.string(base: $0.bytes) }
    }

    /// Whether the string, escapes resolved, equals `other` byte for byte.
    /// - Precondition: `text` is the text that was scanned.
    public func equals(_ other: StaticString, in text: RawSpan) -> Bool {
        text.withUnsafeBytes { self.equals(other, base: $0.bytes) }
    }

    func string(base: UnsafePointer<UInt8>) -> String {
        let raw = UnsafeBufferPointer(start: base + self.range.lowerBound, count: self.range.count)
        guard self.hasEscapes else { return String(decoding: raw, as: UTF8.self) }
        // No escape is shorter than what it stands for.
        return String(unsafeUninitializedCapacity: raw.count) { output in
            JSONUnescaping.unescape(raw, into: output).count
        }
    }

    @inline(__always)
    func equals(_ other: StaticString, base: UnsafePointer<UInt8>) -> Bool {
        guard self.hasEscapes else {
            guard self.range.count == other.utf8CodeUnitCount else { return false }
            let bytes = base + self.range.lowerBound
            for index in 0..<other.utf8CodeUnitCount where bytes[index] != other.utf8Start[index] { return false }
            return true
        }
        return self.string(base: base).utf8
            .elementsEqual(UnsafeBufferPointer(start: other.utf8Start, count: other.utf8CodeUnitCount))
    }

    /// False when an escape stands for half of a surrogate pair: such a string has no UTF-8, so it cannot name
    /// anything.
    func isRepresentable(base: UnsafePointer<UInt8>) -> Bool {
        guard self.hasEscapes else { return true }
        let raw = UnsafeBufferPointer(start: base + self.range.lowerBound, count: self.range.count)
        return !JSONUnescaping.hasLoneSurrogate(raw)
    }
}

extension UnsafeRawBufferPointer {
    /// The start as bytes. An empty span has no address; its readers never dereference, so any pointer will do.
    var bytes: UnsafePointer<UInt8> {
        (self.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!).assumingMemoryBound(to: UInt8.self)
    }
}
