import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanMQTT

@Suite(.enabled(if: ServerKind.mosquitto.canBeTested), .timeLimit(.minutes(2)))
struct TLSTests {
    private static func server(
        _ pair: (TestCertificates) -> TestCertificates.Pair, requiresClientCertificate: Bool = false
    ) async throws -> (LocalServer, TestCertificates) {
        let certificates = try await TestCertificates.make()
        let server = try await LocalServer.mosquitto {
            $0.tls = (pair(certificates), authority: certificates.authority)
            $0.requiresClientCertificate = requiresClientCertificate
        }
        return (server, certificates)
    }

    private static func failure(_ tls: TLSFiles, _ upstream: UpstreamURL) async throws -> UpstreamError {
        try #require(await TestConversation(try MQTTBridge(settings: .mqtt(tls: tls)), upstream).end())
    }

    @Test(arguments: [Guarantee.atMostOnce, .atLeastOnce])
    func `messages go both ways over TLS`(guarantee: Guarantee) async throws {
        let (server, certificates) = try await Self.server(\.server)
        let bridge = try MQTTBridge(
            settings: .mqtt(guarantee: guarantee, tls: TLSFiles(authorities: certificates.authority)))
        let conversation = try await TestConversation.connected(bridge, server.tlsUpstream)
        try await conversation.subscribe(.exact("sc/a"))
        let large = String(repeating: "x", count: 100_000)
        for number in 0..<1000 {
            conversation.host.publish("sc/a", number % 100 == 0 ? large : "\(number)", header: .test(UInt64(number)))
        }
        let arrivals = try await conversation.arrivals(1000)
        #expect(arrivals.map(\.text) == (0..<1000).map { $0 % 100 == 0 ? large : "\($0)" })
        #expect(try await conversation.settled(upTo: 1000).count == 1000)
        try await conversation.stop()
    }

    @Test func `an authority that did not sign the certificate is not trusted`() async throws {
        let (server, certificates) = try await Self.server(\.untrusted)
        let error = try await Self.failure(TLSFiles(authorities: certificates.authority), server.tlsUpstream)
        #expect(error.code == .untrusted)
        #expect(error.message.contains("unable to get local issuer certificate"), "\(error)")
    }

    @Test func `the system's authorities do not know a private one`() async throws {
        let (server, _) = try await Self.server(\.server)
        let error = try await Self.failure(TLSFiles(), server.tlsUpstream)
        #expect(error.code == .untrusted)
    }

    @Test func `a certificate for another host is not trusted`() async throws {
        let (server, certificates) = try await Self.server(\.wrongHost)
        let error = try await Self.failure(TLSFiles(authorities: certificates.authority), server.tlsUpstream)
        #expect(error.code == .untrusted)
        #expect(error.message.contains("not for the host localhost"), "\(error)")
    }

    @Test func `an expired certificate is not trusted`() async throws {
        let (server, certificates) = try await Self.server(\.expired)
        let error = try await Self.failure(TLSFiles(authorities: certificates.authority), server.tlsUpstream)
        #expect(error.code == .untrusted)
        #expect(error.message.contains("expired"), "\(error)")
    }

    @Test func `a broker that asks for our certificate gets it`() async throws {
        let (server, certificates) = try await Self.server(\.server, requiresClientCertificate: true)
        let files = TLSFiles(
            authorities: certificates.authority, certificate: certificates.client.certificate,
            key: certificates.client.key)
        try await TestConversation.connected(try MQTTBridge(settings: .mqtt(tls: files)), server.tlsUpstream).stop()

        let error = try await Self.failure(TLSFiles(authorities: certificates.authority), server.tlsUpstream)
        #expect([.untrusted, .unreachable].contains(error.code), "\(error)")
    }

    @Test func `TLS to a plain port fails without a plain attempt`() async throws {
        let (server, certificates) = try await Self.server(\.server)
        let upstream = UpstreamURL(scheme: "mqtts", host: "localhost", port: server.port)
        let error = try await Self.failure(TLSFiles(authorities: certificates.authority), upstream)
        #expect([.untrusted, .unreachable].contains(error.code), "\(error)")
    }

    @Test func `a missing file is named`() async throws {
        let (server, _) = try await Self.server(\.server)
        let error = try await Self.failure(TLSFiles(authorities: "/nonexistent/ca.pem"), server.tlsUpstream)
        #expect(error.code == .untrusted)
        #expect(error.message.contains("/nonexistent/ca.pem"), "\(error)")
    }
}
