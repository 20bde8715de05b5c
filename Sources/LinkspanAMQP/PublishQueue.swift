internal import LinkspanBridgeKit

/// Messages that wait to be published, first and again, and how carefully. Pure.
///
/// The upstream closes an AMQP channel at the first publish it does not allow, without saying which, and discards what follows it.
/// So the unsettled ones are published again one at a time: the one that closes the channel while it is alone is the offender.
struct PublishQueue {
    private var waiting: [EgressMessage] = []
    private var head = 0
    /// Whether to keep a single message under way until the queue is empty.
    private(set) var isCareful = false

    var isEmpty: Bool { self.head == self.waiting.count }

    /// - Parameters:
    ///   - unsettled: what was under way, oldest first.
    ///   - isPoison: whether the upstream closed the channel because of a publish.
    /// - Returns: the message that closed the channel, when that is certain; it is not queued again.
    mutating func channelClosed(unsettled: [EgressMessage], isPoison: Bool) -> EgressMessage? {
        if isPoison, unsettled.count == 1 {
            self.isCareful = self.isCareful && !self.isEmpty
            return unsettled[0]
        }
        self.waiting = unsettled + self.waiting[self.head...]
        self.head = 0
        self.isCareful = (self.isCareful || isPoison) && !self.isEmpty
        return nil
    }

    mutating func append(_ messages: [EgressMessage]) {
        self.waiting.append(contentsOf: messages)
    }

    /// Whether ``next(isWindowEmpty:)`` would return one.
    func canSend(isWindowEmpty: Bool) -> Bool {
        !self.isEmpty && (!self.isCareful || isWindowEmpty)
    }

    /// The oldest one, if it may be published now.
    mutating func next(isWindowEmpty: Bool) -> EgressMessage? {
        guard self.canSend(isWindowEmpty: isWindowEmpty) else { return nil }
        let message = self.waiting[self.head]
        self.head += 1
        if self.isEmpty {
            self.waiting.removeAll(keepingCapacity: true)
            self.head = 0
        }
        return message
    }

    /// Ends the careful mode once nothing is left to publish again and the last one was settled.
    mutating func settled(isWindowEmpty: Bool) {
        if self.isEmpty, isWindowEmpty { self.isCareful = false }
    }
}

/// Names whose publish the upstream forbade a short while ago, so that they do not close the AMQP channel over and over. Pure.
struct ForbiddenNames {
    /// Nanoseconds after which one more publish may try whether the permission changed.
    static let memory: UInt64 = 30_000_000_000
    static let limit = 1_024

    private var until: [RoutingKey: UInt64] = [:]

    var isEmpty: Bool { self.until.isEmpty }

    mutating func insert(_ name: String, now: UInt64) {
        if self.until.count >= Self.limit {
            self.until = self.until.filter { $0.value > now }
        }
        guard self.until.count < Self.limit else { return }
        self.until[RoutingKey(name)] = now &+ Self.memory
    }

    mutating func contains(_ name: String, now: UInt64) -> Bool {
        let key = RoutingKey(name)
        guard let until = self.until[key] else { return false }
        if until > now { return true }
        self.until[key] = nil
        return false
    }
}
