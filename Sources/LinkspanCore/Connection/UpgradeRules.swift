/// What a listener does with the one HTTP request that opens a connection.
public enum UpgradeDecision: Sendable, Hashable {
    /// Switch to WebSocket: the `Sec-WebSocket-Key` to answer and, if they were offered, subprotocol and compression.
    case upgrade(key: String, subprotocol: String?, compression: CompressionAgreement?)
    /// Answer with the health of this instance.
    case health(isHeadRequest: Bool)
    case refuse(UpgradeRefusal)
}

/// A field of an HTTP answer.
public struct HTTPField: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// An HTTP answer that ends the connection.
public struct UpgradeRefusal: Sendable, Hashable {
    public var status: Int
    public var reason: String
    public var body: String
    /// `Content-Type` of `body`; SocketCluster's own refusals say `text/html`, and their texts never hold markup of a peer's choice.
    public var contentType = "text/plain; charset=utf-8"
    public var fields: [HTTPField] = []

    public init(status: Int, reason: String, body: String, contentType: String? = nil, fields: [HTTPField] = []) {
        self.status = status
        self.reason = reason
        self.body = body
        if let contentType { self.contentType = contentType }
        self.fields = fields
    }

    public static let badRequest = UpgradeRefusal(
        status: 400, reason: "Bad Request", body: "Bad Request", contentType: "text/html")
    public static let headTooLarge = UpgradeRefusal(
        status: 431, reason: "Request Header Fields Too Large", body: "Request Header Fields Too Large")
    public static let full = UpgradeRefusal(
        status: 503, reason: "Service Unavailable", body: "Too many connections; try again later.",
        fields: [HTTPField(name: "Retry-After", value: "10")])
}

/// Which upgrade requests a listener accepts (RFC 6455 4.2; section 1 of the protocol's description for path, origin and subprotocol).
public struct UpgradeRules: Sendable, Hashable {
    private let path: String
    private let origins: Set<String>
    private let compresses: Bool

    public init(settings: ServerSettings) {
        self.path = Self.withoutTrailingSlash(settings.path)
        self.origins = Set(settings.origins.map { $0.lowercased() })
        self.compresses = settings.compression != nil
    }

    public func judge(_ head: RequestHead) -> UpgradeDecision {
        guard head.method == "GET", head.has("upgrade", token: "websocket"), head.has("connection", token: "upgrade")
        else {
            return self.judgePlain(head)
        }
        guard head.version >= .http11 else { return .refuse(Self.oldHTTP) }
        guard head.values(of: "host").count == 1, Self.withoutTrailingSlash(head.path) == self.path else {
            return .refuse(.badRequest)
        }
        guard head.first("sec-websocket-version") == "13" else { return .refuse(Self.wrongVersion) }
        let keys = head.values(of: "sec-websocket-key")
        guard keys.count == 1, Self.isKey(keys[0]) else { return .refuse(.badRequest) }
        if let refusal = self.judgeOrigin(head) { return .refuse(refusal) }
        // What follows the head of an upgrade belongs to the WebSocket; a body would be taken for frames.
        if let length = head.first("content-length"), length != "0" { return .refuse(.badRequest) }
        guard head.first("transfer-encoding") == nil else { return .refuse(.badRequest) }
        return .upgrade(
            key: keys[0], subprotocol: head.tokens(of: "sec-websocket-protocol").first,
            compression: self.compresses
                ? CompressionAgreement(fields: head.values(of: "sec-websocket-extensions")) : nil)
    }

    private func judgePlain(_ head: RequestHead) -> UpgradeDecision {
        guard head.path == "/health" else { return .refuse(self.hint) }
        switch head.method {
        case "GET": return .health(isHeadRequest: false)
        case "HEAD": return .health(isHeadRequest: true)
        default:
            return .refuse(
                UpgradeRefusal(
                    status: 405, reason: "Method Not Allowed", body: "Ask for /health with GET.",
                    fields: [HTTPField(name: "Allow", value: "GET, HEAD")]))
        }
    }

    /// Origins are compared whole: host names that merely contain an allowed one do not pass.
    private func judgeOrigin(_ head: RequestHead) -> UpgradeRefusal? {
        if self.origins.isEmpty { return nil }
        let origin = head.first("origin")
        if let origin, self.origins.contains(origin.lowercased()) { return nil }
        let shown = (origin ?? "*").filter { !"<>&\"'".contains($0) }
        return UpgradeRefusal(
            status: 403, reason: "Forbidden", body: "Failed to authorize socket handshake - Invalid origin: \(shown)",
            contentType: "text/html")
    }

    private var hint: UpgradeRefusal {
        UpgradeRefusal(
            status: 426, reason: "Upgrade Required",
            body: """
                This is Linkspan, a SocketCluster channel server; it speaks WebSocket here.
                Connect a SocketCluster client to ws://<this host and port>\(self.path)/
                The state of the server is at /health.

                """,
            fields: [HTTPField(name: "Upgrade", value: "websocket")])
    }

    /// RFC 6455 4.1 wants HTTP/1.1, and RFC 9110 7.8 forbids to upgrade anything older.
    private static let oldHTTP = UpgradeRefusal(
        status: 426, reason: "Upgrade Required",
        body: """
            A WebSocket is opened with HTTP/1.1; this request came with an older one.
            A proxy in between may have changed it (nginx does unless it is told: proxy_http_version 1.1;).

            """,
        fields: [HTTPField(name: "Upgrade", value: "websocket")])

    private static let wrongVersion = UpgradeRefusal(
        status: 426, reason: "Upgrade Required", body: "WebSocket version 13 is spoken here (RFC 6455).",
        fields: [
            HTTPField(name: "Upgrade", value: "websocket"),
            HTTPField(name: "Sec-WebSocket-Version", value: "13"),
        ])

    private static func withoutTrailingSlash(_ path: String) -> String {
        path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    /// Sixteen bytes in base64: 22 digits and `==`.
    private static func isKey(_ key: String) -> Bool {
        let bytes = Array(key.utf8)
        return bytes.count == 24 && bytes.suffix(2) == Array("==".utf8)[...]
            && bytes.prefix(22).allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                    true
                default: false
                }
            }
    }
}
