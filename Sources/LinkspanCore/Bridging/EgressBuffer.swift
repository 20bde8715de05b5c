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
    /// Which record of the disk buffer it is; 0 for none.
    var position: UInt64 = 0
    /// Who waits for what becomes of it.
    var receipt: EgressReceipt?

    public init(
        name: String, data: ByteBuffer, header: EnvelopeHeader?, acceptedAt: NIODeadline,
        receipt: EgressReceipt? = nil
    ) {
        self.receipt = receipt
        self.name = name
        self.data = data
        self.header = header
        self.acceptedAt = acceptedAt
    }

    /// What it counts for against the buffer's bound.
    var cost: Int { self.data.readableBytes + EgressBuffer.costPerMessage }

    /// Bytes of its record in a disk buffer.
    var storedBytes: Int {
        StoredRecord.size(name: self.name, header: self.header, dataBytes: self.data.readableBytes)
    }

    /// Stands where an envelope was given up from the middle; no upstream has an empty name.
    static let hole = BufferedEnvelope(name: "", data: ByteBuffer(), header: nil, acceptedAt: .distantPast)

    var isHole: Bool { self.name.isEmpty }
}

/// The envelopes of one bridge between the channel owners and the upstream: first waiting, then in flight under a ticket.
///
/// Bounded by bytes and number, both parts together. The ledger balances after every call. In steady state nothing is allocated per message:
/// both parts are rings that keep their capacity.
///
/// With ``OverflowPolicy/block`` the bound is where ``isBlocking`` becomes true and the publishers are no longer read. What they had under way by
/// then still finds room, up to ``reserveBytes``.
///
/// With ``BufferType/disk`` an envelope is written to a file before it can be taken, and only the oldest ones are also in memory; see
/// `EgressBuffer+Disk.swift`.
public struct EgressBuffer: Sendable {
    /// Bytes that a message costs beside its payload.
    public static let costPerMessage = 64

    public internal(set) var ledger = EgressLedger()

    /// Bytes beyond the bound for what was under way when publishers were told to wait: as much as may wait in one inbox.
    public static let reserveBytes = 32 << 20

    /// Payload bytes waiting and in flight, plus ``costPerMessage`` each; never more than the settings' `sizeBytes`, and with
    /// ``OverflowPolicy/block`` never more than ``reserveBytes`` beyond.
    public var usedBytes: Int { self.disk?.usedBytes ?? self.memoryBytes }

    /// Whether publishers should wait: from the bound on until a quarter of it is free again. Only with ``OverflowPolicy/block``.
    public private(set) var isBlocking = false

    /// Confirmations and refusals of tickets that were not in flight; a sign of a faulty bridge.
    public private(set) var strayTickets: UInt64 = 0

    let settings: BufferSettings
    private let guarantee: Guarantee
    private let maximumAge: TimeAmount?
    var waiting: WaitingEnvelopes
    /// What waits behind `waiting`; nil for a buffer in memory, which has nothing there.
    var disk: DiskQueue?
    private var memoryBytes = 0
    /// Of envelopes in flight, by ticket.
    private var receipts: [UInt64: EgressReceipt] = [:]
    /// Of envelopes that are on disk only, by position.
    var storedReceipts: [UInt64: EgressReceipt] = [:]
    /// What receipts are to be told.
    private var notices: [(receipt: EgressReceipt, outcome: EgressOutcome)] = []
    /// One for each ticket from the oldest in flight on.
    private var flying = CircularBuffer<FlightRecord>()
    /// Beside `flying`, only when a lost link means sending again.
    private var kept = CircularBuffer<BufferedEnvelope?>()
    private var nextTicket: UInt64 = 1

    public init(settings: BufferSettings, guarantee: Guarantee) {
        self.settings = settings
        self.guarantee = guarantee
        self.maximumAge = settings.age.map { TimeAmount($0) }
        self.waiting = WaitingEnvelopes(findsSuperseded: settings.whenFull == .latestPerChannel)
        self.disk = settings.type == .disk ? DiskQueue(sizeBytes: settings.sizeBytes) : nil
    }

    /// Whether there is something to take.
    public var hasWaiting: Bool { !self.waiting.isEmpty }

    /// Whether everything accepted is accounted for.
    public var isSettled: Bool { self.ledger.buffered == 0 && self.ledger.inFlight == 0 }

    /// What receipts are to be told, once nobody holds a lock any more.
    public mutating func takeNotices() -> [(receipt: EgressReceipt, outcome: EgressOutcome)] {
        guard !self.notices.isEmpty else { return [] }
        defer { self.notices = [] }
        return self.notices
    }

