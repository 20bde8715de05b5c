/// What ties an answer to its request: `cid` of a request, `rid` of its answer.
public enum CallID: Hashable, Sendable {
    case integer(Int64)
    /// The JSON text of any other number (`1.5`, `1e3`) or of a string with its quotes; echoed byte for byte.
    case literal(String)

    /// SocketCluster 18.1 and later answers numbers only; release 14 answers strings too.
    public var isNumber: Bool {
        switch self {
        case .integer: true
        case .literal(let text): text.utf8.first != UInt8(ascii: "\"")
        }
    }

    /// Longer literals count as absent: nobody's counter is that long, and an echo costs memory.
    public static let maximumLiteralLength = 128

    /// Nil unless `value` is a number or a string of at most ``maximumLiteralLength`` bytes.
    init?(_ value: JSONValue, base: UnsafePointer<UInt8>) {
        switch value.kind {
        case .number:
            if let integer = value.integer(base: base) {
                self = .integer(integer)
                return
            }
        case .string:
            break
        case .object, .array, .boolean, .null:
            return nil
        }
        guard value.range.count <= Self.maximumLiteralLength else { return nil }
        self = .literal(
            String(
                decoding: UnsafeBufferPointer(start: base + value.range.lowerBound, count: value.range.count),
                as: UTF8.self))
    }
}

extension CallID: ExpressibleByIntegerLiteral, CustomStringConvertible {
    public init(integerLiteral value: Int64) {
        self = .integer(value)
    }

    public var description: String {
        switch self {
        case .integer(let value): String(value)
        case .literal(let text): text
        }
    }
}
