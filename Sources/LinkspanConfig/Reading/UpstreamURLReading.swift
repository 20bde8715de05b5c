internal import LinkspanBridgeKit

/// URLs of outside brokers: `scheme://host[:port][/path]`.
enum UpstreamURLReading {
    /// - Parameter schemes: those of the broker's kind, with their ports.
    static func url(_ text: String, kind: String, schemes: [String: Int]) throws(ScalarProblem) -> UpstreamURL {
        // Credentials first: from here on no message may show the text before it is known to have none.
        guard !text.utf8.contains(UInt8(ascii: "@")) else {
            throw ScalarProblem(
                "user name and password do not belong in a URL",
                hint: "write username: and password: \"${file:/path}\" beside urls")
        }
        guard let separator = text.firstRange(of: "://") else {
            throw ScalarProblem(
                "expected a URL, found \(ScalarText.shown(text))", hint: "such as \(Self.example(schemes))")
        }
        let scheme = text[..<separator.lowerBound].lowercased()
        guard let defaultPort = schemes[scheme] else {
            throw ScalarProblem(
                "\(kind) is not reached by \(ScalarText.shown(scheme)) URLs",
                hint: "known: \(schemes.keys.sorted().joined(separator: ", "))")
        }
        let rest = text[separator.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let (host, port) = try Self.hostAndPort(String(authority), defaultPort: defaultPort)
        let path = rest.dropFirst(authority.count)
        guard !path.utf8.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) else {
            throw ScalarProblem(
                "a URL of \(kind) has no query", hint: "options stand below \(kind): in the same broker")
        }
        return UpstreamURL(scheme: scheme, host: host, port: port, path: try Self.path(String(path.dropFirst())))
    }

    private static func example(_ schemes: [String: Int]) -> String {
        let scheme = schemes.keys.min() ?? "mqtt"
        return "\(scheme)://127.0.0.1:\(schemes[scheme] ?? 1883)"
    }

    private static func hostAndPort(_ authority: String, defaultPort: Int) throws(ScalarProblem) -> (String, Int) {
        var host = Substring(authority)
        var portText: Substring?
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            host = authority[authority.index(after: authority.startIndex)..<end]
            portText = authority[end...].dropFirst().isEmpty ? nil : authority[end...].dropFirst(2)
        } else if let colon = authority.lastIndex(of: ":") {
            host = authority[..<colon]
            portText = authority[colon...].dropFirst()
        }
        guard TextShape.hostName.admits(String(host)), authority.hasPrefix("[") || !host.contains(":") else {
            throw ScalarProblem("expected a host name in the URL, found \(ScalarText.shown(String(host)))")
        }
        guard let portText else { return (String(host), defaultPort) }
        guard let port = UInt16(portText), port > 0 else {
            throw ScalarProblem(
                "expected a port from 1 to 65535 in the URL, found \(ScalarText.shown(String(portText)))")
        }
        return (String(host), Int(port))
    }

    /// Percent-decoded; nil for none and for a lone slash.
    private static func path(_ text: String) throws(ScalarProblem) -> String? {
        guard !text.isEmpty else { return nil }
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                throw ScalarProblem(
                    "bad percent escape in the path of the URL", hint: "write %25 for a percent sign, %2F for a slash")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let path = String(validating: bytes, as: UTF8.self) else {
            throw ScalarProblem("the path of the URL is not UTF-8")
        }
        return path
    }
}
