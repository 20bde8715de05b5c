internal import LinkspanConfig
internal import LinkspanCore
internal import Testing

/// `server.tls` and `tls` of ports: what they become, and the exact words about what is wrong.
struct TLSConfigTests {
    private static let files = [
        "/tls/a.crt": """
        -----BEGIN CERTIFICATE-----
        MIIBfzCCASWgAwIBAgIUWQw5G18jqfib76UCPQ8Ec0fAC0owCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA1NTEwM1oYDzIxMjYxMDI4
        MDU1MTAzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAARsQuDnS8+//+sy5nN2UenpbSahbYQOiI1YjVfKMdZbfqFk8CgZpamV
        vUD2HdUyG8lH4CfAsGSh637IFNTJLsFHo1MwUTAdBgNVHQ4EFgQUTwyg2BujPTU9
        M1DlMEW8z29V2WQwHwYDVR0jBBgwFoAUTwyg2BujPTU9M1DlMEW8z29V2WQwDwYD
        VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAprT7fHzq2UbxlYstVj2k
        jKVI3P406beoMJFeliqiy8cCIB7UmLmiyLW8GiUoxcMFeMPyNsEOk40P5GlYksW4
        Pu1+
        -----END CERTIFICATE-----
        """,
        "/tls/a.key": """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXH1dODjHAX5egLhG
        YrZyX3RDwRS2CZ6qGlAj4weSVN6hRANCAARsQuDnS8+//+sy5nN2UenpbSahbYQO
        iI1YjVfKMdZbfqFk8CgZpamVvUD2HdUyG8lH4CfAsGSh637IFNTJLsFH
        -----END PRIVATE KEY-----
        """,
        "/tls/b.key": """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgv1n40on+aT2as+LL
        rGVrtx5aKujCUSE4CQP/ek6SzO2hRANCAAQHu8Vb7fOaH14JNFWnNdZR7y9TASvE
        yJCr7fAMXFwPxJ/FWoLe5mmyCJUEkSfkd3DjG2m1AdwLSslpCPANu6+a
        -----END PRIVATE KEY-----
        """,
    ]

    @Test func `a certificate serves every port that does not say otherwise`() throws {
        let server = try settings(
            """
            version: 1
            server:
              tls: { certificate: /tls/a.crt, key: /tls/a.key }
              clients: { port: 1 }
              listeners: { inside: { port: 2, tls: false }, more: { port: 3 } }
            """, files: Self.files
        ).server
        #expect(server.certificate == CertificateFiles(certificate: "/tls/a.crt", key: "/tls/a.key"))
        #expect(server.listeners.map(\.usesTLS) == [true, false, true])
    }

    @Test func `there is no certificate unless it is given`() throws {
        #expect(try settings("version: 1\nserver: { clients: { port: 1, tls: false } }").server.certificate == nil)
    }

    @Test(arguments: Self.cases)
    func `whatever is wrong with certificate and key is told`(_ complaint: ComplaintTests.Case) {
        #expect(complaints(complaint.text, files: Self.files) == complaint.complaint)
    }

    private static func tls(_ keys: String) -> String { "version: 1\nserver:\n  tls: { \(keys) }" }

    private static let cases: [ComplaintTests.Case] = [
        .init("right", tls("certificate: /tls/a.crt, key: /tls/a.key"), ""),
        .init("nothing in it", tls(""), "bridges.yaml:3:3: server.tls: certificate and key are missing"),
        .init(
            "no key", tls("certificate: /tls/a.crt"), "bridges.yaml:3:10: server.tls: certificate without key"),
        .init("no certificate", tls("key: /tls/a.key"), "bridges.yaml:3:10: server.tls: key without certificate"),
        .init(
            "files that are not there", tls("certificate: /tls/c.crt, key: /tls/c.key"),
            """
            bridges.yaml:3:10: server.tls: certificate: cannot read /tls/c.crt: No such file or directory
            bridges.yaml:3:35: server.tls: key: cannot read /tls/c.key: No such file or directory
            """),
        .init(
            "key for a certificate", tls("certificate: /tls/a.key, key: /tls/a.key"),
            "bridges.yaml:3:10: server.tls: certificate: no certificate in PEM form"),
        .init(
            "certificate for a key", tls("certificate: /tls/a.crt, key: /tls/a.crt"),
            "bridges.yaml:3:35: server.tls: key: no private key in PEM form without a passphrase"),
        .init(
            "key of another certificate", tls("certificate: /tls/a.crt, key: /tls/b.key"),
            "bridges.yaml:3:35: server.tls: key: it is not the key of the certificate"),
        .init(
            "ports without a certificate",
            "version: 1\nserver:\n  clients: { tls: true }\n  listeners: { more: { port: 2, tls: true } }",
            """
            bridges.yaml:3:14: server.clients: tls needs a certificate
                give server.tls.certificate and server.tls.key
            bridges.yaml:4:33: server.listeners.more: tls needs a certificate
                give server.tls.certificate and server.tls.key
            """),
    ]
}
