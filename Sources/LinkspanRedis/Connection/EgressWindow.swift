internal import LinkspanBridgeKit
internal import NIOCore

/// The commands that wait for their replies, which Redis gives in the order of the commands.
struct EgressWindow {
    enum Reply: Equatable {
        case success
        case failure(ErrorReply)
    }

    enum Outcome: Equatable {
        case none
        /// This message will never be taken.
        case refuse(UInt64, EgressRefusal)
        /// Nothing will be taken at present: the conversation ends, and its messages are in flight no more.
        case end(UpstreamError.Code)
        /// A reply that nothing was asked for.
        case unexpected
    }

    /// Marks a command that carries no message, such as PING.
    private static let aside = UInt64.max

    /// Most messages without a reply.
    let messageLimit: Int
    /// Most bytes of them; one message may exceed it alone.
    let byteLimit: Int

    private var waiting: CircularBuffer<(ticket: UInt64, bytes: Int)>
    private(set) var messages = 0
    private(set) var bytes = 0
    private var confirmed: ClosedRange<UInt64>?

    init(messageLimit: Int, byteLimit: Int) {
        self.messageLimit = messageLimit
        self.byteLimit = byteLimit
        self.waiting = CircularBuffer(initialCapacity: min(messageLimit, 4096) + 1)
    }

    /// How many messages may be sent now.
    var room: Int { self.bytes < self.byteLimit ? self.messageLimit - self.messages : 0 }

    var isEmpty: Bool { self.waiting.isEmpty }

    mutating func sent(_ ticket: UInt64, bytes: Int) {
        self.waiting.append((ticket, bytes))
        self.messages += 1
        self.bytes += bytes
    }

    mutating func sentAside() {
        self.waiting.append((Self.aside, 0))
    }

    /// - Parameter confirm: called with tickets that are confirmed and cannot be joined with the ones answered now.
    mutating func replyReceived(_ reply: Reply, confirm: (ClosedRange<UInt64>) -> Void) -> Outcome {
        guard let (ticket, bytes) = self.waiting.popFirst() else { return .unexpected }
        if ticket == Self.aside { return .none }
        self.messages -= 1
        self.bytes -= bytes
        switch reply {
        case .success:
            if let run = self.confirmed, run.upperBound + 1 == ticket {
                self.confirmed = run.lowerBound...ticket
            } else {
                self.takeConfirmed(confirm)
                self.confirmed = ticket...ticket
            }
            return .none
        case .failure(let error):
            switch error.verdict {
            case .refused(let reason): return .refuse(ticket, reason)
            case .ends(let code): return .end(code)
            }
        }
    }

    /// Hands over what is confirmed so far; call after each read.
    mutating func takeConfirmed(_ confirm: (ClosedRange<UInt64>) -> Void) {
        if let run = self.confirmed {
            self.confirmed = nil
            confirm(run)
        }
    }
}
