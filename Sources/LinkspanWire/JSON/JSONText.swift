/// One JSON value as UTF-8 text, known to be valid.
public struct JSONText: Hashable, Sendable {
    public let utf8: [UInt8]

    /// Checks `text`, and keeps it byte for byte.
    public init(validating text: RawSpan, maximumDepth: Int = 128) throws(JSONError) {
        _ = try JSONScanner(maximumDepth: maximumDepth).scan(text)
        self.utf8 = text.withUnsafeBytes { Array($0) }
    }

    public init(validating text: String, maximumDepth: Int = 128) throws(JSONError) {
        let bytes = Array(text.utf8)
        _ = try JSONScanner(maximumDepth: maximumDepth).scan(bytes.span.bytes)
        self.utf8 = bytes
    }

    /// Takes what a scanner or decoder has already admitted.
    public init(alreadyValid utf8: [UInt8]) {
        self.utf8 = utf8
    }

    /// The JSON string that says `string`.
    public init(string: String) {
        var utf8: [UInt8] = []
        utf8.putJSONString(string)
        self.utf8 = utf8
    }

    public static let null = JSONText(alreadyValid: Array("null".utf8))
}

extension JSONText: CustomStringConvertible {
    public var description: String { String(decoding: self.utf8, as: UTF8.self) }
}
