import LinkspanCore
import LinkspanServer
import NIOSSL
import TestSupport
import Testing

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
}
