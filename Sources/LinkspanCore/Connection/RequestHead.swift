/// The head of one HTTP/1 request, as far as a WebSocket listener needs it (RFC 9112).
///
/// One is read per connection, and never a body: what follows the head belongs to the WebSocket. Kept as the bytes that came and where its
/// parts lie in them, because most fields of most requests are looked at by nobody.
public struct RequestHead: Sendable, Hashable {
    private struct FieldRange: Sendable, Hashable {
        var name: Range<Int>
        var value: Range<Int>
    }

    private let bytes: [UInt8]
    private let methodRange: Range<Int>
    private let pathRange: Range<Int>
    private let queryRange: Range<Int>?
    private let fields: [FieldRange]

    public var method: String { self.string(self.methodRange) }

    /// The request target without its query.
    public var path: String { self.string(self.pathRange) }

    /// What follows `?`, not decoded; nil without one.
    public var query: String? { self.queryRange.map(self.string) }

    /// All fields, in order, names as they were written and values without surrounding blanks.
    public var allFields: [HTTPField] {
        self.fields.map { HTTPField(name: self.string($0.name), value: self.string($0.value)) }
    }

    /// All values of a field, in order, without surrounding blanks; empty when it is absent.
    /// - Parameter name: in lower case; any case matches.
    public func values(of name: StaticString) -> [String] {
        self.fields.compactMap { self.isName($0.name, name) ? self.string($0.value) : nil }
    }

    /// The first value of a field; nil when it is absent.
    public func first(_ name: StaticString) -> String? {
        self.fields.first { self.isName($0.name, name) }.map { self.string($0.value) }
    }

    /// Whether one of the comma-separated elements of a field is `token`, whatever its case.
    /// - Parameters:
    ///   - name: in lower case.
    ///   - token: in lower case.
    public func has(_ name: StaticString, token: StaticString) -> Bool {
        self.fields.contains { field in
            self.isName(field.name, name) && self.elements(of: field.value).contains { self.isName($0, token) }
        }
    }

    /// The comma-separated elements of a field, over all its lines, without surrounding blanks.
    public func tokens(of name: StaticString) -> [String] {
        self.fields.flatMap { field in
            self.isName(field.name, name) ? self.elements(of: field.value).map(self.string) : []
        }
    }

    // MARK: Reading

    /// Longest head that is read.
    public static let byteLimit = 16 << 10
    static let fieldLimit = 100

    /// What the bytes that came so far amount to.
    public enum Outcome: Sendable, Hashable {
        /// The head is not complete; more must come.
        case incomplete
        /// `byteCount` bytes were the head.
        case complete(RequestHead, byteCount: Int)
        /// Not HTTP/1, or a field that means different things to different readers.
        case malformed
        /// Longer than ``byteLimit``, or with too many fields.
        case tooLarge
    }

    /// - Complexity: linear in the bytes; called again when more have come, so a peer that drips bytes costs at most `byteLimit` squared
    ///   over a small constant, within the handshake timeout.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let end = self.endOfHead(bytes) else {
            return bytes.count > self.byteLimit ? .tooLarge : .incomplete
        }
        guard end <= self.byteLimit else { return .tooLarge }
        // The empty line is left out, the end of the last field is not.
        let head = UnsafeRawBufferPointer(rebasing: bytes[..<(end - 2)])
        guard let firstEnd = self.endOfLine(head, from: 0), let line = RequestLine(head, 0..<firstEnd) else {
            return .malformed
        }
        var fields: [FieldRange] = []
        fields.reserveCapacity(16)
        var start = firstEnd + 2
        while start < head.count {
            guard fields.count < self.fieldLimit else { return .tooLarge }
            guard let lineEnd = self.endOfLine(head, from: start), let field = self.field(head, start..<lineEnd) else {
                return .malformed
            }
            fields.append(field)
            start = lineEnd + 2
        }
        let request = RequestHead(
            bytes: Array(head), methodRange: line.method, pathRange: line.path, queryRange: line.query, fields: fields)
        return .complete(request, byteCount: end)
    }

    private struct RequestLine {
        var method: Range<Int>
        var path: Range<Int>
        var query: Range<Int>?

        init?(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) {
            let space = UInt8(ascii: " ")
            guard let first = bytes[line].firstIndex(of: space),
                let second = bytes[(first + 1)..<line.upperBound].firstIndex(of: space), second > first + 1
            else { return nil }
            let version = bytes[(second + 1)..<line.upperBound]
            guard version.elementsEqual("HTTP/1.1".utf8) || version.elementsEqual("HTTP/1.0".utf8) else { return nil }
            self.method = line.lowerBound..<first
            let target = (first + 1)..<second
            guard RequestHead.isToken(bytes[self.method]), !bytes[target].contains(where: RequestHead.isControl) else {
                return nil
            }
            let mark = bytes[target].firstIndex(of: UInt8(ascii: "?"))
            self.path = target.lowerBound..<(mark ?? target.upperBound)
            self.query = mark.map { ($0 + 1)..<target.upperBound }
        }
    }

    private static func field(_ bytes: UnsafeRawBufferPointer, _ line: Range<Int>) -> FieldRange? {
        guard let colon = bytes[line].firstIndex(of: UInt8(ascii: ":")), self.isToken(bytes[line.lowerBound..<colon])
        else { return nil }
        let value = self.trimmed((colon + 1)..<line.upperBound) { bytes[$0] }
        guard !bytes[value].contains(where: self.isControl) else { return nil }
        return FieldRange(name: line.lowerBound..<colon, value: value)
    }

    private static func endOfHead(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var index = 3
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\n"):
                if bytes[index - 1] == 0x0D, bytes[index - 2] == 0x0A, bytes[index - 3] == 0x0D { return index + 1 }
                index += 2
            case UInt8(ascii: "\r"): index += 1
            default: index += 2
            }
        }
        return nil
    }

    /// Where the return before the next line feed stands; nil when the line feed is bare.
    private static func endOfLine(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let feed = bytes[start...].firstIndex(of: UInt8(ascii: "\n")), feed > start, bytes[feed - 1] == 0x0D
        else {
            return nil
        }
        return feed - 1
    }

    // MARK: Bytes

    private func string(_ range: Range<Int>) -> String {
        String(decoding: self.bytes[range], as: UTF8.self)
    }

    private func isName(_ range: Range<Int>, _ name: StaticString) -> Bool {
        guard range.count == name.utf8CodeUnitCount else { return false }
        for offset in 0..<range.count {
            let byte = self.bytes[range.lowerBound + offset]
            let lower = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
            if lower != name.utf8Start[offset] { return false }
        }
        return true
    }

    private func elements(of value: Range<Int>) -> [Range<Int>] {
        self.bytes[value].split(separator: UInt8(ascii: ",")).compactMap { part in
            let range = Self.trimmed(part.startIndex..<part.endIndex) { self.bytes[$0] }
            return range.isEmpty ? nil : range
        }
    }

    private static func trimmed(_ range: Range<Int>, _ byte: (Int) -> UInt8) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, self.isBlank(byte(start)) { start += 1 }
        while start < end, self.isBlank(byte(end - 1)) { end -= 1 }
        return start..<end
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isControl(_ byte: UInt8) -> Bool {
        byte < 0x20 && byte != 0x09 || byte == 0x7F
    }

    private static func isToken(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    true
                default:
                    "!#$%&'*+.^_`|~".utf8.contains(byte)
                }
            }
    }
}
