/// Certificates for loopback servers, made with openssl: an authority, a second one nobody trusts, and servers that are right or wrong.
public struct TestCertificates: Sendable {
    public struct Pair: Sendable {
        public var certificate: String
        public var key: String
    }

    public let folder: TestFolder

    /// What clients are told to trust.
    public var authority: String { self.folder.file("ca.crt") }
    /// An authority that signed none of these but ``untrusted``.
    public var otherAuthority: String { self.folder.file("other.crt") }
    /// For `localhost` and `127.0.0.1`.
    public var server: Pair { self.pair("server") }
    /// For `wrong.example`.
    public var wrongHost: Pair { self.pair("wronghost") }
    /// For `localhost`, signed by ``otherAuthority``.
    public var untrusted: Pair { self.pair("untrusted") }
    /// For `localhost`, no longer valid.
    public var expired: Pair { self.pair("expired") }
    /// A client's, with the common name `bridge`.
    public var client: Pair { self.pair("client") }

    public static func make() async throws -> TestCertificates {
        let certificates = TestCertificates(folder: try TestFolder("certificates"))
        try certificates.folder.write(Self.script, to: "make.sh", mode: 0o755)
        try await ChildProcess.run("/bin/sh", ["make.sh"], folder: certificates.folder.path)
        return certificates
    }

    private func pair(_ name: String) -> Pair {
        Pair(certificate: self.folder.file("\(name).crt"), key: self.folder.file("\(name).key"))
    }

    private static let script = """
        set -eu
        curve="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        for authority in ca other; do
            openssl req -x509 $curve -days 30 -keyout $authority.key -out $authority.crt -subj "/CN=test $authority"
        done
        sign() { # name, common name, alternative names, usage, days, authority
            openssl req $curve -keyout "$1.key" -out "$1.csr" -subj "/CN=$2"
            printf 'subjectAltName=%s\\nextendedKeyUsage=%s\\nbasicConstraints=CA:FALSE\\n' "$3" "$4" > "$1.ext"
            openssl x509 -req -in "$1.csr" -CA "$6.crt" -CAkey "$6.key" -CAcreateserial -days "$5" \\
                -out "$1.crt" -extfile "$1.ext"
        }
        sign server localhost DNS:localhost,IP:127.0.0.1 serverAuth 30 ca
        sign wronghost wrong.example DNS:wrong.example serverAuth 30 ca
        sign untrusted localhost DNS:localhost,IP:127.0.0.1 serverAuth 30 other
        sign expired localhost DNS:localhost,IP:127.0.0.1 serverAuth -1 ca
        sign client bridge DNS:bridge clientAuth 30 ca
        chmod 644 ./*.key
        """
}
