internal import LinkspanBridgeKit
internal import NIOCore

/// The commands that wait for their replies at the nodes of a cluster, and the messages that a node has sent on to another.
///
/// A message that is sent on was not published, and neither were those of its channel behind it. So they are sent again when every
/// message under way has its answer, in their old order, before anything newer: ``isSettling`` holds that up.
struct ShardWindow {
    enum Aside: Equatable {
        case ping
        /// Who has which slot.
        case slots
    }

    enum Outcome: Equatable {
        case none
        case answered(Aside)
        /// This message will never be taken.
        case refuse(UInt64, EgressRefusal)
        /// Nothing will be taken at present: the conversation ends, and its messages are in flight no more.
        case end(UpstreamError.Code)
        /// A reply that nothing was asked for.
        case unexpected
    }

    private enum Sent {
        case message(EgressMessage, bytes: Int)
        case aside(Aside)
    }

    /// Most messages without a reply.
    let messageLimit: Int
    /// Most bytes of them; one message may exceed it alone.
    let byteLimit: Int

    /// By the number of the node.
    private var waiting: [CircularBuffer<Sent>] = []
    private(set) var messages = 0
    private var bytes = 0
    private var redirected: [(message: EgressMessage, redirection: Redirection)] = []
    private var confirmed: [UInt64] = []
    /// How often in a row messages were sent on and none was taken.
    private(set) var redirectRounds = 0

    init(messageLimit: Int, byteLimit: Int) {
        self.messageLimit = messageLimit
        self.byteLimit = byteLimit
    }

    /// Whether there are messages to be sent again.
    var isSettling: Bool { !self.redirected.isEmpty }

    /// How many messages may be sent now.
    var room: Int { self.isSettling || self.bytes >= self.byteLimit ? 0 : self.messageLimit - self.messages }

    mutating func sent(_ message: EgressMessage, bytes: Int, to node: Int) {
        self.append(.message(message, bytes: bytes), at: node)
        self.messages += 1
        self.bytes += bytes
    }

    mutating func sent(_ aside: Aside, to node: Int) {
        self.append(.aside(aside), at: node)
    }

    private mutating func append(_ sent: Sent, at node: Int) {
        while self.waiting.count <= node { self.waiting.append(CircularBuffer(initialCapacity: 64)) }
        self.waiting[node].append(sent)
    }

    /// - Parameters:
    ///   - error: nil for any other reply.
    ///   - host: of the node.
    mutating func replyReceived(from node: Int, at host: String, error: ErrorReply?) -> Outcome {
        guard self.waiting.indices.contains(node), let sent = self.waiting[node].popFirst() else { return .unexpected }
        guard case .message(let message, let bytes) = sent else {
            if case .aside(let aside) = sent { return .answered(aside) }
            return .none
        }
        self.messages -= 1
        self.bytes -= bytes
        guard let error else {
            self.redirectRounds = 0
            self.confirmed.append(message.ticket)
            return .none
        }
        if let redirection = Redirection(error.text, from: host) {
            self.redirected.append((message, redirection))
            return .none
        }
        switch error.verdict {
        case .refused(let reason): return .refuse(message.ticket, reason)
        case .ends(let code): return .end(code)
        }
    }

    /// Hands over what is confirmed so far; call after each read.
    mutating func takeConfirmed(_ confirm: (ClosedRange<UInt64>) -> Void) {
        guard var low = self.confirmed.min() else { return }
        self.confirmed.sort()
        var high = low
        for ticket in self.confirmed.dropFirst() {
            if ticket != high + 1 {
                confirm(low...high)
                low = ticket
            }
            high = ticket
        }
        confirm(low...high)
        self.confirmed.removeAll(keepingCapacity: true)
    }

    /// Who has which slot, by the nodes that sent messages on.
    var redirections: [Redirection] { self.redirected.map(\.redirection) }

    /// What is to be sent again, in its order.
    mutating func takeRedirected() -> [EgressMessage] {
        self.redirectRounds += 1
        defer { self.redirected.removeAll() }
        return self.redirected.map(\.message)
    }
}
