/// What was agreed on with a client that offered permessage-deflate (RFC 7692).
///
/// Neither side keeps its context from one message to the next. That is what lets one compressed form of a publish serve all subscribers,
/// and it leaves a connection without any state of its own.
public struct CompressionAgreement: Sendable, Hashable {
    /// Whether the client limited our window, and wants to read that we keep to it.
    public var namesWindow: Bool

    /// The window of everything that is compressed here: 4 KiB, which is what the most frugal of the usual clients ask for. One that needs a
    /// smaller one goes without compression.
    public static let windowBits = 12

    /// The value of our `Sec-WebSocket-Extensions`.
    public var field: String {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            + (self.namesWindow ? "; server_max_window_bits=\(Self.windowBits)" : "")
    }

    /// The first offer that can be accepted, in the order of the client's preference; nil when there is none.
    /// - Parameter fields: values of `Sec-WebSocket-Extensions`, in order.
    public init?(fields: [String]) {
        for field in fields {
            for offer in Self.split(field[...], at: UInt8(ascii: ",")) {
                if let agreement = Self(offer: offer) {
                    self = agreement
                    return
                }
            }
        }
        return nil
    }

    /// Declines an offer with a parameter that is unknown, repeated or has a value it must not have (RFC 7692 7.1).
    private init?(offer: Substring) {
        var parts = Self.split(offer, at: UInt8(ascii: ";")).map(Self.trimmed)[...]
        guard parts.popFirst()?.lowercased() == "permessage-deflate" else { return nil }
        self.namesWindow = false
        var seen: Set<String> = []
        for part in parts {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(Self.trimmed)
            let name = sides[0].lowercased()
            guard seen.insert(name).inserted else { return nil }
            let value = sides.count > 1 ? Self.unquoted(sides[1]) : nil
            switch name {
            case "server_no_context_takeover", "client_no_context_takeover":
                if value != nil { return nil }
            case "client_max_window_bits":
                // We inflate with the largest window, so whatever the client uses fits.
                if let value, Self.windowBits(value) == nil { return nil }
            case "server_max_window_bits":
                guard let value, let bits = Self.windowBits(value), bits >= Self.windowBits else { return nil }
                self.namesWindow = true
            default: return nil
            }
        }
    }

    private static func windowBits(_ value: Substring) -> Int? {
        guard let bits = Int(value), (8...15).contains(bits), String(bits) == value else { return nil }
        return bits
    }

    /// Apart from separators between quotes (RFC 6455 9.1).
    private static func split(_ text: Substring, at separator: UInt8) -> [Substring] {
        var isQuoted = false
        return text.utf8.split(omittingEmptySubsequences: true) { byte in
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            return byte == separator && !isQuoted
        }.map { Substring($0) }
    }

    private static func unquoted(_ value: Substring) -> Substring {
        guard value.utf8.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") else { return value }
        return value.dropFirst().dropLast()
    }

    private static func trimmed(_ text: Substring) -> Substring { RequestHead.trimmed(text) }
}
