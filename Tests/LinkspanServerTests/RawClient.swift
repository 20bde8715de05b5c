import LinkspanWire
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport

/// A WebSocket client that shows every frame as it came and sends whatever a test wants, right or wrong.
final class RawClient: Sendable {
    enum Event: Hashable, Sendable {
        /// The head of the HTTP answer, and its body when there was one.
        case response(String)
        case text(String)
        case binary([UInt8])
        /// The payload of a message whose frame says that it is compressed.
        case compressed(WebSocketMessageKind, [UInt8])
        case pong([UInt8])
        case close(UInt16?, reason: String = "")
        /// The peer hung up.
        case disconnected
    }

    let log = EventLog<Event>()
    private let channel: any Channel
    private let cursor = Mutex(0)

    private init(channel: any Channel) {
        self.channel = channel
    }

    /// A TCP connection on which nothing was sent yet.
    /// - Parameters:
    ///   - answersClose: whether a close frame is answered in kind, as every library does.
    ///   - tls: nil for a plain connection.
    static func connect(
        _ address: SocketAddress, isReading: Bool = true, answersClose: Bool = true, tls: NIOSSLContext? = nil
    ) async throws -> RawClient {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(to: address).get()
        let client = RawClient(channel: channel)
        if let tls {
            let eventLoop = channel.eventLoop
            try await eventLoop.submit {
                try channel.pipeline.syncOperations.addHandler(
                    NIOSSLClientHandler(context: tls, serverHostname: "localhost"))
            }.get()
        }
        let handler = RawClientHandler(log: client.log, answersClose: answersClose)
        try await channel.pipeline.addHandler(handler).get()
        if isReading { try await channel.setOption(.autoRead, value: true).get() }
        return client
    }

    /// A WebSocket, upgraded.
    static func open(
        _ address: SocketAddress, path: String = "/socketcluster/", fields: String = "", answersClose: Bool = true,
        tls: NIOSSLContext? = nil
    ) async throws -> RawClient {
        let client = try await self.connect(address, answersClose: answersClose, tls: tls)
        try await client.send(bytes: Array(RawClient.request(path: path, fields: fields).utf8))
        _ = try await client.next("upgrade")
        return client
    }

