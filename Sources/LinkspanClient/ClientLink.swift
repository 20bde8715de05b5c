internal import LinkspanWire
internal import NIOCore
internal import NIOWebSocket

/// The three tasks of one open WebSocket; the first to end ends the connection.
struct ClientLink: Sendable {
    let desk: ClientDesk
    let settings: ClientSettings
    let handle: @Sendable (ClientEvent) async -> Void
    private let signals: AsyncStream<Void>

    init(desk: ClientDesk, settings: ClientSettings, handle: @escaping @Sendable (ClientEvent) async -> Void) {
        self.desk = desk
        self.settings = settings
        self.handle = handle
        self.signals = desk.connect(settings, now: .now)
    }

    func read(_ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>) async throws {
        for try await frame in inbound {
            switch frame.opcode {
            case .text, .binary:
                for event in self.desk.received(Array(frame.data.readableBytesView), now: .now) {
                    await self.handle(event)
                }
            case .ping:
                self.desk.sendPong(Array(frame.data.readableBytesView))
            case .connectionClose:
                throw Self.ended(by: frame.data)
            case .pong, .continuation:
                continue
            default:
                throw ClientError(.lost, "the server sent a frame of an unknown kind")
            }
        }
        throw ClientError(.lost, "the server closed the connection without a word")
    }

    func write(_ outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>) async throws {
        for await _ in self.signals {
            let outgoing = self.desk.takeOutgoing()
            try await outbound.write(contentsOf: outgoing.map(Self.frame))
            if case .close? = outgoing.last { return }
        }
        // No signals means cancelled, or disconnected: an orderly good-bye costs nothing.
        try? await outbound.write(Self.frame(.close(.normal)))
    }

    /// Notices silence of the server and publishes whose time is over.
    func watch() async throws {
        while true {
            try await Task.sleep(for: SocketClusterClient.tick)
            self.desk.timePassed(to: .now)
        }
    }

    private static func frame(_ outgoing: ClientDesk.Outgoing) -> WebSocketFrame {
        switch outgoing {
        case .text(let bytes):
            return WebSocketFrame(fin: true, opcode: .text, maskKey: .random(), data: ByteBuffer(bytes: bytes))
        case .pong(let bytes):
            return WebSocketFrame(fin: true, opcode: .pong, maskKey: .random(), data: ByteBuffer(bytes: bytes))
        case .close(let code):
            return WebSocketFrame(
                fin: true, opcode: .connectionClose, maskKey: .random(), data: ByteBuffer(integer: code.rawValue))
        }
    }

    private static func ended(by close: ByteBuffer) -> ClientError {
        var close = close
        let code = close.readInteger(as: UInt16.self).map(CloseCode.init) ?? .noStatus
        let reason = String(buffer: close)
        let words = reason.isEmpty ? code.text ?? "no reason given" : reason
        let shouldReturn = code.reaction != .stayClosed
        return ClientError(shouldReturn ? .lost : .dismissed, "the server closed with \(code.rawValue): \(words)")
    }
}
