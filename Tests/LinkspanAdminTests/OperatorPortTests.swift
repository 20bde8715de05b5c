import AsyncHTTPClient
import LinkspanAdmin
import LinkspanBridgeKit
import LinkspanCore
import Logging
import NIOCore
import NIOHTTP1
import Testing

@testable import LinkspanServer

/// A real port on loopback, asked over HTTP.
struct OperatorPortTests {
    private static let key = "0123456789abcdef0123456789abcdef"

    @Test func `live and ready need no key, everything else does`() async throws {
        try await Self.serving(.with([.busy("plant")])) { url, _ in
            let live = try await Self.ask(url, "live", key: nil)
            #expect(live.status == .ok)
            #expect(try await Self.ask(url, "ready", key: nil).status == .ok)
            for path in ["status", "metrics", "explain?channel=a"] {
                for key in [nil, "", Self.key + "0", String(Self.key.dropLast()), Self.key.uppercased()] {
                    #expect(try await Self.ask(url, path, key: key).status == .unauthorized)
                }
                #expect(try await Self.ask(url, path).status == .ok)
            }
            #expect(try await Self.ask(url, "publish", key: nil, body: "{\"channel\":\"a\"}").status == .unauthorized)
            #expect(try await Self.ask(url, "nowhere").status == .notFound)
        }
    }

    @Test(arguments: [
        ("live", HTTPMethod.POST, "GET, HEAD"), ("ready", .DELETE, "GET, HEAD"), ("status", .PUT, "GET, HEAD"),
        ("metrics", .PATCH, "GET, HEAD"), ("explain/", .POST, "GET, HEAD"), ("publish", .GET, "POST"),
        ("revoke", .HEAD, "POST"),
    ])
    func `a method that a path does not have is told which it has`(
        _ path: String, _ method: HTTPMethod, _ allowed: String
    ) async throws {
        try await Self.serving(.with([])) { url, _ in
            var request = HTTPClientRequest(url: "\(url)/\(path)")
            request.method = method
            let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
            #expect(answer.status == .methodNotAllowed)
            #expect(answer.headers["allow"] == [allowed])
        }
    }

    @Test func `what can be got can be asked for without its body`() async throws {
        try await Self.serving(.with([])) { url, _ in
            var request = HTTPClientRequest(url: "\(url)/live")
            request.method = .HEAD
            let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
            #expect(answer.status == .ok)
            #expect(try await answer.body.collect(upTo: 100).readableBytes == 0)
        }
    }

    @Test(arguments: [
        ("Bearer", HTTPResponseStatus.ok), ("bearer", .ok), ("BEARER", .ok), ("Basic", .unauthorized),
        ("", .unauthorized),
    ])
    func `the scheme of the key is written in any case`(_ scheme: String, _ status: HTTPResponseStatus) async throws {
        try await Self.serving(.with([])) { url, _ in
            let answer = try await Self.ask(url, "status", scheme: scheme)
            #expect(answer.status == status)
        }
    }

    @Test func `an instance whose required bridge is away is live and not ready`() async throws {
        try await Self.serving(.with([.busy("plant", isRequired: true, state: .waiting)])) { url, _ in
            #expect(try await Self.ask(url, "live", key: nil).status == .ok)
            let answer = try await Self.ask(url, "ready", key: nil)
            #expect(answer.status == .serviceUnavailable)
            #expect(!answer.body.contains("plant"))
        }
    }

    @Test func `status and metrics are those of the snapshot`() async throws {
        let snapshot = OperatorSnapshot.with([.busy("plant")])
        try await Self.serving(snapshot) { url, _ in
            let status = try await Self.ask(url, "status").body
            #expect(try StatusReport(json: Array(status.utf8)) == StatusReport(snapshot))
            #expect(try await Self.ask(url, "metrics").body == MetricsText(snapshot).text)
        }
    }

