internal import LinkspanBridgeKit
internal import NIOCore

/// The connection for commands: sends messages, many under way at a time, and confirms them as Redis answers.
final class EgressRole: ConnectionRole {
    weak var connection: (any RedisConnection)?

    private let link: BridgeLink
    private let encode: (EgressMessage, inout ByteBuffer) -> Void
    private let repliesCompleted: () -> Void
    private var window: EgressWindow

    /// - Parameters:
    ///   - encode: appends the command that carries a message.
    ///   - repliesCompleted: called when replies came in, so that there may be room for more.
    init(
        link: BridgeLink, window: EgressWindow, encode: @escaping (EgressMessage, inout ByteBuffer) -> Void,
        repliesCompleted: @escaping () -> Void
    ) {
        self.link = link
        self.window = window
        self.encode = encode
        self.repliesCompleted = repliesCompleted
    }

    /// How many messages may be sent now.
    var room: Int { self.connection?.isWritable == true ? self.window.room : 0 }

    func send(_ messages: [EgressMessage]) {
        var size = 0
        for message in messages { size += Self.overhead + message.name.utf8.count + message.payload.readableBytes }
        var buffer = ByteBufferAllocator().buffer(capacity: size)
        for message in messages {
            let start = buffer.writerIndex
            self.encode(message, &buffer)
            self.window.sent(message.ticket, bytes: buffer.writerIndex - start)
        }
        self.connection?.write(buffer)
    }

    /// Bytes of a command beside name and payload, roughly: a first guess of the buffer's size.
    private static let overhead = 48

    func ping() {
        self.sendAside(["PING"])
    }

    /// Sends a command whose reply does not matter.
    func sendAside(_ command: [String]) {
        var buffer = ByteBuffer()
        buffer.writeCommand(command)
        self.sendAside(buffer)
    }

    /// The same for a command that is written already.
    func sendAside(_ command: ByteBuffer) {
        self.window.sentAside()
        self.connection?.write(command)
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        let isError = reader.token(at: 0).kind == .error
        let reply = isError ? EgressWindow.Reply.failure(ErrorReply(text: reader.text(at: 0))) : .success
        switch self.window.replyReceived(reply, confirm: self.link.confirm) {
        case .none:
            break
        case .refuse(let ticket, let reason):
            self.link.refuse(ticket, reason)
        case .end(let code):
            self.confirmAnswered()
            throw reader.refusal(code)
        case .unexpected:
            try reader.checkFarewell()
        }
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {
        self.confirmAnswered()
        self.repliesCompleted()
    }

    func connectionEnded(_ reader: ReplyReader) {
        self.confirmAnswered()
    }

    private func confirmAnswered() {
        self.window.takeConfirmed(self.link.confirm)
    }
}

@available(*, unavailable)
extension EgressRole: Sendable {}
