internal import LinkspanBridgeKit
internal import NIOCore

/// What the two connections to a node tell the conversation.
protocol ShardNodeDelegate: AnyObject {
    func isReady(_ node: ShardNode, _ facts: UpstreamFacts)
    func replyReceived(_ reader: ReplyReader, from node: ShardNode) throws(UpstreamError)
    func repliesCompleted()
    func subscribed(_ name: String, at node: ShardNode) throws(UpstreamError)
    func unsubscribed(_ name: String, at node: ShardNode)
    func pongReceived(from node: ShardNode) throws(UpstreamError)
    func errorReceived(_ error: ErrorReply, from node: ShardNode) throws(UpstreamError)
    func pingDue(_ connection: ShardNode.Purpose, at node: ShardNode)
    func connectionEnded(_ error: UpstreamError?, of node: ShardNode)
}

/// One node of a cluster: a connection for commands and one for sharded subscriptions.
///
/// Confined to its event loop.
final class ShardNode {
    enum Purpose {
        case commands, subscriptions
    }

    let address: NodeAddress
    /// Counts the nodes of one conversation.
    let number: Int
    private(set) var isReady = false
    /// Connections that have not ended.
    private(set) var openConnections = 2
    private unowned let delegate: any ShardNodeDelegate
    private var commands: ReplyHandler<ShardCommandRole>!
    private var subscriptions: ReplyHandler<ShardSubscriptionRole>!
    private var readyConnections = 0
    private var facts = UpstreamFacts()
    /// What is to be sent when the node is ready.
    private var held = ByteBuffer()

    init(_ address: NodeAddress, number: Int, delegate: any ShardNodeDelegate) {
        self.address = address
        self.number = number
        self.delegate = delegate
    }

    func connect(link: BridgeLink, transport: Transport, login: Login, options: RedisOptions) {
        let name = "\(transport.url)"
        let commands = ShardCommandRole(node: self, delegate: self.delegate)
        let subscriptions = ShardSubscriptionRole(
            node: self, delegate: self.delegate, arrivals: Arrivals(link: link, eventLoop: transport.eventLoop))
        self.commands = self.handler(commands, "the command connection to \(name)", login, options)
        self.subscriptions = self.handler(subscriptions, "the receiving connection to \(name)", login, options)
        subscriptions.attach(self.subscriptions)
        transport.connect(self.commands, name: name)
        transport.connect(self.subscriptions, name: name)
    }

    private func handler<Role>(
        _ role: Role, _ name: String, _ login: Login, _ options: RedisOptions
    ) -> ReplyHandler<Role> {
        ReplyHandler(
            role: role, name: name, login: login,
            liveness: Liveness(interval: options.pingInterval, timeout: options.pingTimeout, now: .now()),
            isOpen: { [unowned self] in self.opened($0) }, ended: { [unowned self] in self.ended($0) })
    }

    private func opened(_ facts: UpstreamFacts) {
        self.readyConnections += 1
        self.facts = facts
        guard self.readyConnections == 2 else { return }
        self.isReady = true
        if self.held.readableBytes > 0 { self.subscriptions.write(self.held) }
        self.held.clear()
        self.delegate.isReady(self, self.facts)
    }

    private func ended(_ error: UpstreamError?) {
        self.openConnections -= 1
        self.isReady = false
        self.delegate.connectionEnded(error, of: self)
    }

    /// Whether more may be written than what waits already.
    var isWritable: Bool { self.commands.isWritable }

    func write(_ buffer: ByteBuffer) {
        self.commands.write(buffer)
    }

    /// Sends on the connection for subscriptions, as soon as there is one.
    func subscribe(_ command: [String]) {
        var buffer = ByteBuffer()
        buffer.writeCommand(command)
        if self.isReady { self.subscriptions.write(buffer) } else { self.held.writeImmutableBuffer(buffer) }
    }

    func end(_ error: UpstreamError?) {
        self.commands.end(error)
        self.subscriptions.end(error)
    }

    /// Ends in order: what was sent is answered first.
    func leave() {
        self.subscriptions.end(nil)
        self.commands.leave()
    }
}

@available(*, unavailable)
extension ShardNode: Sendable {}

/// The connection for commands.
final class ShardCommandRole: ConnectionRole {
    private unowned let node: ShardNode
    private unowned let delegate: any ShardNodeDelegate

    init(node: ShardNode, delegate: any ShardNodeDelegate) {
        self.node = node
        self.delegate = delegate
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        try self.delegate.replyReceived(reader, from: self.node)
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {
        self.delegate.repliesCompleted()
    }

    func connectionEnded(_ reader: ReplyReader) {}

    func ping() {
        self.delegate.pingDue(.commands, at: self.node)
    }
}

@available(*, unavailable)
extension ShardCommandRole: Sendable {}

/// The connection for subscriptions.
final class ShardSubscriptionRole: ConnectionRole {
    private unowned let node: ShardNode
    private unowned let delegate: any ShardNodeDelegate
    private let arrivals: Arrivals

    init(node: ShardNode, delegate: any ShardNodeDelegate, arrivals: Arrivals) {
        self.node = node
        self.delegate = delegate
        self.arrivals = arrivals
    }

    func attach(_ connection: any RedisConnection) {
        self.arrivals.attach(connection)
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        switch reader.token(at: 0).kind {
        case .array where reader.tokens.count == 4 && reader.isString(at: 1, "smessage"):
            self.arrivals.append(
                self.arrivals.name(reader.token(at: 2), in: reader), reader.token(at: 3), in: reader)
        case .array where reader.tokens.count == 4 && reader.isString(at: 1, "ssubscribe"):
            try self.delegate.subscribed(reader.text(at: 2), at: self.node)
        case .array where reader.tokens.count == 4 && reader.isString(at: 1, "sunsubscribe"):
            self.delegate.unsubscribed(reader.text(at: 2), at: self.node)
        case .array where reader.tokens.count == 3 && reader.isString(at: 1, "pong"):
            try self.delegate.pongReceived(from: self.node)
        case .status where reader.text(at: 0) == "PONG":
            // Redis answers like this as long as nothing is subscribed.
            try self.delegate.pongReceived(from: self.node)
        case .error:
            try self.delegate.errorReceived(ErrorReply(text: reader.text(at: 0)), from: self.node)
        default:
            throw UpstreamError(.protocolViolation, "Redis sent what belongs to no subscription")
        }
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {
        self.arrivals.readCompleted(reader)
    }

    func connectionEnded(_ reader: ReplyReader) {
        self.arrivals.deliver(reader)
    }

    func ping() {
        self.delegate.pingDue(.subscriptions, at: self.node)
    }
}

@available(*, unavailable)
extension ShardSubscriptionRole: Sendable {}
