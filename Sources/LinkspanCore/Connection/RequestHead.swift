/// Which HTTP a request is written in.
public struct HTTPVersion: Sendable, Hashable, Comparable {
    public var major: Int
    public var minor: Int

    public static let http11 = HTTPVersion(major: 1, minor: 1)

    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    public static func < (one: HTTPVersion, other: HTTPVersion) -> Bool {
        (one.major, one.minor) < (other.major, other.minor)
    }
}

/// The head of the HTTP request that opens a connection (RFC 9112), as far as ``UpgradeRules`` and the application look at it.
public struct RequestHead: Sendable, Hashable {
    public let method: String
    /// The request target without its query.
    public let path: String
    /// What follows `?`, not decoded; nil without one.
    public let query: String?
    public let version: HTTPVersion
    /// In order, names as they were written and values without surrounding blanks.
    public let fields: [HTTPField]

    public init(method: String, target: String, version: HTTPVersion = .http11, fields: [HTTPField]) {
        self.method = method
        self.version = version
        let mark = target.utf8.firstIndex(of: UInt8(ascii: "?"))
        self.path = mark.map { String(target[..<$0]) } ?? target
        self.query = mark.map { String(target[target.utf8.index(after: $0)...]) }
        self.fields = fields
    }

    /// All values of a field, in order; empty when it is absent.
    public func values(of name: StaticString) -> [String] {
        self.fields.compactMap { Self.isSame($0.name.utf8, name) ? $0.value : nil }
    }

    /// The first value of a field; nil when it is absent.
    public func first(_ name: StaticString) -> String? {
        self.fields.first { Self.isSame($0.name.utf8, name) }?.value
    }

    /// Whether one of the comma-separated elements of a field is `token`, whatever its case.
    public func has(_ name: StaticString, token: StaticString) -> Bool {
        self.fields.contains { field in
            guard Self.isSame(field.name.utf8, name) else { return false }
            return Self.isSame(field.value.utf8, token)
                || Self.elements(of: field.value).contains { Self.isSame($0.utf8, token) }
        }
    }

    /// The comma-separated elements of a field, over all its lines, without surrounding blanks.
    public func tokens(of name: StaticString) -> [String] {
        self.values(of: name).flatMap { Self.elements(of: $0).map(String.init) }
    }

    private static func elements(of value: String) -> [Substring] {
        value.utf8.split(separator: UInt8(ascii: ",")).map { Self.trimmed(Substring($0)) }.filter { !$0.isEmpty }
    }

    /// Without blanks (RFC 9110 5.6.3) around it.
    static func trimmed(_ text: Substring) -> Substring {
        var bytes = text.utf8
        while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
        return Substring(bytes)
    }

    /// Compares the letters of ASCII without their case.
    private static func isSame(_ text: some Collection<UInt8>, _ name: StaticString) -> Bool {
        guard text.count == name.utf8CodeUnitCount else { return false }
        var next = name.utf8Start
        for byte in text {
            if Self.lowercased(byte) != Self.lowercased(next.pointee) { return false }
            next += 1
        }
        return true
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