    mutating func tell(_ receipt: EgressReceipt?, _ outcome: EgressOutcome) {
        if let receipt { self.notices.append((receipt, outcome)) }
    }

    // MARK: In

    /// Accepts one envelope; what does not fit is dropped by the settings' policy and counted.
    public mutating func append(_ envelope: BufferedEnvelope) {
        self.ledger.accepted += 1
        if self.disk != nil { return self.appendToDisk(envelope) }
        let cost = envelope.cost
        guard cost <= self.settings.sizeBytes else { return self.drop(envelope.receipt, .tooLarge) }
        guard self.makeRoom(for: envelope, cost: cost) else { return self.drop(envelope.receipt, .bufferFull) }
        self.memoryBytes += cost
        self.waiting.append(envelope)
        self.ledger.buffered += 1
        self.tell(envelope.receipt, .buffered)
        self.noteBlocking()
    }

    /// Accounts for an envelope that cannot leave by this bridge.
    public mutating func acceptAndDrop(_ reason: DropReason, receipt: EgressReceipt? = nil) {
        self.ledger.accepted += 1
        self.drop(receipt, reason)
    }

    /// Accounts for an envelope that this bridge passes over on purpose.
    public mutating func acceptAndFilter(receipt: EgressReceipt? = nil) {
        self.ledger.accepted += 1
        self.ledger.filtered += 1
        self.tell(receipt, .filtered)
    }

    mutating func drop(_ receipt: EgressReceipt?, _ reason: DropReason) {
        self.ledger.dropped[reason] += 1
        self.tell(receipt, .dropped(reason))
    }

    private mutating func makeRoom(for envelope: BufferedEnvelope, cost: Int) -> Bool {
        switch self.settings.whenFull {
        case .dropNewest:
            break
        case .dropOldest:
            while !self.hasRoom(for: cost), self.dropOldestWaiting(.bufferFull) {}
        case .latestPerChannel:
            while !self.hasRoom(for: cost), self.dropSuperseded(by: envelope) {}
        case .block:
            return self.usedBytes + cost <= self.settings.sizeBytes + Self.reserveBytes
        }
        return self.hasRoom(for: cost)
    }

    func hasRoom(for cost: Int) -> Bool {
        self.usedBytes + cost <= self.settings.sizeBytes && self.ledger.pending < self.countLimit
    }

    var countLimit: UInt64 { self.settings.messages.map { UInt64($0) } ?? .max }

    mutating func noteBlocking() {
        guard self.settings.whenFull == .block else { return }
        if let isBlocking = self.disk?.isBlocking(self.isBlocking) { return self.isBlocking = isBlocking }
        let (bytes, count) = (self.settings.sizeBytes, self.countLimit)
        self.isBlocking =
            self.isBlocking
            ? self.usedBytes > bytes / 4 * 3 || self.ledger.pending > count / 4 * 3
            : self.usedBytes >= bytes || self.ledger.pending >= count
    }

    /// Gives up one that a later one of its channel makes needless, `newcomer` included; without any, the oldest of all.
    private mutating func dropSuperseded(by newcomer: BufferedEnvelope) -> Bool {
        guard let superseded = self.waiting.popSuperseded() ?? self.waiting.popLatest(newcomer.name) else {
            return self.dropOldestWaiting(.bufferFull)
        }
        self.forget(superseded)
        self.drop(superseded.receipt, .superseded)
        return true
    }

    mutating func dropOldestWaiting(_ reason: DropReason) -> Bool {
        guard let oldest = self.waiting.popFirst() else { return false }
        self.forget(oldest)
        self.drop(oldest.receipt, reason)
        return true
    }

    private mutating func forget(_ envelope: BufferedEnvelope) {
        self.disk?.left(envelope)
        self.release(envelope.position, cost: envelope.cost)
        self.ledger.buffered -= 1
    }

