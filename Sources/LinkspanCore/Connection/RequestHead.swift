/// The head of one HTTP/1 request, as far as a WebSocket listener needs it (RFC 9112).
///
/// One is read per connection, and never a body: what follows the head belongs to the WebSocket.
public struct RequestHead: Sendable, Hashable {
    public struct Field: Sendable, Hashable {
        /// Lower case.
        public var name: String
        public var value: String
    }

    public var method: String
    /// The request target without its query.
    public var path: String
    /// What follows `?`, not decoded; nil without one.
    public var query: String?
    public var fields: [Field]

    /// All values of a field, in order; empty when it is absent.
    public func values(of name: String) -> [String] {
        self.fields.lazy.filter { $0.name == name }.map(\.value)
    }

    public func first(_ name: String) -> String? {
        self.fields.first { $0.name == name }?.value
    }

    /// Whether one of the comma-separated tokens of a field is `token`, whatever its case.
    public func has(_ name: String, token: String) -> Bool {
        self.tokens(of: name).contains { $0.lowercased() == token }
    }

    /// The comma-separated elements of a field, over all its lines, without surrounding blanks.
    public func tokens(of name: String) -> [Substring] {
        self.values(of: name).flatMap { value in
            value.split(separator: ",").map(Self.trimmed).filter { !$0.isEmpty }
        }
    }

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
        // Latin-1 and control characters have no place in a head that we act upon.
        guard let text = String(validating: bytes[..<(end - 2)], as: UTF8.self) else { return .malformed }
        var lines = text.utf8.split(separator: UInt8(ascii: "\n")).makeIterator()
        guard let first = lines.next(), var head = self.requestLine(self.withoutReturn(first)) else {
            return .malformed
        }
        while let line = lines.next() {
            guard head.fields.count < self.fieldLimit else { return .tooLarge }
            guard let field = self.field(self.withoutReturn(line)) else { return .malformed }
            head.fields.append(field)
        }
        return .complete(head, byteCount: end)
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

    private static func requestLine(_ line: Substring.UTF8View?) -> RequestHead? {
        guard let line else { return nil }
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, Self.isToken(parts[0]), !parts[1].isEmpty, !parts[1].contains(where: Self.isControl)
        else {
            return nil
        }
        let version = Substring(parts[2])
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else { return nil }
        let target = parts[1]
        let mark = target.firstIndex(of: UInt8(ascii: "?"))
        return RequestHead(
            method: String(Substring(parts[0])), path: String(Substring(target[..<(mark ?? target.endIndex)])),
            query: mark.map { String(Substring(target[target.index(after: $0)...])) }, fields: [])
    }

    private static func field(_ line: Substring.UTF8View?) -> Field? {
        guard let line, let colon = line.firstIndex(of: UInt8(ascii: ":")), self.isToken(line[..<colon]) else {
            return nil
        }
        let value = self.trimmed(Substring(line[line.index(after: colon)...]))
        guard !value.utf8.contains(where: Self.isControl) else { return nil }
        return Field(name: Substring(line[..<colon]).lowercased(), value: String(value))
    }

    /// Nil for a line that ends in a bare line feed.
    private static func withoutReturn(_ line: Substring.UTF8View) -> Substring.UTF8View? {
        line.last == 0x0D ? line.dropLast() : nil
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.utf8.first, first == 0x20 || first == 0x09 { text = text.dropFirst() }
        while let last = text.utf8.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return text
    }

    private static func isControl(_ byte: UInt8) -> Bool {
        byte < 0x20 && byte != 0x09 || byte == 0x7F
    }

    private static func isToken(_ bytes: Substring.UTF8View) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default:
                    "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}
