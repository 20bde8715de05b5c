internal import Foundation
internal import Glibc
internal import TestSupport
internal import Testing

/// New keys and certificates for a running `linkspan serve`.
struct ReloadTests {
    private let folder: TestFolder
    private let certificates: TestCertificates
    private let port = TestPorts.next()
    private let file: String

    init() async throws {
        self.folder = try TestFolder("reload")
        self.certificates = try await TestCertificates.make()
        self.file = try self.folder.write(
            """
            version: 1
            server:
              clients: { host: 127.0.0.1, port: \(self.port) }
              tls: { certificate: \(self.folder.file("tls.crt")), key: \(self.folder.file("tls.key")) }
              auth: { key: "${file:\(self.folder.file("jwt"))}", anonymous: deny }
            """, to: "bridges.yaml")
        try self.place(self.certificates.server)
        try self.folder.write(Self.key("a"), to: "jwt")
    }

    @Test func `SIGHUP takes up keys and certificates, and a broken one leaves the old ones in use`() async throws {
        let serve = try Program.start("serve", "--config", self.file)
        _ = try await serve.errors.first(within: .seconds(60), "start") { $0.contains("Serving clients") }
        try await self.expectPublish(trusting: self.certificates.authority, as: .status(0))
        let oldToken = try await self.token()

        try self.place(self.certificates.untrusted)
        try self.folder.write(Self.key("b"), to: "jwt")
        try await self.hangUp(serve, until: "Keys, permissions, hooks and certificates are read again")
        try await self.expectPublish(trusting: self.certificates.otherAuthority, as: .status(0))
        // What the old key signed is refused now.
        try await self.expectPublish(trusting: self.certificates.otherAuthority, token: oldToken, as: .status(77))

        try self.folder.write("no key", to: "tls.key")
        try await self.hangUp(serve, until: "Configuration is not taken, the old one stays")
        _ = try await serve.errors.first("the reason") {
            $0.contains("server.tls: key: no private key in PEM form without a passphrase")
        }
        // The check of the configuration refuses the broken file for every command that reads it.
        try self.place(self.certificates.untrusted)
        try await self.expectPublish(trusting: self.certificates.otherAuthority, as: .status(0))

        let text = String(decoding: try Data(contentsOf: URL(filePath: self.file)), as: UTF8.self)
        let rule = "{ channels: \"**\", subscribe: everyone, publish: nobody }"
        let broker = "{ other: { type: mqtt, urls: \"mqtt://127.0.0.1:1\" } }"
        try self.folder.write("\(text)\npermissions: [ \(rule) ]\nbrokers: \(broker)\n", to: "bridges.yaml")
        try await self.hangUp(serve, until: "Some changes need a restart")
        #expect(serve.errors.events.contains { $0.contains("changes=brokers") })
        try await self.expectPublish(trusting: self.certificates.otherAuthority, as: .status(77))
        #expect(try await serve.stop(within: .seconds(60)) == .status(0))
    }

    @Test func `a certificate is taken up when its files change`() async throws {
        let serve = try Program.start("serve", "--config", self.file)
        _ = try await serve.errors.first(within: .seconds(60), "start") { $0.contains("Serving clients") }
        try self.place(self.certificates.untrusted)
        _ = try await serve.errors.first(within: .seconds(60), "new certificate") {
            $0.contains("The certificate is read again")
        }
        try await self.expectPublish(trusting: self.certificates.otherAuthority, as: .status(0))
        #expect(try await serve.stop(within: .seconds(60)) == .status(0))
    }

    // MARK: Steps

    private static func key(_ letter: Character) -> String { String(repeating: letter, count: 32) }

    private func place(_ pair: TestCertificates.Pair) throws {
        for (source, name) in [(pair.certificate, "tls.crt"), (pair.key, "tls.key")] {
            try self.folder.write(
                String(decoding: try Data(contentsOf: URL(filePath: source)), as: UTF8.self), to: name)
        }
    }

    private func token() async throws -> String {
        let run = try await Program.run("token", "make", "--config", self.file)
        return try #require(run.output.first)
    }

    private func hangUp(_ serve: ChildProcess, until line: String) async throws {
        let count = serve.errors.count
        serve.signal(SIGHUP)
        _ = try await serve.errors.first(from: count, within: .seconds(60), line) { $0.contains(line) }
    }

    private func expectPublish(
        trusting authority: String, token: String? = nil, as exit: ChildProcess.Exit
    ) async throws {
        let token = if let token { token } else { try await self.token() }
        let run = try await Program.run(
            "publish", "--url", "wss://localhost:\(self.port)/socketcluster/", "--ca", authority, "--token", token,
            "news", "1")
        #expect(run.exit == exit, "\(run.errors)")
    }
}
