import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct ListenerTests {
    private func ask(_ request: String, _ address: SocketAddress) async throws -> String {
        let client = try await RawClient.connect(address)
        try await client.send(bytes: Array(request.utf8))
        guard case .response(let response) = try await client.next("answer") else {
            throw TimedOut(what: "an HTTP answer", limit: nil, seen: "\(client.log.events)")
        }
        return response
    }

    @Test func `health says who this is and how many clients there are`() async throws {
        try await withServer { server, address in
            let clients = [try await RawClient.ready(address), try await RawClient.ready(address)]
            let response = try await self.ask("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", address)
            #expect(response.hasPrefix("HTTP/1.1 200 OK\r\n"))
            #expect(response.contains("Content-Type: application/json\r\n"))
            let body =
                #"{"status":"ok","version":"\#(LinkspanVersion.current)","instance":"test-1","clients":2,"bridges":{}}"#
            #expect(response.hasSuffix("\r\n\r\n" + body))
            #expect(server.health.json == body)
            let head = try await self.ask("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n", address)
            #expect(head.hasSuffix("\r\n\r\n"))
            for client in clients { try await client.disconnect() }
        }
    }

    @Test func `a plain request learns what this is`() async throws {
        try await withServer { _, address in
            let response = try await self.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", address)
            #expect(response.hasPrefix("HTTP/1.1 426 Upgrade Required\r\n"))
            #expect(response.contains("ws://"))
        }
    }

    @Test func `an upgrade that a proxy turned into HTTP 1-0 is told so`() async throws {
        try await withServer { _, address in
            let request = RawClient.request().replacing("HTTP/1.1", with: "HTTP/1.0")
            let response = try await self.ask(request, address)
            #expect(response.hasPrefix("HTTP/1.1 426 Upgrade Required\r\n"))
            #expect(response.contains("\r\nConnection: close, Upgrade\r\n"))
            #expect(response.contains("proxy_http_version 1.1"))
            #expect(try await self.ask("GET /health HTTP/1.0\r\n\r\n", address).hasPrefix("HTTP/1.1 200 OK\r\n"))
        }
    }

    @Test func `an upgrade elsewhere is a bad request`() async throws {
        try await withServer { _, address in
            let response = try await self.ask(RawClient.request(path: "/other/"), address)
            #expect(response.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
            #expect(response.hasSuffix("\r\n\r\nBad Request"))
        }
    }

    @Test func `a foreign origin is refused with the text of SocketCluster`() async throws {
        try await withServer({ $0.origins = ["https://app.example.com"] }) { _, address in
            let response = try await self.ask(RawClient.request(fields: "Origin: http://evil.org\r\n"), address)
            #expect(response.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
            #expect(response.contains("Failed to authorize socket handshake - Invalid origin: http://evil.org"))
            _ = try await RawClient.open(address, fields: "Origin: https://app.example.com\r\n")
        }
    }

    @Test func `the first offered subprotocol is selected, and none when none was offered`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.connect(address)
            try await client.send(bytes: Array(RawClient.request(fields: "Sec-WebSocket-Protocol: aaa,bbb\r\n").utf8))
            guard case .response(let response) = try await client.next("upgrade") else { return }
            #expect(response.contains("Sec-WebSocket-Protocol: aaa\r\n"))
            #expect(response.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
            #expect(!response.contains("Sec-WebSocket-Extensions"))
        }
    }

    @Test(arguments: [
        "\u{16}\u{3}\u{1}\r\n\r\n", "GET / SPDY\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "G(T / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost a\r\n\r\n", "GET / HTTP/1.1\r\n: a\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: a\r\n\r\n", "GET / HTTP/1.1\r\nA: \u{1}\r\n\r\n",
    ])
    func `what is not HTTP is a bad request`(request: String) async throws {
        try await withServer { _, address in
            let response = try await self.ask(request, address)
            #expect(response.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        }
    }

    @Test func `a head that never ends is refused`() async throws {
        try await withServer { _, address in
            let long = "A: " + String(repeating: "a", count: 20_000)
            let many = String(repeating: "A: b\r\n", count: 200)
            for fields in [long, many] {
                let response = try await self.ask("GET / HTTP/1.1\r\n" + fields, address)
                #expect(response.hasPrefix("HTTP/1.1 431 "))
            }
        }
    }

    @Test func `a request that does not come in time is told so`() async throws {
        try await withServer({ $0.timing.handshakeTimeout = .seconds(5) }) { _, address in
            let client = try await RawClient.connect(address)
            try await client.send(bytes: Array("GET / HT".utf8))
            guard case .response(let response) = try await client.next("answer") else { return }
            #expect(response.hasPrefix("HTTP/1.1 408 "))
        }
    }

    @Test func `connections past the limit are refused, and health still answers`() async throws {
        try await withServer({ $0.limits.connections = 2 }) { server, address in
            let first = try await RawClient.ready(address)
            _ = try await RawClient.ready(address)
            let refusal = try await self.ask(RawClient.request(), address)
            #expect(refusal.hasPrefix("HTTP/1.1 503 "))
            let health = try await self.ask("GET /health HTTP/1.1\r\n\r\n", address)
            #expect(health.hasPrefix("HTTP/1.1 200 "))
            #expect(server.counters.connectionsRefused == 1)
            try await first.disconnect()
            _ = try await eventually("room for one more") { () -> RawClient? in
                let client = try await RawClient.connect(address)
                try await client.send(bytes: Array(RawClient.request().utf8))
                guard case .response(let response) = try await client.next("answer") else { return nil }
                return response.contains(" 101 ") ? client : nil
            }
        }
    }

    @Test func `frames that come with the upgrade request are not lost`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.connect(address)
            let handshake = ##"{"event":"#handshake","data":{},"cid":1}"##
            try await client.send(
                bytes: Array(RawClient.request().utf8) + RawClient.frame(.text, Array(handshake.utf8)))
            _ = try await client.nextText("answer") { $0.contains(#""rid":1"#) }
        }
    }

    @Test func `a request may come byte by byte`() async throws {
        try await withServer({ $0.timing.handshakeTimeout = .seconds(60) }) { _, address in
            let client = try await RawClient.connect(address)
            for byte in RawClient.request().utf8 { try await client.send(bytes: [byte]) }
            guard case .response(let response) = try await client.next("upgrade") else { return }
            #expect(response.hasPrefix("HTTP/1.1 101 "))
            try await client.shakesHands()
        }
    }

    @Test func `a port that is taken is a clear error`() async throws {
        try await withServer { _, address in
            var settings = ServerSettings()
            settings.host = "127.0.0.1"
            settings.port = address.port ?? 0
            settings.eventLoops = 1
            let second = LinkspanServer(settings: settings, instance: InstanceID("second")!, logger: .quiet)
            let error = await #expect(throws: ListenError.self) { try await second.run() }
            #expect(error?.description.contains("cannot listen on 127.0.0.1:\(settings.port)") == true)
            await #expect(throws: ListenError.self) { _ = try await second.address }
        }
    }

    @Test func `at the end clients are told to come back spread out`() async throws {
        var clients: [RawClient] = []
        try await withServer { _, address in
            for _ in 0..<5 { clients.append(try await RawClient.ready(address)) }
        }
        for client in clients { #expect(try await client.closeCode() == 4101) }
    }
}
