import LinkspanBridgeKit
import LinkspanBridgeTesting
import Logging
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import LinkspanRedis

/// The subscription connection without a server: bytes in, bytes out.
private final class Wire {
    let channel = EmbeddedChannel()
    let host = Conversation()
    let role: SubscriptionRole
    private(set) var endings: [UpstreamError?] = []
    private(set) var openings = 0
    private var handler: ReplyHandler<SubscriptionRole>!

    init() throws {
        let link = BridgeLink(
            logger: Logger(label: "test"), upstream: UpstreamURL(scheme: "redis", host: "test", port: 1),
            host: self.host)
        self.role = SubscriptionRole(link: link, eventLoop: self.channel.eventLoop)
        self.handler = ReplyHandler(
            role: self.role, name: "the connection",
            login: Login(username: nil, password: Secret("s3cret"), database: 0, clientName: "test"),
            liveness: Liveness(interval: .seconds(5), timeout: .seconds(10), now: .now()),
            isOpen: { [unowned self] _ in self.openings += 1 }, ended: { [unowned self] in self.endings.append($0) })
        self.role.connection = self.handler
        try self.channel.pipeline.syncOperations.addHandler(self.handler)
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// Each piece is a read of its own.
    func receive(_ pieces: [[UInt8]]) throws {
        for piece in pieces where self.channel.isActive {
            try self.channel.writeInbound(ByteBuffer(bytes: piece))
        }
    }

    func leave() {
        self.handler.leave()
    }

    func sent() throws -> String {
        var text = ""
        while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
        return text
    }

    var received: [String] { self.host.read { $0.received.map { "\($0.name)=\(String(buffer: $0.payload))" } } }

    static let letIn = "+OK\r\n+OK\r\n+PONG\r\n$20\r\nredis_version:7.0.15\r\n"
}

/// What it does at the end of its connection ends that connection once more, as a last command does that finds the other connection dead.
private final class PartingRole: ConnectionRole {
    weak var connection: (any RedisConnection)?
    private(set) var partings = 0

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {}
    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {}
    func ping() {}

    func connectionEnded(_ reader: ReplyReader) {
        self.partings += 1
        if self.partings < 3 { self.connection?.end(nil) }
    }
}

@Suite struct ReplyHandlerTests {
    private static let conversation =
        Wire.letIn + "*3\r\n$9\r\nsubscribe\r\n$4\r\nsc/a\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nsc/a\r\n$3\r\n[1]\r\n"
        + "*2\r\n$4\r\npong\r\n$0\r\n\r\n*3\r\n$7\r\nmessage\r\n$4\r\nsc/a\r\n$0\r\n\r\n"
        + "*3\r\n$7\r\nmessage\r\n$4\r\nsc/a\r\n$5\r\n\r\n\u{0}\r\n\r\n"

    @Test func `it logs in, subscribes and delivers, wherever reads are cut`() throws {
        let bytes = Array(Self.conversation.utf8)
        for size in [1, 2, 3, 7, 19, bytes.count] {
            let wire = try Wire()
            #expect(try wire.sent().hasPrefix("*2\r\n$4\r\nAUTH\r\n$6\r\ns3cret\r\n"))
            wire.role.interestChanged([.subscribe(.exact("sc/a"))])
            #expect(try wire.sent() == "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nsc/a\r\n")
            wire.role.ping()
            try wire.receive(
                stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) })
            #expect(wire.openings == 1)
            #expect(wire.received == ["sc/a=[1]", "sc/a=", "sc/a=\r\n\u{0}\r\n"])
            #expect(wire.host.read { $0.settled } == [.exact("sc/a"): true])
            #expect(wire.endings.isEmpty)
            _ = try? wire.channel.finish()
            #expect(wire.endings.map { $0?.code } == [.lost])
        }
    }

    @Test(arguments: [
        "*3\r\n$9\r\nsubscribe\r\n$4\r\nsc/b\r\n:1\r\n", "*3\r\n$11\r\nunsubscribe\r\n$4\r\nsc/a\r\n:1\r\n",
        "+PONG\r\n", "+OK\r\n",
        ":1\r\n", "$3\r\nabc\r\n", "*0\r\n", "*1\r\n$7\r\nmessage\r\n", "*2\r\n$7\r\nmessage\r\n$1\r\na\r\n",
        "*3\r\n:1\r\n:2\r\n:3\r\n",
        "*-1\r\n", "-NOPERM nothing was asked\r\n", ">2\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
    ])
    func `an upstream that breaks the protocol ends the conversation, and nothing more is believed`(reply: String)
        throws
    {
        let wire = try Wire()
        try wire.receive([Array(Wire.letIn.utf8)])
        try wire.receive(Array((reply + "*3\r\n$7\r\nmessage\r\n$4\r\nsc/a\r\n$3\r\n[1]\r\n").utf8).map { [$0] })
        #expect(wire.endings.map { $0?.code } == [.protocolViolation])
        #expect(!wire.channel.isActive)
        #expect(wire.received == [])
    }

    @Test func `a stranger that greets first is not let in`() throws {
        let wire = try Wire()
        try wire.receive([Array("SSH-2.0-OpenSSH_9.2\r\n".utf8)])
        #expect(wire.endings.map { $0?.code } == [.protocolViolation])
        #expect(wire.openings == 0)
    }

    @Test func `leaving says good-bye, and the end is then no error`() throws {
        let wire = try Wire()
        try wire.receive([Array(Wire.letIn.utf8)])
        _ = try wire.sent()
        wire.leave()
        #expect(try wire.sent() == "*1\r\n$4\r\nQUIT\r\n")
        _ = try? wire.channel.finish()
        #expect(wire.endings.map { $0?.code } == [nil])
    }

    @Test func `a connection that is ended again by its own end has ended once`() throws {
        var endings: [UpstreamError?] = []
        let role = PartingRole()
        let handler = ReplyHandler(
            role: role, name: "the connection",
            login: Login(username: nil, password: Secret("s3cret"), database: 0, clientName: "test"),
            liveness: Liveness(interval: .seconds(5), timeout: .seconds(10), now: .now()), isOpen: { _ in },
            ended: { endings.append($0) })
        role.connection = handler
        let channel = EmbeddedChannel(handler: handler)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try channel.writeInbound(ByteBuffer(string: Wire.letIn))
        handler.end(UpstreamError(.lost, "gone"))
        #expect(role.partings == 1 && endings.map { $0?.code } == [.lost])
    }
}
