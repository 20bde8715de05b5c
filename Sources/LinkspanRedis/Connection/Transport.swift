internal import Glibc
internal import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Makes connections to Redis: TCP, and TLS over it for `rediss`. hiredis has no part in that; it only parses and formats.
struct Transport: Sendable {
    private(set) var url: UpstreamURL
    let eventLoop: any EventLoop
    let connectTimeout: TimeAmount
    /// When an unacknowledged byte ends a connection: half-open ones are found although nothing is read from them.
    let userTimeout: TimeAmount
    let tls: NIOSSLContext?

    /// Not for an event loop: it reads files.
    ///
    /// - Throws: ``UpstreamError`` when the files for TLS cannot be used. They are read each time, so that renewed ones are taken up.
    init(url: UpstreamURL, options: RedisOptions, eventLoop: any EventLoop) throws(UpstreamError) {
        self.url = url
        self.eventLoop = eventLoop
        self.connectTimeout = options.connectTimeout
        self.userTimeout = options.pingTimeout
        self.tls = url.scheme.hasPrefix("rediss") ? try Self.context(options.tls) : nil
    }

    /// The same way to another server.
    func to(_ address: NodeAddress) -> Transport {
        var transport = self
        transport.url = UpstreamURL(
            scheme: self.tls == nil ? "redis" : "rediss", host: address.host, port: address.port)
        return transport
    }

    /// Connects, and puts `handler` at the end of the pipeline. When that fails the handler ends with the reason.
    ///
    /// - Precondition: on the event loop.
    func connect<Role>(_ handler: ReplyHandler<Role>, name: String) {
        let bound = NIOLoopBound(handler, eventLoop: self.eventLoop)
        let (tls, host) = (self.tls, self.url.host)
        ClientBootstrap(group: self.eventLoop)
            .connectTimeout(self.connectTimeout)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(
                ChannelOptions.Types.SocketOption(level: .tcp, name: .init(rawValue: CInt(TCP_USER_TIMEOUT))),
                value: Int(self.userTimeout.nanoseconds / 1_000_000)
            )
            .channelOption(.writeBufferWaterMark, value: .init(low: 1 << 18, high: 1 << 20))
            .channelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16_384, maximum: 1 << 18)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(Self.tlsHandler(tls, host)) }
                    try channel.pipeline.syncOperations.addHandler(bound.value)
                }
            }
            .connect(host: self.url.host, port: self.url.port)
            .assumeIsolated()
            .whenFailure { error in
                handler.end(TransportError.describe(error, on: name, whileOpen: false))
            }
    }

    private static func tlsHandler(_ context: NIOSSLContext, _ host: String) throws -> NIOSSLClientHandler {
        // An address has no server name; NIOSSL then compares the certificate with the address that was connected to.
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }

    private static func context(_ files: TLSFiles) throws(UpstreamError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let authorities = files.authorities { configuration.trustRoots = .file(authorities) }
        do {
            if let certificate = files.certificate {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
                configuration.privateKey = .privateKey(
                    try NIOSSLPrivateKey(file: files.key ?? certificate, format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            let names = [files.authorities, files.certificate, files.key].compactMap { $0 }.joined(separator: ", ")
            throw UpstreamError(.untrusted, "the files for TLS (\(names)) cannot be used: \(error)")
        }
    }
}

/// Puts the errors of NIO and NIOSSL into our words.
enum TransportError {
    static func describe(_ error: any Error, on name: String, whileOpen isOpen: Bool) -> UpstreamError {
        switch error {
        case let error as UpstreamError:
            return error
        case let error as NIOConnectionError:
            return UpstreamError(.unreachable, "\(name): \(Self.text(error))")
        case ChannelError.connectTimeout(let limit):
            return UpstreamError(.unreachable, "\(name): no answer within \(Double(limit.nanoseconds) / 1e9) s")
        case is NIOSSLError, is NIOSSLExtraError, is BoringSSLError:
            return UpstreamError(isOpen ? .lost : .untrusted, "\(name): TLS failed: \(Self.text(ofTLS: error))")
        case let error as IOError:
            return UpstreamError(isOpen ? .lost : .unreachable, "\(name): \(Self.text(error))")
        default:
            return UpstreamError(isOpen ? .lost : .unreachable, "\(name): \(error)")
        }
    }

    private static func text(_ error: NIOConnectionError) -> String {
        if error.connectionErrors.isEmpty, error.dnsAError ?? error.dnsAAAAError != nil {
            return "the host name \(error.host) was not found"
        }
        let texts = error.connectionErrors.map { failure in
            if let error = failure.error as? IOError { return Self.text(error) }
            if case ChannelError.connectTimeout? = failure.error as? ChannelError { return "no answer in time" }
            return "\(failure.error)"
        }
        return texts.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }.joined(separator: ", ")
    }

    /// BoringSSL says a word in capitals, and where in its own source.
    private static func text(ofTLS error: any Error) -> String {
        if error as? NIOSSLExtraError == .failedToValidateHostname { return "the certificate is not for this host" }
        let text = "\(error)"
        guard let marker = text.firstRange(of: "OPENSSL_internal:") else { return text }
        let word = text[marker.upperBound...].prefix { $0.isUppercase || $0.isNumber || $0 == "_" }
        return switch word {
        case "CERTIFICATE_VERIFY_FAILED": "the certificate is expired, or of no authority that is trusted"
        case "WRONG_VERSION_NUMBER": "no TLS is spoken there"
        default: String(word.lowercased().map { $0 == "_" ? " " : $0 })
        }
    }

    private static func text(_ error: IOError) -> String {
        "\(String(cString: strerror(error.errnoCode))) (errno \(error.errnoCode))"
    }
}
