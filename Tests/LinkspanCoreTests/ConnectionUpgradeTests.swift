import LinkspanCore
import Testing

@Suite struct ConnectionUpgradeTests {
    private func judge(_ request: String, _ change: (inout ServerSettings) -> Void = { _ in }) -> UpgradeDecision? {
        var settings = ServerSettings()
        change(&settings)
        let lines = request.split(separator: "\r\n")
        let words = lines[0].split(separator: " ")
        let fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1)
            return HTTPField(name: String(parts[0]), value: String(parts[1].drop(while: { $0 == " " })))
        }
        let version = words[2].split(whereSeparator: { "/.".contains($0) }).compactMap { Int($0) }
        let head = RequestHead(
            method: String(words[0]), target: String(words[1]),
            version: HTTPVersion(major: version[0], minor: version[1]), fields: fields)
        return UpgradeRules(settings: settings).judge(head)
    }

    private func request(
        _ line: String = "GET /socketcluster/ HTTP/1.1", without removed: String? = nil, _ added: String...
    ) -> String {
        let fields =
            [
                "Host: a", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            ].filter { removed == nil || !$0.hasPrefix(removed!) } + added
        return ([line] + fields).joined(separator: "\r\n") + "\r\n\r\n"
    }

    private func status(_ decision: UpgradeDecision?) -> Int? {
        if case .refuse(let refusal)? = decision { refusal.status } else { nil }
    }

    @Test(arguments: ["/socketcluster/", "/socketcluster", "/socketcluster/?a=1&b[]=2"])
    func `an upgrade keeps the key that has to be answered`(target: String) {
        #expect(
            self.judge(self.request("GET \(target) HTTP/1.1"))
                == .upgrade(key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocol: nil, compression: nil))
    }

    @Test func `the first offered subprotocol is taken`() {
        #expect(
            self.judge(self.request("GET /socketcluster/ HTTP/1.1", "Sec-WebSocket-Protocol: aaa, bbb"))
                == .upgrade(key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocol: "aaa", compression: nil))
    }

    @Test(arguments: ["/", "/socketcluster/x", "/SocketCluster/", "/socketcluster//"])
    func `another path is a bad request`(path: String) {
        #expect(self.judge(self.request("GET \(path) HTTP/1.1")) == .refuse(.badRequest))
    }

    @Test func `a missing or odd key is a bad request, another version is told which one is spoken`() {
        #expect(self.judge(self.request(without: "Sec-WebSocket-Key")) == .refuse(.badRequest))
        #expect(
            self.judge(self.request(without: "Sec-WebSocket-Key", "Sec-WebSocket-Key: short")) == .refuse(.badRequest))
        let decision = self.judge(self.request(without: "Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"))
        guard case .refuse(let refusal)? = decision else {
            Issue.record("refused")
            return
        }
        #expect(refusal.status == 426)
        #expect(refusal.fields.contains { $0.name == "Sec-WebSocket-Version" && $0.value == "13" })
    }

    @Test func `a request names one host`() {
        #expect(self.judge(self.request(without: "Host")) == .refuse(.badRequest))
        #expect(self.judge(self.request("GET /socketcluster/ HTTP/1.1", "Host: b")) == .refuse(.badRequest))
    }

    @Test func `origins match whole and nothing else does`() {
        func judge(_ origin: String?) -> UpgradeDecision? {
            let request =
                origin.map { self.request("GET /socketcluster/ HTTP/1.1", "Origin: \($0)") } ?? self.request()
            return self.judge(request) { $0.origins = ["https://app.example.com", "http://other.com:8080"] }
        }
        #expect(self.status(judge("https://app.example.com")) == nil)
        #expect(self.status(judge("HTTPS://APP.example.com")) == nil)
        for origin in ["http://app.example.com", "https://app.example.com.evil.org", "http://other.com", "null", nil] {
            #expect(self.status(judge(origin)) == 403)
        }
        guard case .refuse(let refusal)? = judge("http://evil<b>.org") else {
            Issue.record("refused")
            return
        }
        #expect(refusal.body == "Failed to authorize socket handshake - Invalid origin: http://evilb.org")
    }

    @Test func `plain requests are told what this is`() {
        guard case .refuse(let refusal)? = self.judge("GET /socketcluster/ HTTP/1.1\r\nHost: a\r\n\r\n") else {
            Issue.record("refused")
            return
        }
        #expect(refusal.status == 426)
        #expect(refusal.body.contains("SocketCluster"))
        #expect(self.judge("GET /health HTTP/1.1\r\nHost: a\r\n\r\n") == .health(isHeadRequest: false))
        #expect(self.judge("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n") == .health(isHeadRequest: true))
        #expect(self.status(self.judge("POST /health HTTP/1.1\r\nHost: a\r\n\r\n")) == 405)
    }

    @Test(arguments: ["HTTP/1.0", "HTTP/0.9"])
    func `an upgrade in an older HTTP is told which one it takes`(version: String) {
        guard case .refuse(let refusal)? = self.judge(self.request("GET /socketcluster/ \(version)")) else {
            Issue.record("refused")
            return
        }
        #expect(refusal.status == 426)
        #expect(refusal.body.contains("HTTP/1.1"))
        #expect(refusal.fields == [HTTPField(name: "Upgrade", value: "websocket")])
        #expect(self.judge("GET /health \(version)\r\n\r\n") == .health(isHeadRequest: false))
    }

    @Test(arguments: ["Content-Length: 3", "Transfer-Encoding: chunked"])
    func `an upgrade with a body is a bad request`(field: String) {
        #expect(self.judge(self.request("GET /socketcluster/ HTTP/1.1", field)) == .refuse(.badRequest))
    }

    @Test func `fields are found whatever the case of their names, over several lines`() {
        let head = RequestHead(
            method: "GET", target: "/a?b?c",
            fields: [
                HTTPField(name: "List", value: "one, \t two,,"), HTTPField(name: "Other", value: "x"),
                HTTPField(name: "LIST", value: " Three"),
            ])
        #expect(head.path == "/a")
        #expect(head.query == "b?c")
        #expect(head.values(of: "list") == ["one, \t two,,", " Three"])
        #expect(head.tokens(of: "list") == ["one", "two", "Three"])
        #expect(head.has("list", token: "three"))
        #expect(!head.has("list", token: "x"))
        #expect(head.first("absent") == nil)
    }

    @Test func `socket identifiers are twenty characters that fit into an URL`() {
        var random = SystemRandomNumberGenerator()
        let identifiers = (0..<100).map { SocketID(counter: $0, using: &random).description }
        #expect(Set(identifiers).count == 100)
        #expect(
            identifiers.allSatisfy {
                $0.utf8.count == 20 && $0.allSatisfy { $0.isLetter || $0.isNumber || "-_".contains($0) }
            })
        #expect(identifiers[0].hasSuffix("AAAA"))
    }
}
