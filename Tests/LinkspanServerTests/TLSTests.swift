import Foundation
import LinkspanBridgeKit
import LinkspanCore
import Logging
import NIOSSL
import TestSupport
import Testing

@testable import LinkspanServer

@Suite struct TLSTests {
    private func contexts() async throws -> (server: TLSConfiguration, client: NIOSSLContext) {
        let certificates = try await TestCertificates.make()
        let chain = try NIOSSLCertificate.fromPEMFile(certificates.server.certificate)
        let server = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: certificates.server.key, format: .pem)))
        var client = TLSConfiguration.makeClientConfiguration()
        client.trustRoots = .file(certificates.authority)
        return (server, try NIOSSLContext(configuration: client))
    }

    @Test func `clients are served over TLS, in order, in small and large messages`() async throws {
        let (serverSide, clientSide) = try await self.contexts()
        try await withServer({ $0.eventLoops = 2 }, tls: serverSide) { _, address in
            let clients = [
                try await RawClient.ready(address, tls: clientSide),
                try await RawClient.ready(address, tls: clientSide),
            ]
            for client in clients { try await client.subscribe("news") }
            let large = "\"" + String(repeating: "x", count: 300_000) + "\""
            let data = (1...200).map(String.init) + [large, "201"]
            try await clients[0].send(all: data.map { RawClient.publish("news", $0) })
            for client in clients {
                for data in data { #expect(try await client.nextText() == RawClient.delivery("news", data)) }
            }
        }
    }

    @Test func `a slow subscriber behind TLS is closed too`() async throws {
        let (serverSide, clientSide) = try await self.contexts()
        try await withServer({ $0.limits.outboundBytes = 256 << 10 }, tls: serverSide) { server, address in
            let slow = try await RawClient.ready(address, tls: clientSide)
            try await slow.subscribe("news")
            let publisher = try await RawClient.ready(address, tls: clientSide)
            try await slow.setReading(false)
            let data = "\"" + String(repeating: "x", count: 100_000) + "\""
            var callID = 0
            while server.counters.slowSubscribersClosed == 0 {
                try await publisher.publish("news", data, callID: callID)
                #expect(try await publisher.nextText() == #"{"rid":\#(callID)}"#)
                callID += 1
                try #require(callID < 1000, "the sockets' own buffers are far smaller")
            }
            try await slow.setReading(true)
            #expect(try await slow.closeCode() == 4100)
        }
    }

    // MARK: Certificates from files

    private static func trusting(_ authority: String) throws -> NIOSSLContext {
        var client = TLSConfiguration.makeClientConfiguration()
        client.trustRoots = .file(authority)
        return try NIOSSLContext(configuration: client)
    }

    /// Puts `pair` where the server looks.
    private static func place(_ pair: TestCertificates.Pair, in folder: TestFolder) throws -> CertificateFiles {
        var files = CertificateFiles(certificate: "", key: "")
        files.certificate = try folder.write(
            String(decoding: Data(contentsOf: URL(filePath: pair.certificate)), as: UTF8.self), to: "served.crt")
        files.key = try folder.write(
            String(decoding: Data(contentsOf: URL(filePath: pair.key)), as: UTF8.self), to: "served.key")
        return files
    }

    @Test func `new connections see the certificate that was read last, and a broken file changes nothing`()
        async throws
    {
        let certificates = try await TestCertificates.make()
        let folder = try TestFolder("served")
        let files = try Self.place(certificates.server, in: folder)
        let (first, second) = (
            try Self.trusting(certificates.authority), try Self.trusting(certificates.otherAuthority)
        )
        try await withServer({ $0.certificate = files }) { server, address in
            let early = try await RawClient.ready(address, tls: first)
            try await early.subscribe("news")
            let ends = try #require(server.certificateEnds)

            _ = try Self.place(certificates.untrusted, in: folder)
            try server.reloadCertificate()
            let late = try await RawClient.ready(address, tls: second)
            try await late.publish("news", "1")
            #expect(try await early.nextText() == RawClient.delivery("news", "1"))

            try folder.write("no certificate", to: "served.crt")
            #expect(throws: CertificateProblem.self) { try server.reloadCertificate() }
            try await RawClient.ready(address, tls: second).publish("news", "2")
            #expect(try await early.nextText() == RawClient.delivery("news", "2"))
            #expect(try #require(server.certificateEnds) >= ends)
        }
    }

    @Test func `a listener may stay without TLS`() async throws {
        let certificates = try await TestCertificates.make()
        let files = try Self.place(certificates.server, in: try TestFolder("served"))
        let trusting = try Self.trusting(certificates.authority)
        try await withServer(
            { settings in
                settings.certificate = files
                var inside = ListenerSettings(port: 0)
                inside.host = "127.0.0.1"
                inside.usesTLS = false
                settings.moreListeners = [inside]
            }
        ) { server, address in
            let plain = try await RawClient.ready(try await server.addresses[1])
            try await plain.subscribe("news")
            try await RawClient.ready(address, tls: trusting).publish("news", "1")
            #expect(try await plain.nextText() == RawClient.delivery("news", "1"))
        }
    }

    @Test func `a server whose certificate cannot be used does not start`() async throws {
        var settings = ServerSettings()
        settings.port = 0
        settings.certificate = CertificateFiles(certificate: "/nowhere/tls.crt", key: "/nowhere/tls.key")
        let server = LinkspanServer(settings: settings, instance: InstanceID("test-1")!, logger: .quiet)
        await #expect(
            throws: CertificateProblem(
                file: .certificate, "cannot read /nowhere/tls.crt: No such file or directory")
        ) { try await server.run() }
    }
}
