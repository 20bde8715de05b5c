internal import LinkspanWire

/// What the answer to a handshake says; whatever is missing or of another type counts as not said.
struct HandshakeAnswer {
    var pingTimeout: Duration?
    var isAuthenticated = false
    var authError: String?

    init(_ data: JSONValue?, in text: RawSpan) {
        guard let data, data.kind == .object else { return }
        var answer = self
        try? JSONScanner().forEachMember(of: data, in: text) { key, member in
            if key.equals("pingTimeout", in: text), let milliseconds = member.integer(in: text) {
                // A server may tell anything; a day is more than anybody waits.
                answer.pingTimeout = .milliseconds(min(max(milliseconds, 1), 86_400_000))
            } else if key.equals("isAuthenticated", in: text) {
                answer.isAuthenticated = member.boolean(in: text) ?? false
            } else if key.equals("authError", in: text), member.kind != .null {
                answer.authError = ErrorText.describe(member, in: text)
            }
        }
        self = answer
    }
}

/// The words of an error that a server sent: normally an object with `message` and `name`, else any JSON.
enum ErrorText {
    static let limit = 500

    static func describe(_ value: JSONValue, in text: RawSpan) -> String {
        if let string = value.string { return String(string.string(in: text).prefix(Self.limit)) }
        var name: String?
        var message: String?
        if value.kind == .object {
            try? JSONScanner().forEachMember(of: value, in: text) { key, member in
                if key.equals("name", in: text) { name = member.string?.string(in: text) }
                if key.equals("message", in: text) { message = member.string?.string(in: text) }
            }
        }
        let described = [name, message].compactMap(\.self).joined(separator: ": ")
        return described.isEmpty ? "an error without a message" : String(described.prefix(Self.limit))
    }
}
