import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport

/// A service on loopback that answers hooks as a test says.
final class HookServer: Sendable {
    struct Request: Sendable {
        var head: HTTPRequestHead
        var body: String
    }

    enum Answer: Sendable {
        case status(Int, String = "")
        /// The connection stays open and silent.
        case silence
        case hangUp
        /// To itself.
        case redirect
    }

    private let channel: any Channel
    private let scheme: String
    private let log = EventLog<Request>()
    private let numbers = Mutex(0)

    /// In the order in which they came.
    var received: [Request] { self.log.events }

    var url: String { "\(self.scheme)://127.0.0.1:\(self.channel.localAddress?.port ?? 0)/hook" }

    static func with(
        _ answers: @escaping @Sendable (_ index: Int) -> Answer, _ body: (HookServer) async throws -> Void
    ) async throws {
        try await self.with({ index, _ in answers(index) }, body)
    }

    /// - Parameter answers: given the number of the request, from 0, and its body.
    static func with(
        _ answers: @escaping @Sendable (_ index: Int, _ body: String) -> Answer, tls: NIOSSLContext? = nil,
        _ body: (HookServer) async throws -> Void
    ) async throws {
        let box = Mutex<HookServer?>(nil)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.configureHTTPServerPipeline()
                    try pipeline.addHandler(
                        Handler { request in
                            guard let server = box.withLock({ $0 }) else { return .hangUp }
                            return answers(server.note(request), request.body)
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let server = HookServer(channel: channel, scheme: tls == nil ? "http" : "https")
        box.withLock { $0 = server }
        do {
            try await body(server)
        } catch {
            try await channel.close()
            throw error
        }
        try await channel.close()
    }

    private init(channel: any Channel, scheme: String) {
        self.channel = channel
        self.scheme = scheme
    }

    /// Waits until so many requests came.
    func asked(_ count: Int) async throws {
        try await self.log.wait(count: count, within: .seconds(60), "request")
    }

    private func note(_ request: Request) -> Int {
        self.numbers.withLock { number in
            self.log.append(request)
            defer { number += 1 }
            return number
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let answer: @Sendable (Request) -> Answer
        private var head: HTTPRequestHead?
        private var body = ""

        init(answer: @escaping @Sendable (Request) -> Answer) {
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.unwrapInboundIn(data) {
            case .head(let head): (self.head, self.body) = (head, "")
            case .body(let bytes): self.body += String(buffer: bytes)
            case .end:
                guard let head = self.head else { return }
                self.send(self.answer(Request(head: head, body: self.body)), context: context)
            }
        }

        private func send(_ answer: Answer, context: ChannelHandlerContext) {
            switch answer {
            case .silence: break
            case .hangUp: context.close(promise: nil)
            case .redirect: self.respond(307, ["Location": "/hook", "Content-Length": "0"], "", context: context)
            case .status(let status, let body):
                self.respond(status, ["Content-Length": "\(body.utf8.count)"], body, context: context)
            }
        }

        private func respond(_ status: Int, _ headers: HTTPHeaders, _ body: String, context: ChannelHandlerContext) {
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
            context.write(self.wrapOutboundOut(.head(head)), promise: nil)
            context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
            context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
