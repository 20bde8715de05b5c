internal import LinkspanClient
internal import TestSupport
internal import Testing

/// Whom the client trusts, asked of a TLS server that answers every request with a web page.
@Suite(.serialized)
struct ClientTLSTests {
    @Test func `a certificate of a known authority for the right host is trusted`() async throws {
        let certificates = try await TestCertificates.make()
        let error = try await self.attempt(certificates.server, authority: certificates.authority)
        // The connection stood: what is missing is only the WebSocket.
        #expect(error.code == .notAccepted)
        #expect(error.message.contains("HTTP status 200"))
    }

    @Test func `a certificate of an unknown authority is not`() async throws {
        let certificates = try await TestCertificates.make()
        #expect(try await self.attempt(certificates.server, authority: certificates.otherAuthority).code == .untrusted)
    }

    @Test func `a certificate for another host is not`() async throws {
        let certificates = try await TestCertificates.make()
        #expect(try await self.attempt(certificates.wrongHost, authority: certificates.authority).code == .untrusted)
    }

    @Test func `an expired certificate is not`() async throws {
        let certificates = try await TestCertificates.make()
        #expect(try await self.attempt(certificates.expired, authority: certificates.authority).code == .untrusted)
    }

    @Test func `a server without TLS is not`() async throws {
        let port = TestPorts.next()
        try await withServer(port: port) { _ in
            let certificates = try await TestCertificates.make()
            let error = try await self.firstError(port: port, authority: certificates.authority)
            #expect(error.code == .untrusted)
        }
    }

    private func attempt(_ pair: TestCertificates.Pair, authority: String) async throws -> ClientError {
        let port = TestPorts.next()
        let server = try ChildProcess(
            "openssl",
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", pair.certificate, "-key", pair.key, "-www", "-quiet"])
        _ = try await eventually("TLS server") { TestPorts.accepts(port) ? true : nil }
        let error = try await self.firstError(port: port, authority: authority)
        try await server.stop()
        return error
    }

    private func firstError(port: Int, authority: String) async throws -> ClientError {
        var settings = ClientSettings(url: ClientURL(usesTLS: true, host: "localhost", port: port))
        settings.authorities = authority
        let errors = EventLog<ClientError>()
        try await withClient(settings, channels: []) { _, log in
            let event = try await log.first("end of the attempt") { if case .disconnected = $0 { true } else { false } }
                .event
            if case .disconnected(let error, _) = event { errors.append(error) }
        }
        return try await errors.first("error").event
    }
}
