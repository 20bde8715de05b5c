/// Where the certificate is that clients are shown, and its key; both PEM.
public struct CertificateFiles: Sendable, Hashable {
    /// The server's certificate first, then those between it and an authority.
    public var certificate: String
    /// Without a passphrase.
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}
