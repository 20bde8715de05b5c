import LinkspanBridgeKit
import NIOCore
import NIOPosix
import TestSupport

/// A TCP port that accepts connections and says nothing, or something that is not MQTT.
final class SilentListener: Sendable {
    let upstream: UpstreamURL
    private let transport: any Channel
    private let connections: EventLog<Int>

    /// - Parameter answer: sent after the first bytes of the peer, and followed by the end of the connection; nil for silence.
    init(answer: [UInt8]? = nil) async throws {
        let connections = EventLog<Int>()
        self.connections = connections
        self.transport = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                connections.append(0)
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AnsweringHandler(answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.upstream = UpstreamURL(scheme: "mqtt", host: "127.0.0.1", port: self.transport.localAddress?.port ?? 0)
    }

    deinit { self.transport.close(promise: nil) }

    /// Waits for a connection.
    func accepted() async throws {
        _ = try await self.connections.first("a connection")
    }
}

private final class AnsweringHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: [UInt8]?

    init(answer: [UInt8]?) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let answer = self.answer else { return }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: answer)), promise: nil)
        context.close(promise: nil)
    }
}
