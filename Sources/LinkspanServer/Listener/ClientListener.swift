internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Opens a client port.
enum ClientListener {
    /// Accepts nobody before it is told to read, so that no client is served by a server that cannot open its other ports.
    ///
    /// One loop accepts and gives the connections to all loops in turn, so that each has its share however few they are.
    static func bind(
        _ listener: ListenerSettings, loops: ServerLoops, settings: ServerSettings, certificate: ServerCertificate?,
        group: MultiThreadedEventLoopGroup
    ) async throws -> any Channel {
        let context = ListenerContext(listener, settings: settings)
        return try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // Here rather than as options of the bootstrap, which spends a future on each.
                    let options = channel.syncOptions
                    try options?.setOption(.tcpOption(.tcp_nodelay), value: 1)
                    try options?.setOption(.maxMessagesPerRead, value: 1)
                    let loop = loops.loop(of: channel.eventLoop)
                    try options?.setOption(.recvAllocator, value: ReceiveBuffers(spare: loop.spareBuffer))
                    let pipeline = channel.pipeline.syncOperations
                    if let certificate {
                        try pipeline.addHandler(NIOSSLServerHandler(context: certificate.context))
                    }
                    let connection = ClientConnection(
                        loop: loop, listener: context, writesDirectly: certificate == nil)
                    let request = OpeningRequest(for: connection)
                    try pipeline.addHandlers(request.decoder, request, connection)
                }
            }
            .bind(host: listener.host, port: listener.port)
            .get()
    }
}

/// The loops of one server, from their start to their end.
final class ServerLoops: Sendable {
    private let loops: [NIOLoopBound<ServerLoop>]
    private let eventLoops: [any EventLoop]

    /// Starts a ``ServerLoop`` on each loop of `group`, in order.
    init(context: ServerContext, group: MultiThreadedEventLoopGroup) async throws {
        var loops: [NIOLoopBound<ServerLoop>] = []
        var eventLoops: [any EventLoop] = []
        for (index, eventLoop) in Array(group.makeIterator()).enumerated() {
            let loop = try await eventLoop.submit {
                ThreadSlice.shorten()
                let loop = ServerLoop(context: context, index: index, eventLoop: eventLoop)
                context.inboxes[index].attach(loop, on: eventLoop)
                return NIOLoopBound(loop, eventLoop: eventLoop)
            }.get()
            loops.append(loop)
            eventLoops.append(eventLoop)
        }
        self.loops = loops
        self.eventLoops = eventLoops
    }

    /// - Precondition: called on `eventLoop`, which is one of the group.
    func loop(of eventLoop: any EventLoop) -> ServerLoop {
        for index in self.eventLoops.indices where self.eventLoops[index] === eventLoop {
            return self.loops[index].value
        }
        preconditionFailure("connections are accepted on the loops of the server")
    }

    /// Closes all connections and stops the loops.
    func drain() async {
        await withTaskGroup(of: Void.self) { group in
            for index in self.loops.indices {
                let (loop, eventLoop) = (self.loops[index], self.eventLoops[index])
                group.addTask {
                    let drained = eventLoop.flatSubmit {
                        loop.value.shard.drain(.draining, timeout: loop.value.context.rules.closeTimeout)
                    }
                    try? await drained.get()
                }
            }
        }
        // Only now: until the last loop is drained its owners may still have something for the others.
        for index in self.loops.indices {
            let (loop, eventLoop) = (self.loops[index], self.eventLoops[index])
            try? await eventLoop.submit { loop.value.stop() }.get()
        }
    }
}
