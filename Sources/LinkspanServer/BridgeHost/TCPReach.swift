internal import LinkspanBridgeKit
internal import NIOCore
internal import NIOPosix

/// Whether something listens at an upstream's address, without a word of its protocol.
enum TCPReach {
    private static let limit = TimeAmount.seconds(2)

    static func accepts(_ url: UpstreamURL) async -> Bool {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(Self.limit)
        guard let channel = try? await bootstrap.connect(host: url.host, port: url.port).get() else { return false }
        try? await channel.close()
        return true
    }
}
