internal import Glibc
internal import LinkspanCore
internal import NIOSSL
internal import Synchronization

/// The certificate that clients are shown, and its key. Safe on any thread.
final class ServerCertificate: Sendable {
    private struct State {
        var context: NIOSSLContext
        /// Seconds since 1970; nil where a program gave the configuration.
        var ends: Int64?
    }

    private let state: Mutex<State>

    /// - Throws: what is wrong with the certificate or the key.
    init(_ configuration: TLSConfiguration) throws {
        self.state = Mutex(State(context: try NIOSSLContext(configuration: configuration)))
    }

    init(_ files: CertificateFiles) throws(CertificateProblem) {
        self.state = Mutex(try Self.load(files))
    }

    /// For the next connection; those that are open keep theirs.
    var context: NIOSSLContext { self.state.withLock { $0.context } }

    var ends: Int64? { self.state.withLock { $0.ends } }

    /// - Throws: when the files cannot be used; what was before stays then.
    func reload(_ files: CertificateFiles) throws(CertificateProblem) {
        let new = try Self.load(files)
        self.state.withLock { $0 = new }
    }

    private static func load(_ files: CertificateFiles) throws(CertificateProblem) -> State {
        let pair = try CertificatePair(
            certificate: try Self.read(files.certificate, .certificate), key: try Self.read(files.key, .key))
        return State(context: pair.context, ends: pair.ends)
    }

    /// Longest file, in bytes.
    private static let fileLimit = 1 << 20

    private static func read(_ path: String, _ file: CertificateProblem.File) throws(CertificateProblem) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(file, path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            var code = 0
            bytes += [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
                repeat {
                    code = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                } while code < 0
                    && errno == EINTR
                count = max(code, 0)
            }
            guard code >= 0 else { throw .unreadable(file, path, errno) }
            guard bytes.count <= Self.fileLimit else { throw CertificateProblem(file: file, "\(path) is too long") }
            if code == 0 { return bytes }
        }
    }
}

/// A certificate and its key that fit, made once from their text.
struct CertificatePair {
    let context: NIOSSLContext
    /// When the certificate ends, seconds since 1970.
    let ends: Int64

    /// - Parameters:
    ///   - certificate: PEM; the server's first, then those between it and an authority.
    ///   - key: PEM, without a passphrase.
    init(certificate: [UInt8], key: [UInt8]) throws(CertificateProblem) {
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(certificate), let first = chain.first else {
            throw CertificateProblem(file: .certificate, "no certificate in PEM form")
        }
        guard let key = try? NIOSSLPrivateKey(bytes: key, format: .pem) else {
            throw CertificateProblem(file: .key, "no private key in PEM form without a passphrase")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        guard let context = try? NIOSSLContext(configuration: configuration) else {
            throw CertificateProblem(file: .key, "it is not the key of the certificate")
        }
        self.context = context
        self.ends = Int64(first.notValidAfter)
    }
}

/// Why a certificate or its key cannot be used. Never contains the key.
public struct CertificateProblem: Error, Sendable, Hashable, CustomStringConvertible {
    public enum File: String, Sendable, Hashable {
        case certificate, key
    }

    /// Which of the two files.
    public var file: File
    public var reason: String

    init(file: File, _ reason: String) {
        self.file = file
        self.reason = reason
    }

    static func unreadable(_ file: File, _ path: String, _ number: Int32) -> CertificateProblem {
        CertificateProblem(file: file, "cannot read \(path): \(String(cString: strerror(number)))")
    }

    public var description: String { "TLS \(self.file.rawValue): \(self.reason)" }

    /// What keeps clients from being served with this certificate and key; nil when nothing does.
    ///
    /// - Parameters:
    ///   - certificate: PEM.
    ///   - key: PEM.
    public static func find(certificate: String, key: String) -> CertificateProblem? {
        do throws(CertificateProblem) {
            _ = try CertificatePair(certificate: Array(certificate.utf8), key: Array(key.utf8))
            return nil
        } catch {
            return error
        }
    }
}
