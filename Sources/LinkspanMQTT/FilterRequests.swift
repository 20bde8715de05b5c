/// SUBSCRIBE and UNSUBSCRIBE packets: what is still to be sent, in order, and what waits for its answer.
struct FilterRequests<Instant: InstantProtocol> {
    enum Kind {
        case subscribe
        case unsubscribe
        /// A filter as those have it who share nothing.
        case unsubscribeUnshared
    }

    struct Request {
        var kind: Kind
        var topics: [Topic]
        var sentAt: Instant
    }

    /// Most topics in one packet, and most bytes of them: brokers bound both.
    static var topicLimit: Int { 100 }
    static var byteLimit: Int { 16_384 }
    /// Most packets waiting for their answer.
    static var outstandingLimit: Int { 8 }

    private var queue: [(kind: Kind, topic: Topic)] = []
    private var head = 0
    private var outstanding: [UInt16: Request] = [:]

    var isEmpty: Bool { self.head == self.queue.count && self.outstanding.isEmpty }

    /// When the oldest request without an answer was sent.
    var oldest: Instant? {
        self.outstanding.values.map(\.sentAt).min()
    }

    mutating func add(_ kind: Kind, _ topics: some Collection<Topic>) {
        self.queue.append(contentsOf: topics.map { (kind, $0) })
    }

    /// The next packet's content; nil when there is none, or too many wait for their answer.
    mutating func next() -> (kind: Kind, topics: [Topic])? {
        guard self.head < self.queue.count, self.outstanding.count < Self.outstandingLimit else { return nil }
        let kind = self.queue[self.head].kind
        var topics: [Topic] = []
        var bytes = 0
        while self.head < self.queue.count, self.queue[self.head].kind == kind, topics.count < Self.topicLimit {
            let topic = self.queue[self.head].topic
            bytes += topic.text.utf8.count
            if bytes > Self.byteLimit, !topics.isEmpty { break }
            topics.append(topic)
            self.head += 1
        }
        if self.head == self.queue.count {
            self.queue.removeAll(keepingCapacity: self.queue.count <= 1024)
            self.head = 0
        }
        return (kind, topics)
    }

    mutating func sent(_ identifier: UInt16, _ request: Request) {
        self.outstanding[identifier] = request
    }

    mutating func answered(_ identifier: UInt16) -> Request? {
        self.outstanding.removeValue(forKey: identifier)
    }
}
