internal import LinkspanBridgeKit

/// Tickets that were settled, joined into ranges, so that the host is told in batches.
struct TicketRuns: Equatable {
    private(set) var ranges: [ClosedRange<UInt64>] = []

    mutating func append(_ ticket: UInt64) {
        if let last = self.ranges.last, last.upperBound &+ 1 == ticket {
            self.ranges[self.ranges.count - 1] = last.lowerBound...ticket
        } else {
            self.ranges.append(ticket...ticket)
        }
    }

    mutating func removeAll() {
        self.ranges.removeAll(keepingCapacity: true)
    }
}

/// What is published on one AMQP channel and not yet settled by the upstream. Pure.
///
/// The upstream numbers publishes from 1 per channel (publisher confirms) and may settle them in any order, one by one or up to a tag.
/// A message returned as unroutable is acknowledged afterwards; that acknowledgement settles it as unroutable.
struct PublishWindow {
    private struct Entry {
        var message: EgressMessage
        var isReturned = false
    }

    /// What became of publishes since it was last emptied.
    struct Settlement {
        var confirmed = TicketRuns()
        var unroutable: [UInt64] = []
        /// The upstream could not take these now; to be published again.
        var rejected: [EgressMessage] = []

        mutating func removeAll() {
            self.confirmed.removeAll()
            self.unroutable.removeAll(keepingCapacity: true)
            self.rejected.removeAll(keepingCapacity: true)
        }
    }

    /// Most that may be unsettled; never more than at first.
    var limit: Int
    private var ring: [Entry?]
    private let mask: UInt64
    /// The oldest tag that may be unsettled.
    private var first: UInt64 = 1
    private var next: UInt64 = 1
    /// Returns come in the order of publishes: the search for the next one starts behind the last one.
    private var returnHint: UInt64 = 1

    init(limit: Int) {
        self.limit = limit
        var capacity = 1
        while capacity < limit { capacity *= 2 }
        self.ring = Array(repeating: nil, count: capacity)
        self.mask = UInt64(capacity - 1)
    }

    var isEmpty: Bool { self.first == self.next }
    /// From the oldest that is unsettled to the newest that was published.
    var underWay: Int { Int(self.next - self.first) }
    /// How many more may be published now.
    var room: Int { max(0, self.limit - self.underWay) }

    /// - Precondition: there is ``room``.
    mutating func published(_ message: EgressMessage) {
        precondition(self.room > 0, "published past the confirm window")
        self.ring[Int(self.next & self.mask)] = Entry(message: message)
        self.next += 1
    }

    /// `basic.ack`; tags that are unknown or settled already are ignored.
    mutating func acknowledged(_ tag: UInt64, multiple: Bool, into settlement: inout Settlement) {
        self.settle(tag, multiple: multiple) { entry in
            if entry.isReturned {
                settlement.unroutable.append(entry.message.ticket)
            } else {
                settlement.confirmed.append(entry.message.ticket)
            }
        }
    }

    /// `basic.nack`.
    mutating func rejected(_ tag: UInt64, multiple: Bool, into settlement: inout Settlement) {
        self.settle(tag, multiple: multiple) { entry in
            settlement.rejected.append(entry.message)
        }
    }

    private mutating func settle(_ tag: UInt64, multiple: Bool, _ body: (Entry) -> Void) {
        // With `multiple`, tag 0 means all so far (AMQP 0-9-1, basic.ack).
        let last = multiple && tag == 0 ? self.next &- 1 : tag
        let start = multiple ? self.first : tag
        guard start >= self.first, last < self.next, start <= last else { return }
        for tag in start...last {
            guard let entry = self.ring[Int(tag & self.mask)] else { continue }
            self.ring[Int(tag & self.mask)] = nil
            body(entry)
        }
        while self.first < self.next, self.ring[Int(self.first & self.mask)] == nil { self.first += 1 }
    }

    /// `basic.return`: marks the oldest unsettled message, not yet marked, for which `matches` holds.
    mutating func returned(where matches: (EgressMessage) -> Bool) {
        let hint = max(self.first, min(self.returnHint, self.next))
        guard let tag = self.find(hint..<self.next, matches) ?? self.find(self.first..<hint, matches) else { return }
        self.ring[Int(tag & self.mask)]?.isReturned = true
        self.returnHint = tag + 1
    }

    private func find(_ tags: Range<UInt64>, _ matches: (EgressMessage) -> Bool) -> UInt64? {
        tags.first { tag in
            guard let entry = self.ring[Int(tag & self.mask)] else { return false }
            return !entry.isReturned && matches(entry.message)
        }
    }

    /// The AMQP channel is gone and with it its numbering; what was unsettled is unknown to both sides.
    ///
    /// - Returns: the unsettled messages, oldest first.
    mutating func channelClosed() -> [EgressMessage] {
        var unsettled: [EgressMessage] = []
        for tag in self.first..<self.next {
            guard let entry = self.ring[Int(tag & self.mask)] else { continue }
            unsettled.append(entry.message)
            self.ring[Int(tag & self.mask)] = nil
        }
        self.first = 1
        self.next = 1
        self.returnHint = 1
        return unsettled
    }
}
