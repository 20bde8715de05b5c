public import LinkspanBridgeKit
public import NIOCore

/// One envelope that waits for an upstream.
public struct BufferedEnvelope: Sendable {
    public var name: String
    public var data: ByteBuffer
    /// Nil for what is raw on purpose.
    public var header: EnvelopeHeader?
    /// When the buffer accepted it.
    public var acceptedAt: NIODeadline

    public init(name: String, data: ByteBuffer, header: EnvelopeHeader?, acceptedAt: NIODeadline) {
        self.name = name
        self.data = data
        self.header = header
        self.acceptedAt = acceptedAt
    }

    /// What it counts for against the buffer's bound.
    var cost: Int { self.data.readableBytes + EgressBuffer.costPerMessage }
}

/// The envelopes of one bridge between the channel owners and the upstream: first waiting, then in flight under a ticket.
///
/// Bounded by bytes, both parts together. The ledger balances after every call. In steady state nothing is allocated per message: both parts
/// are rings that keep their capacity.
public struct EgressBuffer: Sendable {
    /// Bytes that a message costs beside its payload.
    public static let costPerMessage = 64

    public private(set) var ledger = EgressLedger()

    /// Payload bytes waiting and in flight, plus ``costPerMessage`` each; never more than the settings' `sizeBytes`.
    public private(set) var usedBytes = 0

    /// Confirmations and refusals of tickets that were not in flight; a sign of a faulty bridge.
    public private(set) var strayTickets: UInt64 = 0

    private let settings: BufferSettings
    private let guarantee: Guarantee
    private let maximumAge: TimeAmount?
    private var waiting = CircularBuffer<BufferedEnvelope>()
    /// One for each ticket from the oldest in flight on.
    private var flying = CircularBuffer<FlightRecord>()
    /// Beside `flying`, only when a lost link means sending again.
    private var kept = CircularBuffer<BufferedEnvelope?>()
    /// How many at the end of `waiting` may still share storage with what left long ago.
    private var sharingCount = 0
    private var nextTicket: UInt64 = 1

    public init(settings: BufferSettings, guarantee: Guarantee) {
        self.settings = settings
        self.guarantee = guarantee
        self.maximumAge = settings.age.map { TimeAmount($0) }
    }

    /// Whether there is something to take.
    public var hasWaiting: Bool { !self.waiting.isEmpty }

    /// Whether everything accepted is accounted for.
    public var isSettled: Bool { self.ledger.buffered == 0 && self.ledger.inFlight == 0 }

    // MARK: In

    /// Accepts one envelope; what does not fit is dropped by the settings' policy and counted.
    public mutating func append(_ envelope: BufferedEnvelope) {
        self.ledger.accepted += 1
        let cost = envelope.cost
        guard cost <= self.settings.sizeBytes else { return self.ledger.dropped[.tooLarge] += 1 }
        guard self.makeRoom(for: cost) else { return self.ledger.dropped[.bufferFull] += 1 }
        self.usedBytes += cost
        self.waiting.append(envelope)
        self.sharingCount += 1
        self.ledger.buffered += 1
    }

    /// Accounts for an envelope that cannot leave by this bridge.
    public mutating func acceptAndDrop(_ reason: DropReason) {
        self.ledger.accepted += 1
        self.ledger.dropped[reason] += 1
    }

    /// Accounts for an envelope that this bridge passes over on purpose.
    public mutating func acceptAndFilter() {
        self.ledger.accepted += 1
        self.ledger.filtered += 1
    }

    private mutating func makeRoom(for cost: Int) -> Bool {
        if self.settings.whenFull == .dropOldest {
            while self.usedBytes + cost > self.settings.sizeBytes, self.dropOldestWaiting() {
                self.ledger.dropped[.bufferFull] += 1
            }
        }
        return self.usedBytes + cost <= self.settings.sizeBytes
    }

    /// The caller books why.
    private mutating func dropOldestWaiting() -> Bool {
        guard let oldest = self.waiting.popFirst() else { return false }
        self.sharingCount = min(self.sharingCount, self.waiting.count)
        self.usedBytes -= oldest.cost
        self.ledger.buffered -= 1
        return true
    }

    // MARK: Out

    /// Moves up to `limit` envelopes into flight, oldest first, and hands each with its ticket to `body`.
    ///
    /// - Returns: how many there were.
    public mutating func take(
        upTo limit: Int, at now: NIODeadline, _ body: (_ ticket: UInt64, _ envelope: consuming BufferedEnvelope) -> Void
    ) -> Int {
        self.expire(at: now)
        let count = min(max(limit, 0), self.waiting.count)
        for _ in 0..<count {
            let envelope = self.waiting.removeFirst()
            self.flying.append(FlightRecord(cost: envelope.cost))
            if self.guarantee == .atLeastOnce { self.kept.append(envelope) }
            body(self.nextTicket, envelope)
            self.nextTicket += 1
        }
        self.sharingCount = min(self.sharingCount, self.waiting.count)
        self.ledger.buffered -= UInt64(count)
        self.ledger.inFlight += UInt64(count)
        return count
    }

    /// Gives a ticket to a message of the host's own, such as a probe: it is in no ledger, and a lost link just ends it.
    public mutating func launch() -> UInt64 {
        self.flying.append(FlightRecord(cost: 0, isOwn: true))
        if self.guarantee == .atLeastOnce { self.kept.append(nil) }
        defer { self.nextTicket += 1 }
        return self.nextTicket
    }

