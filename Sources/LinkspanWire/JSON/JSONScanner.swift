/// Why a text is not the JSON that was asked for.
public struct JSONError: Error, Hashable, Sendable {
    public enum Reason: UInt8, Hashable, Sendable, CaseIterable {
        /// A byte that the grammar does not allow here.
        case unexpectedByte
        /// The text ends inside a value.
        case unexpectedEnd
        /// Bytes in a string that are not UTF-8.
        case invalidUTF8
        /// More nesting than the scanner's limit.
        case tooDeep
    }

    public var reason: Reason
    /// Bytes from the start of the text.
    public var offset: Int

    public init(reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }
}

/// Checks JSON strictly (RFC 8259, UTF-8) and finds its parts without building objects from them.
///
/// Nothing allocates. Escapes of half a surrogate pair are admitted, as `JSON.parse` admits them.
public struct JSONScanner: Hashable, Sendable {
    /// Containers that may lie in one another, 1 to 1024.
    public let maximumDepth: Int

    public init(maximumDepth: Int = 128) {
        self.maximumDepth = maximumDepth
    }

    /// Checks that `text` is one JSON value with nothing but whitespace around it.
    public func scan(_ text: RawSpan) throws(JSONError) -> JSONValue {
        try text.withUnsafeBytes { bytes throws(JSONError) in
            var reader = JSONReader(bytes, maximumDepth: self.maximumDepth)
            let value = try reader.scanValue(depth: 0)
            try reader.expectEnd()
            return value
        }
    }

    /// Calls `body` for each member of the object `value`, in the order of the text; duplicate keys come as often as
    /// they occur.
    /// - Precondition: `value` is an object that was scanned in this `text`, or one of its parts.
    public func forEachMember(
        of value: JSONValue, in text: RawSpan, _ body: (_ key: StringSlice, _ member: JSONValue) -> Void
    ) throws(JSONError) {
        try text.withUnsafeBytes { bytes throws(JSONError) in
            var reader = JSONReader(bytes, maximumDepth: self.maximumDepth, position: value.range.lowerBound)
            guard reader.current == UInt8(ascii: "{") else {
                throw JSONError(reason: .unexpectedByte, offset: reader.position)
            }
            reader.position += 1
            var isFirst = true
            while let key = try reader.nextKey(isFirst: isFirst) {
                isFirst = false
                body(key, try reader.scanValue(depth: 1))
            }
        }
    }

    /// Calls `body` for each element of the array `value`.
    /// - Precondition: `value` is an array that was scanned in this `text`, or one of its parts.
    public func forEachElement(
        of value: JSONValue, in text: RawSpan, _ body: (_ element: JSONValue) -> Void
    ) throws(JSONError) {
        try text.withUnsafeBytes { bytes throws(JSONError) in
            var reader = JSONReader(bytes, maximumDepth: self.maximumDepth, position: value.range.lowerBound)
            guard reader.current == UInt8(ascii: "[") else {
                throw JSONError(reason: .unexpectedByte, offset: reader.position)
            }
            reader.position += 1
            var isFirst = true
            while try reader.nextElement(isFirst: isFirst) {
                isFirst = false
                body(try reader.scanValue(depth: 1))
            }
        }
    }
}
