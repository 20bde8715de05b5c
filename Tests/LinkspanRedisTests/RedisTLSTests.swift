import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanRedis
import TestSupport
import Testing

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct RedisTLSTests {
    private static func start(
        _ pair: (TestCertificates) -> TestCertificates.Pair, asksForCertificate: Bool = false
    ) async throws -> (LocalServer, TestCertificates) {
        let certificates = try await TestCertificates.make()
        var options = ServerOptions()
        options.tls = (pair(certificates), authority: certificates.authority)
        options.requiresClientCertificate = asksForCertificate
        return (try await LocalServer.start(.redis, options), certificates)
    }

    @Test func `over TLS the bridge keeps the contract`() async throws {
        let (server, certificates) = try await Self.start(\.server)
        let settings = BridgeSettings(
            testing: RedisBridge.self, url: server.redisTLSURL, tls: TLSFiles(authorities: certificates.authority),
            options: RedisSide.patient)
        try await BridgeConformance(settings: settings) { try RedisBridge(settings: $0) }.runAll()
    }

    @Test func `an address is compared with the addresses in the certificate`() async throws {
        let (server, certificates) = try await Self.start(\.server)
        var url = server.redisTLSURL
        url.host = "127.0.0.1"
        let side = try RedisSide(url) { $0.tls.authorities = certificates.authority }
        try await side.conversation.wait(for: "a connection", atMost: .seconds(40)) { !$0.facts.isEmpty }
        await side.leave()
    }

    @Test func `a certificate of our own is given to a server that asks for it`() async throws {
        let (server, certificates) = try await Self.start(\.server, asksForCertificate: true)
        let side = try RedisSide(server.redisTLSURL) { settings in
            settings.tls = TLSFiles(
                authorities: certificates.authority, certificate: certificates.client.certificate,
                key: certificates.client.key)
        }
        try await side.conversation.wait(for: "a connection", atMost: .seconds(40)) { !$0.facts.isEmpty }
        await side.leave()
        let without = try RedisSide(server.redisTLSURL) { $0.tls.authorities = certificates.authority }
        let error = try await without.upstreamError()
        #expect(error.code == .untrusted, "\(error)")
        #expect(!error.message.contains("OPENSSL_internal"), "\(error.message)")
    }

    @Test(arguments: ["unknown authority", "wrong host", "expired", "other authority", "no such file"])
    func `a server that cannot be trusted is not spoken to`(fault: String) async throws {
        let (server, certificates) = try await Self.start { certificates in
            switch fault {
            case "wrong host": certificates.wrongHost
            case "expired": certificates.expired
            case "unknown authority": certificates.untrusted
            default: certificates.server
            }
        }
        let side = try RedisSide(server.redisTLSURL) { settings in
            switch fault {
            case "other authority": settings.tls.authorities = certificates.otherAuthority
            case "no such file": settings.tls.authorities = "/no/such/file.pem"
            default: settings.tls.authorities = certificates.authority
            }
            settings.password = Secret("never sent")
        }
        let error = try await side.upstreamError()
        #expect(error.code == .untrusted, "\(error)")
        let words =
            switch fault {
            case "no such file": "the files for TLS"
            case "wrong host": "TLS failed: the certificate is not for this host"
            default: "TLS failed: the certificate is expired, or of no authority that is trusted"
            }
        #expect(error.message.contains(words), "\(error.message)")
        #expect(!error.message.contains("never sent"))
    }

    @Test func `a port that does not speak TLS is unreachable in bounded time`() async throws {
        let server = try await LocalServer.start(.redis)
        var url = server.redisURL
        url.scheme = "rediss"
        let side = try RedisSide(url) { $0.options["connect_timeout"] = .duration(.milliseconds(500)) }
        #expect(try await side.upstreamError().code == .unreachable)
    }
}