    @Test func `a channel is explained, whatever its name is`() async throws {
        try await Self.serving(.with([])) { url, _ in
            let answer = try await Self.ask(url, "explain?channel=a%2Fb%20%22%26%C3%A9")
            let report = try ExplainReport(json: Array(answer.body.utf8))
            #expect(report.channel == "a/b \"&é")
            #expect(
                report.text == """
                    a/b "&é

                    plant  mqtt hub
                      name  sc/a/b "&é
                      out   at_most_once, what is published here, and what comes by other, up to 4 hops
                      in    no: direction out
                    """)
            #expect(try await Self.ask(url, "explain").status == .badRequest)
            let long = String(repeating: "a", count: 2000)
            #expect(try await Self.ask(url, "explain?channel=\(long)").status == .badRequest)
        }
    }

    @Test func `a publish raises the publish event and leaves by the bridges`() async throws {
        try await Self.serving(.with([])) { url, server in
            var events = server.broker.events().makeAsyncIterator()
            let answer = try await Self.ask(url, "publish", body: "{\"channel\":\"news\",\"data\":{\"a\":1}}")
            #expect(answer.status == .accepted)
            guard case .publish(let publish)? = await events.next() else {
                Issue.record("another event, or none")
                return
            }
            #expect(publish.channel == "news")
            #expect(String(buffer: publish.data) == "{\"a\":1}")
        }
    }

    @Test func `a bad or too large publish is refused with its reason`() async throws {
        try await Self.serving(.with([])) { url, _ in
            let bad = try await Self.ask(url, "publish", body: "{\"data\":1}")
            #expect(bad.status == .badRequest)
            #expect(bad.body == "{\"error\":\"channel is missing, or no string\"}\n")
            let large = "{\"channel\":\"a\",\"data\":\"\(String(repeating: "x", count: 4000))\"}"
            #expect(try await Self.ask(url, "publish", body: large).status == .payloadTooLarge)
            let most = "{\"channel\":\"a\",\"data\":\"\(String(repeating: "x", count: 1022))\"}"
            #expect(try await Self.ask(url, "publish", body: most).status == .accepted)
            // No instance would take this from a broker.
            let more = "{\"channel\":\"a\",\"data\":\"\(String(repeating: "x", count: 1023))\"}"
            let refusal = try await Self.ask(url, "publish", body: more)
            #expect(refusal.status == .payloadTooLarge)
            #expect(refusal.body == "{\"error\":\"data is larger than 1024 bytes\"}\n")
        }
        try await Self.serving(.with([], isListening: false)) { url, _ in
            let answer = try await Self.ask(url, "publish", body: "{\"channel\":\"a\"}")
            #expect(answer.status == .serviceUnavailable)
        }
    }

    @Test func `a revocation needs the key, is refused with its reason, and tells how many it ended`() async throws {
        try await Self.serving(.with([])) { url, _ in
            #expect(try await Self.ask(url, "revoke", key: nil, body: "{\"user\":\"ann\"}").status == .unauthorized)
            let bad = try await Self.ask(url, "revoke", body: "{\"user\":1}")
            #expect(bad.status == .badRequest)
            #expect(bad.body == "{\"error\":\"user is no string, or empty\"}\n")
            let large = "{\"user\":\"\(String(repeating: "x", count: 70_000))\"}"
            #expect(try await Self.ask(url, "revoke", body: large).status == .payloadTooLarge)
            let none = try await Self.ask(url, "revoke", body: "{\"token\":\"t-1\"}")
            #expect(none.status == .ok)
            #expect(none.body == "{\"closed\":0}\n")
        }
    }

    @Test func `a port that is taken is told`() async throws {
        try await Self.serving(.with([])) { url, server in
            let taken = try #require(Int(url.split(separator: ":").last ?? ""))
            let error = await #expect(throws: OperatorListenError.self) {
                try await Self.port(.with([]), server, port: taken) { _ in }.run()
            }
            #expect(error?.port == taken)
        }
    }

    // MARK: Support

    private static func port(
        _ snapshot: OperatorSnapshot, _ server: LinkspanServer, port: Int = 0,
        listening: @escaping @Sendable (SocketAddress) -> Void
    ) -> OperatorPort {
        var settings = OperatorSettings(key: Secret(self.key))
        settings.port = port
        var limits = LimitSettings()
        limits.messageBytes = 1024
        return OperatorPort(
            settings: settings, limits: limits, broker: server.broker, logger: Self.quiet,
            revoke: { await server.revoke($0) }, snapshot: { snapshot },
            routes: { channel in
                [
                    ChannelRoute(
                        bridge: "plant", broker: "hub", kind: "mqtt", name: "sc/\(channel)", egress: .carried,
                        ingress: .notCarried("direction out"), guarantee: .atMostOnce, interest: .always,
                        carriesOnward: ["other"], maximumHops: 4, isMirrored: false)
                ]
            }, listening: listening)
    }

    private static func serving(
        _ snapshot: OperatorSnapshot, _ body: (_ url: String, LinkspanServer) async throws -> Void
    ) async throws {
        var settings = ServerSettings()
        settings.host = "127.0.0.1"
        settings.port = 0
        settings.eventLoops = 1
        let server = LinkspanServer(settings: settings, instance: snapshot.instance, logger: Self.quiet)
        let serving = Task { try await server.run() }
        _ = try await server.address
        let (addresses, continuation) = AsyncStream.makeStream(of: SocketAddress.self)
        let port = Self.port(snapshot, server) { continuation.yield($0) }
        let asking = Task {
            defer { continuation.finish() }
            try await port.run()
        }
        let result: Result<Void, any Error>
        do {
            var iterator = addresses.makeAsyncIterator()
            let number = try #require(await iterator.next()?.port)
            try await body("http://127.0.0.1:\(number)", server)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        asking.cancel()
        serving.cancel()
        _ = await asking.result
        _ = await serving.result
        try result.get()
    }

    private static func ask(
        _ url: String, _ path: String, scheme: String = "Bearer", key: String? = Self.key, body: String? = nil
    ) async throws -> (status: HTTPResponseStatus, body: String) {
        var request = HTTPClientRequest(url: "\(url)/\(path)")
        if let key { request.headers.add(name: "Authorization", value: "\(scheme) \(key)") }
        if let body {
            request.method = .POST
            request.body = .bytes(ByteBuffer(string: body))
        }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
        return (response.status, String(buffer: try await response.body.collect(upTo: 1 << 20)))
    }

    private static var quiet: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }
}
