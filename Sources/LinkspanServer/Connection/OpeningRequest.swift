internal import LinkspanCore
internal import NIOCore
internal import NIOHTTP1

/// The one HTTP request that opens a connection: read by NIO's decoder, handed to the ``ClientConnection`` behind it.
///
/// After an upgrade it leaves the pipeline together with the decoder, which passes on the bytes that came with the request. Any other request
/// ends the connection, so what follows that is not looked at.
final class OpeningRequest: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = ByteBuffer

    let decoder: ByteToMessageHandler<HTTPRequestDecoder>
    private let connection: ClientConnection

    /// Bytes of all fields of a head, and of one.
    private static let byteLimit = 16 << 10
    private static let fieldLimit = 100

    init(for connection: ClientConnection) {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = Self.byteLimit
        limits.maxHeaderListSize = Self.byteLimit
        limits.maxHeaderFieldCount = Self.fieldLimit
        self.decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            guard self.connection.stage == .request else { return }
            self.connection.requestReceived(RequestHead(head))
        case .body: break
        case .end:
            // Still in the stage of its request is one that the application has yet to admit.
            guard self.connection.stage == .open || self.connection.stage == .request else { return }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
            context.pipeline.syncOperations.removeHandler(self.decoder, promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        guard self.connection.stage == .request, context.channel.isActive else { return }
        self.connection.loop.catchUp()
        self.connection.refuse(error == .headerOverflow ? .headTooLarge : .badRequest)
    }
}

@available(*, unavailable)
extension OpeningRequest: Sendable {}

extension RequestHead {
    init(_ head: HTTPRequestHead) {
        self.init(
            method: head.method.rawValue, target: head.uri,
            version: HTTPVersion(major: head.version.major, minor: head.version.minor),
            fields: head.headers.map { HTTPField(name: $0.name, value: $0.value) })
    }
}