    /// Drops what waited longer than the settings allow.
    public mutating func expire(at now: NIODeadline) {
        guard let maximumAge = self.maximumAge else { return }
        while let oldest = self.waiting.first, oldest.acceptedAt + maximumAge <= now, self.dropOldestWaiting() {
            self.ledger.expired += 1
        }
    }

    /// The upstream has these. Tickets that are not in flight are counted as stray and change nothing else.
    public mutating func confirm(_ tickets: ClosedRange<UInt64>) {
        self.ledger.confirmed += self.settle(tickets)
    }

    /// The upstream will never take this one.
    public mutating func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {
        self.ledger.dropped[DropReason(reason)] += self.settle(ticket...ticket)
    }

    /// The link broke: what is in flight is lost, or goes back to the front in its old order, as the guarantee has it.
    public mutating func linkLost() {
        while let last = self.flying.popLast() {
            let envelope = self.kept.popLast() ?? nil
            guard !last.isSettled, !last.isOwn else { continue }
            self.ledger.inFlight -= 1
            if let envelope {
                self.waiting.prepend(envelope)
                self.ledger.buffered += 1
            } else {
                self.usedBytes -= last.cost
                self.ledger.dropped[.linkLost] += 1
            }
        }
    }

    /// The instance stops: whatever is left is dropped as such.
    public mutating func stop() {
        while let last = self.flying.popLast() {
            guard !last.isSettled, !last.isOwn else { continue }
            self.usedBytes -= last.cost
            self.ledger.inFlight -= 1
            self.ledger.dropped[.stopped] += 1
        }
        self.kept.removeAll()
        while self.dropOldestWaiting() {
            self.ledger.dropped[.stopped] += 1
        }
    }

    // MARK: Memory

    /// Gives up to `limit` waiting envelopes storage of their own; true when there are more to do.
    ///
    /// The owners hand over slices of what one turn gathered for all bridges. An envelope that waits long would keep all of that alive, far
    /// more than it is counted for; called about once a second, this bounds it, and messages on their way through are never copied.
    public mutating func detach(upTo limit: Int) -> Bool {
        let count = min(self.sharingCount, limit)
        let start = self.waiting.count - self.sharingCount
        var bytes = ByteBuffer()
        bytes.reserveCapacity((start..<start + count).reduce(0) { $0 + self.waiting[offset: $1].data.readableBytes })
        for offset in start..<start + count { bytes.writeImmutableBuffer(self.waiting[offset: offset].data) }
        for offset in start..<start + count {
            let length = self.waiting[offset: offset].data.readableBytes
            if let own = bytes.readSlice(length: length) { self.waiting[offset: offset].data = own }
        }
        self.sharingCount -= count
        return self.sharingCount > 0
    }

    /// Returns the memory of rings that a burst has grown, once they are empty.
    public mutating func shrink() {
        if self.waiting.isEmpty, self.waiting.capacity > Self.keptCapacity { self.waiting = CircularBuffer() }
        guard self.flying.isEmpty, self.flying.capacity > Self.keptCapacity else { return }
        self.flying = CircularBuffer()
        self.kept = CircularBuffer()
    }

    /// Messages.
    private static let keptCapacity = 16_384

    /// Marks tickets as settled and says how many envelopes that were in flight are among them.
    private mutating func settle(_ tickets: ClosedRange<UInt64>) -> UInt64 {
        let oldest = self.nextTicket - UInt64(self.flying.count)
        let end = tickets.upperBound < self.nextTicket ? tickets.upperBound + 1 : self.nextTicket
        var settled: UInt64 = 0
        var own: UInt64 = 0
        var ticket = max(tickets.lowerBound, oldest)
        while ticket < end {
            let offset = Int(ticket - oldest)
            if self.settleFlying(offset) {
                if self.flying[offset: offset].isOwn { own += 1 } else { settled += 1 }
            }
            ticket += 1
        }
        self.strayTickets &+= tickets.upperBound - tickets.lowerBound &- settled &- own &+ 1
        self.releaseSettled()
        self.ledger.inFlight -= settled
        return settled
    }

    /// False when it was settled before.
    private mutating func settleFlying(_ offset: Int) -> Bool {
        guard !self.flying[offset: offset].isSettled else { return false }
        self.usedBytes -= self.flying[offset: offset].cost
        self.flying[offset: offset].isSettled = true
        if !self.kept.isEmpty { self.kept[offset: offset] = nil }
        return true
    }

    private mutating func releaseSettled() {
        while let first = self.flying.first, first.isSettled {
            self.flying.removeFirst()
            _ = self.kept.popFirst()
        }
    }
}

/// One ticket in flight; its place in the ring tells which. Trivial, so that settling a batch touches no reference count.
private struct FlightRecord: Sendable {
    let cost: Int
    /// A message of the host's own.
    let isOwn: Bool
    var isSettled = false

    init(cost: Int, isOwn: Bool = false) {
        self.cost = cost
        self.isOwn = isOwn
    }
}

extension CircularBuffer {
    fileprivate subscript(offset offset: Int) -> Element {
        get { self[self.index(self.startIndex, offsetBy: offset)] }
        set { self[self.index(self.startIndex, offsetBy: offset)] = newValue }
    }
}

extension DropReason {
    public init(_ refusal: EgressRefusal) {
        switch refusal {
        case .badName: self = .badName
        case .tooLarge: self = .tooLarge
        case .forbidden: self = .forbidden
        case .rejected: self = .rejected
        case .unroutable: self = .unroutable
        }
    }
}
