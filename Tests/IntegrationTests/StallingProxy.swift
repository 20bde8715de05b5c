internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Stands between an instance and its broker, and can make the connections that are open go dead without closing them.
final class StallingProxy: Sendable {
    private let target: Int
    private let state = Mutex(State())
    private let listener = Mutex<(any Channel)?>(nil)

    private struct State {
        /// Connections are numbered; those up to here carry nothing any more.
        var stalled = 0
        var last = 0
        /// Accepted and not cut.
        var open: [any Channel] = []
        /// How much later everything comes, each way.
        var delay: TimeAmount?
        var turnsAway = false
    }

    /// - Parameter target: a port on loopback.
    init(to target: Int) async throws {
        self.target = target
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { self.join($0) }
            .bind(host: "127.0.0.1", port: 0).get()
        self.listener.withLock { $0 = listener }
    }

    var port: Int { self.listener.withLock { $0?.localAddress?.port ?? 0 } }

    /// What is open now stays open and carries nothing any more, either way; new connections are as good as ever.
    func stall() {
        self.state.withLock { $0.stalled = $0.last }
    }

    /// Closes what is open now, so that nobody has to find out that it is dead.
    func cut() {
        let open = self.state.withLock { state in
            defer { state.open = [] }
            return state.open
        }
        for channel in open { channel.close(promise: nil) }
    }

    /// Whether new connections are closed at once, as if the broker were not there.
    func turnAway(_ isClosed: Bool) {
        self.state.withLock { $0.turnsAway = isClosed }
    }

    /// From now on everything arrives so much later, each way; nil ends that.
    func delay(_ time: TimeAmount?) {
        self.state.withLock { $0.delay = time }
    }

    func stop() async throws {
        try await self.listener.withLock { $0 }?.close()
    }

    fileprivate var delay: TimeAmount? { self.state.withLock { $0.delay } }

    fileprivate func carries(_ number: Int) -> Bool {
        self.state.withLock { number > $0.stalled }
    }

    private func join(_ near: any Channel) -> EventLoopFuture<Void> {
        if self.state.withLock({ $0.turnsAway }) { return near.eventLoop.makeFailedFuture(ChannelError.eof) }
        let number = self.state.withLock { state in
            state.last += 1
            state.open.append(near)
            return state.last
        }
        return ClientBootstrap(group: near.eventLoop)
            .channelOption(.autoRead, value: false)
            .connect(host: "127.0.0.1", port: self.target)
            .flatMapThrowing { far in
                try near.pipeline.syncOperations.addHandler(Relay(to: far, number, self))
                try far.pipeline.syncOperations.addHandler(Relay(to: near, number, self))
                for channel in [near, far] { try channel.syncOptions?.setOption(.autoRead, value: true) }
            }
    }
}

private final class Relay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel
    private let number: Int
    private let proxy: StallingProxy
    /// When what came last goes on, which what comes next may not overtake.
    private var due = NIODeadline.now()

    init(to other: any Channel, _ number: Int, _ proxy: StallingProxy) {
        self.other = other
        self.number = number
        self.proxy = proxy
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.proxy.carries(self.number) else { return }
        let bytes = self.unwrapInboundIn(data)
        let now = NIODeadline.now()
        self.due = max(self.due, now + (self.proxy.delay ?? .zero))
        if self.due <= now { return self.other.writeAndFlush(bytes, promise: nil) }
        context.eventLoop.scheduleTask(deadline: self.due) { [other] in other.writeAndFlush(bytes, promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.other.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension Relay: Sendable {}
