/// What was given to the library and is not settled yet, in the order of sending.
struct PublishWindow<Instant: InstantProtocol> {
    struct Entry {
        /// The packet identifier (MQTT 5, 2.2.1), which the library also gives to messages of QoS 0.
        var identifier: UInt16
        var ticket: UInt64
        var bytes: Int
        var sentAt: Instant
        fileprivate(set) var isSettled = false

        init(identifier: UInt16, ticket: UInt64, bytes: Int, sentAt: Instant) {
            self.identifier = identifier
            self.ticket = ticket
            self.bytes = bytes
            self.sentAt = sentAt
        }
    }

    /// Messages and payload bytes under way.
    private(set) var count = 0
    private(set) var bytes = 0

    private var entries: [Entry] = []
    private var head = 0

    /// When the oldest message under way was sent.
    var oldest: Instant? {
        self.head < self.entries.count ? self.entries[self.head].sentAt : nil
    }

    mutating func sent(_ entry: Entry) {
        self.entries.append(entry)
        self.count += 1
        self.bytes += entry.bytes
    }

    /// The upstream answered for `identifier`: its ticket, or nil when nothing is under way with it.
    ///
    /// - Complexity: O(1) while answers come in the order of sending, which brokers keep; else O(messages under way).
    mutating func settled(_ identifier: UInt16) -> UInt64? {
        for index in self.head..<self.entries.count
        where self.entries[index].identifier == identifier && !self.entries[index].isSettled {
            self.entries[index].isSettled = true
            self.count -= 1
            self.bytes -= self.entries[index].bytes
            let ticket = self.entries[index].ticket
            self.forgetSettled()
            return ticket
        }
        return nil
    }

    private mutating func forgetSettled() {
        while self.head < self.entries.count, self.entries[self.head].isSettled { self.head += 1 }
        if self.head == self.entries.count {
            self.entries.removeAll(keepingCapacity: true)
            self.head = 0
        } else if self.head >= 4096 {
            self.entries.removeFirst(self.head)
            self.head = 0
        }
    }
}

/// Gathers confirmed tickets into ranges, so that one call confirms a whole turn.
struct TicketRanges: Equatable {
    private(set) var ranges: [ClosedRange<UInt64>] = []

    mutating func append(_ ticket: UInt64) {
        if let last = self.ranges.last, last.upperBound < ticket, last.upperBound + 1 == ticket {
            self.ranges[self.ranges.count - 1] = last.lowerBound...ticket
        } else {
            self.ranges.append(ticket...ticket)
        }
    }

    mutating func removeAll() {
        self.ranges.removeAll(keepingCapacity: true)
    }
}
