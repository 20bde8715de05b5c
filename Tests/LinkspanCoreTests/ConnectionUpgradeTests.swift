import LinkspanCore
import Testing

@Suite struct ConnectionUpgradeTests {
    private func judge(_ request: String, _ change: (inout ServerSettings) -> Void = { _ in }) -> UpgradeDecision? {
        var settings = ServerSettings()
        change(&settings)
        let bytes = Array(request.utf8)
        guard case .complete(let head, let count) = bytes.withUnsafeBytes({ RequestHead.parse($0) }),
            count == bytes.count
        else {
            return nil
        }
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
    func `an upgrade gets the accept value of RFC 6455`(target: String) {
        #expect(
            self.judge(self.request("GET \(target) HTTP/1.1"))
                == .upgrade(accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", subprotocol: nil))
    }

    @Test func `the first offered subprotocol is taken`() {
        #expect(
            self.judge(self.request("GET /socketcluster/ HTTP/1.1", "Sec-WebSocket-Protocol: aaa, bbb"))
                == .upgrade(accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", subprotocol: "aaa"))
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

    @Test(arguments: [
        "GET /  HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET /\r\n\r\n", "G(T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost a\r\n\r\n", "GET / HTTP/1.1\r\n: a\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nA: \u{1}\r\n\r\n",
    ]) func `what is not HTTP is malformed`(request: String) {
        #expect(Array(request.utf8).withUnsafeBytes { RequestHead.parse($0) } == .malformed)
    }

    @Test func `a head is incomplete byte by byte until its end, and bounded`() {
        let bytes = Array(self.request().utf8)
        for count in 0..<bytes.count {
            #expect(bytes[..<count].withUnsafeBytes { RequestHead.parse($0) } == .incomplete)
        }
        let long = Array(("GET / HTTP/1.1\r\nA: " + String(repeating: "a", count: RequestHead.byteLimit)).utf8)
        #expect(long.withUnsafeBytes { RequestHead.parse($0) } == .tooLarge)
        let many = Array(("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 200) + "\r\n").utf8)
        #expect(many.withUnsafeBytes { RequestHead.parse($0) } == .tooLarge)
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
