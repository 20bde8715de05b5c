import LinkspanAMQP
import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanBridgeTesting

@Suite(.enabled(if: ServerKind.rabbitMQ.canBeTested))
struct TLSTests {
    private func settings(port: Int, host: String = "localhost", authority: String?) -> BridgeSettings {
        BridgeSettings(
            testing: AMQPBridge.self, url: UpstreamURL(scheme: "amqps", host: host, port: port),
            username: "guest", password: Secret("guest"), tls: TLSFiles(authorities: authority))
    }

    @Test func `a trusted broker converses over TLS, with a password and with a certificate`() async throws {
        let certificates = try await TestCertificates.make()
        var options = ServerOptions()
        options.tls = (certificates.server, authority: certificates.authority)
        options.plugins = ["rabbitmq_auth_mechanism_ssl"]
        options.configuration = """
            auth_mechanisms.1 = PLAIN
            auth_mechanisms.2 = EXTERNAL
            ssl_cert_login_from = common_name
            """
        options.users = ["bridge": "not used"]
        let server = try await LocalServer.start(.rabbitMQ, options)

        let talk = try await Talk.connected(self.settings(port: server.tlsPort, authority: certificates.authority))
        try await talk.subscribe(.exact("sc.a"))
        try await talk.send(1...2_000, to: "sc.a", atMost: .seconds(60))
        #expect(try await talk.receive(count: 2_000, atMost: .seconds(60)) == (1...2_000).map { "\($0)" })
        try await talk.finish()

        var external = self.settings(port: server.tlsPort, authority: certificates.authority)
        external.username = nil
        external.password = nil
        external.tls.certificate = certificates.client.certificate
        external.tls.key = certificates.client.key
        try await Talk.connected(external).finish()
        #expect(try await server.control("list_users").contains { $0.hasPrefix("bridge") })

        let untrusted = try await Talk.error(
            of: self.settings(port: server.tlsPort, authority: certificates.otherAuthority))
        #expect(untrusted.code == .untrusted)

        let byAddress = try await Talk.error(
            of: self.settings(port: server.tlsPort, host: "127.0.0.1", authority: certificates.authority))
        #expect(byAddress.code == .untrusted)
        #expect(byAddress.message.contains("connect by name"))

        let plain = try await Talk.error(of: self.settings(port: server.port, authority: certificates.authority))
        #expect(plain.code == .untrusted)
        try await server.stop()
    }

    @Test func `a certificate that is expired, of a stranger or for another host is not trusted`() async throws {
        let certificates = try await TestCertificates.make()
        for pair in [certificates.expired, certificates.untrusted, certificates.wrongHost] {
            let port = TestPorts.next()
            let server = try ChildProcess(
                "openssl",
                ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", pair.certificate, "-key", pair.key, "-quiet"])
            _ = try await eventually("a TLS server") { TestPorts.accepts(port) ? true : nil }
            let error = try await Talk.error(of: self.settings(port: port, authority: certificates.authority))
            #expect(error.code == .untrusted, "\(pair.certificate): \(error)")
            server.signal(9)
        }
    }

    @Test func `an authority file that is missing is named`() async throws {
        let error = try await Talk.error(of: self.settings(port: 1, authority: "/nonexistent/ca.pem"))
        #expect(error.code == .untrusted)
        #expect(error.message.contains("/nonexistent/ca.pem"))
    }
}