    /// A WebSocket after the handshake.
    static func ready(
        _ address: SocketAddress, answersClose: Bool = true, tls: NIOSSLContext? = nil
    ) async throws -> RawClient {
        let client = try await self.open(address, answersClose: answersClose, tls: tls)
        try await client.send(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
        _ = try await client.nextText("handshake's answer") { $0.contains("isAuthenticated") }
        return client
    }

    static func request(path: String = "/socketcluster/", fields: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\(fields)\r\n"
    }

    // MARK: Sending

    func send(bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    func send(_ text: String) async throws {
        try await self.send(bytes: RawClient.frame(.text, Array(text.utf8)))
    }

    /// Several messages in one write.
    func send(all texts: [String]) async throws {
        try await self.send(bytes: texts.flatMap { RawClient.frame(.text, Array($0.utf8)) })
    }

    func publish(_ channel: String, _ data: String, callID: Int? = nil) async throws {
        try await self.send(RawClient.publish(channel, data, callID: callID))
    }

    static func publish(_ channel: String, _ data: String, callID: Int? = nil) -> String {
        let callID = callID.map { #","cid":\#($0)"# } ?? ""
        return ##"{"event":"#publish","data":{"channel":"\##(channel)","data":\##(data)}\##(callID)}"##
    }

    /// What a subscriber gets for it.
    static func delivery(_ channel: String, _ data: String) -> String {
        ##"{"event":"#publish","data":{"channel":"\##(channel)","data":\##(data)}}"##
    }

    /// Subscribes and waits for the answer.
    func subscribe(_ channel: String, callID: Int = 1000) async throws {
        try await self.send(##"{"event":"#subscribe","data":{"channel":"\##(channel)"},"cid":\##(callID)}"##)
        _ = try await self.nextText("answer to a subscription") { $0 == #"{"rid":\#(callID)}"# }
    }

    func close(_ code: UInt16 = 1000) async throws {
        try await self.send(bytes: RawClient.frame(.close, [UInt8(code >> 8), UInt8(code & 0xFF)]))
    }

    func disconnect() async throws {
        try await self.channel.close().get()
    }

    func setReading(_ isReading: Bool) async throws {
        try await self.channel.setOption(.autoRead, value: isReading).get()
    }

    static func frame(
        _ opcode: WebSocketOpcode, _ payload: [UInt8], isFinal: Bool = true, isCompressed: Bool = false
    ) -> [UInt8] {
        let mask = WebSocketMask(key: 0x1234_ABCD)
        var bytes: [UInt8] = []
        WebSocketFrameHeader(
            opcode: opcode, payloadLength: payload.count, isFinal: isFinal, isCompressed: isCompressed, mask: mask
        ).encode(into: &bytes)
        var masked = payload
        masked.withUnsafeMutableBytes { mask.apply(to: $0) }
        return bytes + masked
    }

    // MARK: Receiving

    /// The next event, whatever it is.
    func next(_ what: String) async throws -> Event {
        try await self.next(what) { _ in true }
    }

    /// The next event that `accepts` takes; those before it are passed over.
    func next(_ what: String, where accepts: @escaping @Sendable (Event) -> Bool) async throws -> Event {
        let found = try await self.log.first(from: self.cursor.withLock { $0 }, what, where: accepts)
        self.cursor.withLock { $0 = found.index + 1 }
        return found.event
    }

    /// The next text but pings, in the order in which they came.
    func nextText(_ what: String = "text", where accepts: @escaping @Sendable (String) -> Bool = { _ in true })
        async throws -> String
    {
        let event = try await self.next(what) { event in
            guard case .text(let text) = event else { return event == .disconnected }
            return !text.isEmpty && text != "#1" && accepts(text)
        }
        guard case .text(let text) = event else { throw TimedOut(what: what, limit: nil, seen: "\(self.log.events)") }
        return text
    }

    /// The code of the close frame that comes next, however much comes before it.
    func closeCode() async throws -> UInt16? {
        let event = try await self.next("close frame") { event in
            if case .close = event { return true }
            return event == .disconnected
        }
        guard case .close(let code, _) = event else { return 1006 }
        return code
    }

    func disconnected() async throws {
        _ = try await self.next("end of the connection") { $0 == .disconnected }
    }

    /// What came, without pings.
    var texts: [String] {
        self.log.events.compactMap { event in
            guard case .text(let text) = event, !text.isEmpty, text != "#1" else { return nil }
            return text
        }
    }
}

private final class RawClientHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private struct State {
        var bytes: [UInt8] = []
        var isOpen = false
        var parser = WebSocketFrameParser(
            sender: .server, limits: .init(messageBytes: 64 << 20), allowsCompression: true)
    }

    private let log: EventLog<RawClient.Event>
    private let answersClose: Bool
    private let state = Mutex(State())

    init(log: EventLog<RawClient.Event>, answersClose: Bool) {
        self.log = log
        self.answersClose = answersClose
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = self.unwrapInboundIn(data)
        let known = self.log.count
        self.state.withLock { state in
            state.bytes.append(contentsOf: buffer.readableBytesView)
            self.read(&state)
        }
        let isClosed = self.log.events[known...].contains { event in
            if case .close = event { true } else { false }
        }
        if isClosed, self.answersClose {
            context.writeAndFlush(NIOAny(ByteBuffer(bytes: RawClient.frame(.close, []))), promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.state.withLock { state in
            if !state.isOpen, !state.bytes.isEmpty {
                self.log.append(.response(String(decoding: state.bytes, as: UTF8.self)))
            }
        }
        self.log.append(.disconnected)
        self.log.finish()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func read(_ state: inout State) {
        if !state.isOpen {
            guard let end = state.bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return }
            let head = String(decoding: state.bytes[..<end.upperBound], as: UTF8.self)
            // Anything but an upgrade is told whole, when the server has hung up.
            guard head.hasPrefix("HTTP/1.1 101") else { return }
            self.log.append(.response(head))
            state.bytes.removeFirst(end.upperBound)
            state.isOpen = true
        }
        var consumed = 0
        state.bytes.withUnsafeMutableBytes { bytes in
            while consumed < bytes.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[consumed...])
                guard case .frame(let event, let count)? = try? state.parser.parse(rest) else { break }
                if let event { self.note(event, in: UnsafeRawBufferPointer(rest)) }
                consumed += count
            }
        }
        state.bytes.removeFirst(consumed)
    }

    private func note(_ event: WebSocketEvent, in bytes: UnsafeRawBufferPointer) {
        switch event {
        case .message(let kind, let payload, true): self.log.append(.compressed(kind, Array(bytes[payload])))
        case .message(let kind, let payload, false): self.note(kind, Array(bytes[payload]))
        case .assembled(let kind, let payload, _): self.note(kind, payload)
        case .ping: break
        case .pong(let payload): self.log.append(.pong(Array(bytes[payload])))
        case .close(let code, let reason):
            self.log.append(.close(code?.rawValue, reason: String(decoding: bytes[reason], as: UTF8.self)))
        }
    }

    private func note(_ kind: WebSocketMessageKind, _ payload: [UInt8]) {
        switch kind {
        case .text: self.log.append(.text(String(decoding: payload, as: UTF8.self)))
        case .binary: self.log.append(.binary(payload))
        }
    }
}
