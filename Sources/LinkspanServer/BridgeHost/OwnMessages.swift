internal import NIOCore

/// What one bridge has to say to other instances, beside the messages of channels: marks, requests for repair and answers to them.
///
/// It waits only while the upstream is there, within bounds, and is in no ledger: whoever needs it asks or tells again.
struct OwnMessages: Sendable {
    struct Message: Sendable {
        var name: String
        var payload: ByteBuffer
        /// Nil for what the upstream keeps as it keeps messages of channels.
        var lifetime: Duration?
    }

    /// Bytes that may wait.
    static let byteLimit = 4 << 20

    private(set) var byteCount = 0
    private var waiting = CircularBuffer<Message>()

    var isEmpty: Bool { self.waiting.isEmpty }

    /// Bytes that still find room.
    var room: Int { max(Self.byteLimit - self.byteCount, 0) }

    /// False when there is no room.
    @discardableResult
    mutating func append(_ message: Message) -> Bool {
        guard self.isEmpty || message.payload.readableBytes <= self.room else { return false }
        self.byteCount += message.payload.readableBytes
        self.waiting.append(message)
        return true
    }

    mutating func next() -> Message? {
        guard let message = self.waiting.popFirst() else { return nil }
        self.byteCount -= message.payload.readableBytes
        return message
    }

    mutating func removeAll() {
        self.waiting.removeAll()
        self.byteCount = 0
    }
}
