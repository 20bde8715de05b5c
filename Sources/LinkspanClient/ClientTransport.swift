internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import NIOWebSocket

/// Opens the WebSocket of one connection.
enum ClientTransport {
    typealias Frames = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
    private typealias Answers = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private enum Upgrade: Sendable {
        case accepted(Frames)
        case declined(Answers)
    }

    /// - Throws: ``ClientError`` with code `unreachable`, `untrusted` or `notAccepted`.
    static func open(_ settings: ClientSettings, on group: any EventLoopGroup) async throws(ClientError) -> Frames {
        let tls = try Self.tlsContext(settings)
        let upgrade: Upgrade
        do {
            upgrade = try await Self.connect(settings, tls: tls, on: group)
        } catch {
            throw Self.connectError(error, settings.url)
        }
        switch upgrade {
        case .accepted(let frames): return frames
        case .declined(let answers): throw await Self.refusal(answers, settings.url)
        }
    }

    private static func connect(
        _ settings: ClientSettings, tls: NIOSSLContext?, on group: any EventLoopGroup
    ) async throws -> Upgrade {
        let connectTimeout = TimeAmount(settings.connectTimeout)
        let upgrade: EventLoopFuture<Upgrade> = try await ClientBootstrap(group: group)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: settings.url.host, port: settings.url.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            try Self.tlsHandler(tls, host: settings.url.host))
                    }
                    return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
                        configuration: .init(upgradeConfiguration: Self.upgradeConfiguration(settings)))
                }
            }
        let deadline = upgrade.eventLoop.scheduleTask(in: connectTimeout) {}
        let expired = deadline.futureResult.flatMapThrowing { () throws -> Upgrade in
            throw ClientError(.unreachable, "\(settings.url): no answer to the upgrade in \(settings.connectTimeout)")
        }
        let first = upgrade.eventLoop.makePromise(of: Upgrade.self)
        upgrade.cascade(to: first)
        expired.whenFailure { first.fail($0) }
        defer { deadline.cancel() }
        return try await first.futureResult.get()
    }

    private static func upgradeConfiguration(
        _ settings: ClientSettings
    ) -> NIOTypedHTTPClientUpgradeConfiguration<Upgrade> {
        let upgrader = NIOTypedWebSocketClientUpgrader<Upgrade>(
            maxFrameSize: settings.messageLimit,
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOWebSocketFrameAggregator(
                            minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: 65_536,
                            maxAccumulatedFrameSize: settings.messageLimit))
                    return .accepted(try Frames(wrappingChannelSynchronously: channel))
                }
            })
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: settings.url.target, headers: ["Host": settings.url.authority])
        return NIOTypedHTTPClientUpgradeConfiguration(
            upgradeRequestHead: head, upgraders: [upgrader],
            notUpgradingCompletionHandler: { channel in
                channel.eventLoop.makeCompletedFuture { .declined(try Answers(wrappingChannelSynchronously: channel)) }
            })
    }

    // MARK: TLS

    private static func tlsContext(_ settings: ClientSettings) throws(ClientError) -> NIOSSLContext? {
        guard settings.url.usesTLS else { return nil }
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        if let authorities = settings.authorities { configuration.trustRoots = .file(authorities) }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw ClientError(
                .untrusted, "cannot use the authorities of \(settings.authorities ?? "the system"): \(error)")
        }
    }

    private static func tlsHandler(_ context: NIOSSLContext, host: String) throws -> NIOSSLClientHandler {
        // Server names in TLS are host names; an address is checked against the certificate without one.
        let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host)
    }

    // MARK: Errors

    private static func connectError(_ error: any Error, _ url: ClientURL) -> ClientError {
        switch error {
        case let error as ClientError: return error
        case let error as NIOConnectionError:
            guard let attempt = error.connectionErrors.last else {
                return ClientError(.unreachable, "\(url): the host name \(url.host) is not known")
            }
            return ClientError(.unreachable, "\(url): \(Self.words(of: attempt.error))")
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
            return ClientError(.untrusted, "\(url): TLS failed: \(error)")
        default:
            return ClientError(.unreachable, "\(url): \(Self.words(of: error))")
        }
    }

    private static func words(of error: any Error) -> String {
        switch error {
        case let error as IOError where error.errnoCode == ECONNREFUSED: "connection refused; is the server running?"
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: "no connection in time"
        case ChannelError.eof, ChannelError.alreadyClosed, ChannelError.ioOnClosedChannel:
            "the server closed the connection before it was open"
        default: "\(error)"
        }
    }

    /// Reads the answer of a server that did not upgrade.
    private static func refusal(_ answers: Answers, _ url: ClientURL) async -> ClientError {
        var status: HTTPResponseStatus?
        var body = ""
        try? await answers.executeThenClose { inbound, _ in
            for try await part in inbound {
                switch part {
                case .head(let head): status = head.status
                case .body(let bytes) where body.utf8.count < 500: body += String(buffer: bytes)
                case .body, .end: return
                }
                if case .end = part { return }
            }
        }
        guard let status else {
            return ClientError(.unreachable, "\(url): the server closed the connection unanswered")
        }
        let words = body.split(separator: "\n").first.map { ": \($0.prefix(200))" } ?? ""
        return ClientError(
            .notAccepted, "\(url): no WebSocket there, HTTP status \(status.code) \(status.reasonPhrase)\(words)")
    }
}
