/// Where a SocketCluster server is: `ws://host[:port][/path][?query]`, or `wss://` with TLS.
public struct ClientURL: Hashable, Sendable, CustomStringConvertible {
    public var usesTLS: Bool
    public var host: String
    public var port: Int
    /// Path and query, as they are requested.
    public var target: String

    /// SocketCluster's own path, taken when a URL has none.
    public static let defaultTarget = "/socketcluster/"

    public init(usesTLS: Bool, host: String, port: Int, target: String = ClientURL.defaultTarget) {
        self.usesTLS = usesTLS
        self.host = host
        self.port = port
        self.target = target
    }

    /// - Throws: ``ClientError`` with code `badURL`, which never repeats credentials.
    public init(_ text: String) throws(ClientError) {
        let schemes: [(prefix: String, usesTLS: Bool, port: Int)] = [("ws://", false, 80), ("wss://", true, 443)]
        guard !text.utf8.contains(UInt8(ascii: "@")) else {
            throw ClientError(.badURL, "a URL with user name and password; SocketCluster knows only tokens (--token)")
        }
        guard let scheme = schemes.first(where: { text.lowercased().hasPrefix($0.prefix) }) else {
            throw ClientError(.badURL, "expected ws://host:port/ or wss://host:port/, found \"\(text)\"")
        }
        let rest = text.dropFirst(scheme.prefix.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let target = rest.dropFirst(authority.count).prefix { $0 != "#" }
        let (host, portText) = Self.split(authority)
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw ClientError(.badURL, "\"\(text)\" names no host")
        }
        guard let port = portText.map({ UInt16($0) }) ?? UInt16(scheme.port), port > 0 else {
            throw ClientError(.badURL, "\"\(text)\" has no port from 1 to 65535")
        }
        guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw ClientError(.badURL, "the path of \"\(text)\" has characters that must be percent escapes")
        }
        self.usesTLS = scheme.usesTLS
        self.host = String(host)
        self.port = Int(port)
        self.target =
            switch target.first {
            case nil: Self.defaultTarget
            case "?": Self.defaultTarget + target
            default: String(target)
            }
    }

    public var description: String {
        "\(self.usesTLS ? "wss" : "ws")://\(self.authority)\(self.target)"
    }

    /// As in a `Host` header: an IPv6 address in brackets, and the port.
    var authority: String {
        (self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]" : self.host) + ":\(self.port)"
    }

    private static func split(_ authority: Substring) -> (host: Substring, port: Substring?) {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            let after = authority[end...].dropFirst()
            return (authority[..<end].dropFirst(), after.hasPrefix(":") ? after.dropFirst() : nil)
        }
        guard let colon = authority.lastIndex(of: ":") else { return (authority, nil) }
        return (authority[..<colon], authority[colon...].dropFirst())
    }
}