    /// Gives back the room of an envelope that is settled.
    private mutating func release(_ position: UInt64, cost: Int) {
        if position > 0 { self.disk?.settle(position) } else { self.memoryBytes -= cost }
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
            guard let envelope = self.waiting.popFirst() else { break }
            self.disk?.left(envelope)
            self.flying.append(FlightRecord(cost: envelope.cost, position: envelope.position))
            if self.guarantee == .atLeastOnce { self.kept.append(envelope) }
            if let receipt = envelope.receipt { self.receipts[self.nextTicket] = receipt }
            body(self.nextTicket, envelope)
            self.nextTicket += 1
        }
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
        while let oldest = self.waiting.first, oldest.acceptedAt + maximumAge <= now {
            _ = self.waiting.popFirst()
            self.forget(oldest)
            self.ledger.expired += 1
            self.tell(oldest.receipt, .expired)
        }
        self.noteBlocking()
    }

    /// The upstream has these. Tickets that are not in flight are counted as stray and change nothing else.
    public mutating func confirm(_ tickets: ClosedRange<UInt64>) {
        self.ledger.confirmed += self.settle(tickets, .confirmed)
    }

    /// The upstream will never take this one.
    public mutating func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {
        self.ledger.dropped[DropReason(reason)] += self.settle(ticket...ticket, .dropped(DropReason(reason)))
    }

    /// The link broke: what is in flight is lost, or goes back to the front in its old order, as the guarantee has it.
    public mutating func linkLost() {
        var ticket = self.nextTicket
        while let last = self.flying.popLast() {
            ticket -= 1
            let envelope = self.kept.popLast() ?? nil
            guard !last.isSettled, !last.isOwn else { continue }
            self.ledger.inFlight -= 1
            if let envelope {
                self.disk?.returned(envelope)
                self.waiting.prepend(envelope)
                self.ledger.buffered += 1
            } else {
                self.release(last.position, cost: last.cost)
                self.drop(self.receipts[ticket], .linkLost)
            }
        }
        self.receipts.removeAll()
        self.noteBlocking()
    }

    /// The instance stops: whatever is left is dropped as such, unless it is on disk.
    public mutating func stop() {
        if self.disk != nil { return self.linkLost() }
        while let last = self.flying.popLast() {
            guard !last.isSettled, !last.isOwn else { continue }
            self.memoryBytes -= last.cost
            self.ledger.inFlight -= 1
            self.ledger.dropped[.stopped] += 1
        }
        for receipt in self.receipts.values { self.tell(receipt, .dropped(.stopped)) }
        self.receipts.removeAll()
        self.kept.removeAll()
        while self.dropOldestWaiting(.stopped) {}
        self.noteBlocking()
    }

    // MARK: Memory

    /// Gives up to `limit` waiting envelopes storage of their own; true when there are more to do.
    ///
    /// The owners hand over slices of what one turn gathered for all bridges. An envelope that waits long would keep all of that alive, far
    /// more than it is counted for; called about once a second, this bounds it, and messages on their way through are never copied.
    public mutating func detach(upTo limit: Int) -> Bool {
        self.waiting.detach(upTo: limit)
    }

    /// Returns the memory of rings that a burst has grown, once they are empty.
    public mutating func shrink() {
        self.waiting.shrink()
        guard self.flying.isEmpty, self.flying.capacity > WaitingEnvelopes.keptCapacity else { return }
        self.flying = CircularBuffer()
        self.kept = CircularBuffer()
    }

    /// Marks tickets as settled and says how many envelopes that were in flight are among them.
    private mutating func settle(_ tickets: ClosedRange<UInt64>, _ outcome: EgressOutcome) -> UInt64 {
        let oldest = self.nextTicket - UInt64(self.flying.count)
        let end = tickets.upperBound < self.nextTicket ? tickets.upperBound + 1 : self.nextTicket
        var settled: UInt64 = 0
        var own: UInt64 = 0
        var ticket = max(tickets.lowerBound, oldest)
        while ticket < end {
            let offset = Int(ticket - oldest)
            if self.settleFlying(offset) {
                if !self.receipts.isEmpty { self.tell(self.receipts.removeValue(forKey: ticket), outcome) }
                if self.flying[offset: offset].isOwn { own += 1 } else { settled += 1 }
            }
            ticket += 1
        }
        self.strayTickets &+= tickets.upperBound - tickets.lowerBound &- settled &- own &+ 1
        self.releaseSettled()
        self.ledger.inFlight -= settled
        self.noteBlocking()
        return settled
    }

    /// False when it was settled before.
    private mutating func settleFlying(_ offset: Int) -> Bool {
        guard !self.flying[offset: offset].isSettled else { return false }
        let record = self.flying[offset: offset]
        if !record.isOwn { self.release(record.position, cost: record.cost) }
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
    /// As of the envelope.
    let position: UInt64
    /// A message of the host's own.
    let isOwn: Bool
    var isSettled = false

    init(cost: Int, position: UInt64 = 0, isOwn: Bool = false) {
        self.cost = cost
        self.position = position
        self.isOwn = isOwn
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
