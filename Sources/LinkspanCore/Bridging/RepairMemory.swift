public import LinkspanBridgeKit
public import NIOCore

/// One message that is sent again, with the identity it always had.
public struct RepairedMessage: Sendable, Hashable {
    public var channel: ChannelName
    public var header: EnvelopeHeader
    /// As it was published; empty for a publish without data.
    public var data: ByteBuffer

    public init(channel: ChannelName, header: EnvelopeHeader, data: ByteBuffer) {
        self.channel = channel
        self.header = header
        self.data = data
    }
}

/// The sender's side of repair over one bridge: remembers what was handed to the upstream, and answers who missed some of it.
///
/// Bounded by bytes and age. A requester cannot make it work or send without end: each gets at most the size of the memory per window, all
/// together at most four times that, and what was answered a moment ago is not answered again, since everybody heard it.
public struct RepairMemory: Sendable {
    /// Bytes that a message costs beside its payload.
    public static let costPerMessage = 128

    /// Most requesters that are known apart; past it the one that was silent longest is forgotten.
    public static let requesterLimit = 64

    /// Remembered messages that all requests together make it look at in a second: a few bytes can name all of them, many times over.
    public static let looksPerSecond = 1 << 20

    public private(set) var usedBytes = 0

    /// Messages that were sent again.
    public private(set) var answeredCount: UInt64 = 0
    /// Ranges that were asked for of which nothing is remembered, or no longer.
    public private(set) var unknownCount: UInt64 = 0
    /// Ranges that were answered in part or not at all, because the requester, this answer or this second had its share.
    public private(set) var deniedCount: UInt64 = 0

    private let settings: RepairSettings
    private let window: TimeAmount
    private var streams: [StreamKey: Int] = [:]
    private var entries: [RepairStream] = []
    private var freeStreams: [Int] = []
    /// The stream of each message, the oldest first.
    private var order = CircularBuffer<Int32>()
    private var last: (name: UpstreamName, instance: InstanceID, epoch: UInt64, index: Int)?
    private var total: Budget
    private var looks = Budget(capacity: Self.looksPerSecond, window: .seconds(1))
    private var requesters: [InstanceID: Requester] = [:]

    private struct StreamKey: Hashable {
        var name: UpstreamName
        var instance: InstanceID
        var epoch: UInt64
    }

    private struct Requester {
        var budget: Budget
        var lastHeard: NIODeadline
    }

    public init(settings: RepairSettings) {
        self.settings = settings
        self.window = TimeAmount(settings.window)
        self.total = Budget(capacity: 4 * settings.sizeBytes, window: TimeAmount(settings.window))
    }

    public var count: Int { self.order.count }

    // MARK: Remembering

    /// Remembers one message; older ones go when there is no room.
    ///
    /// - Parameters:
    ///   - name: the upstream name of its channel.
    ///   - data: with storage that is not much larger than what it shows.
    public mutating func remember(_ name: String, _ header: EnvelopeHeader, _ data: ByteBuffer, at now: NIODeadline) {
        let cost = data.readableBytes + Self.costPerMessage
        guard cost <= self.settings.sizeBytes else { return }
        self.expire(at: now)
        while self.usedBytes + cost > self.settings.sizeBytes { self.forgetOldest() }
        let index = self.stream(UpstreamName(name), header.origin)
        guard self.entries[index].insert(RememberedMessage(header: header, data: data, at: now)) else { return }
        self.order.append(Int32(index))
        self.usedBytes += cost
    }

    /// Forgets what is older than the settings' window.
    public mutating func expire(at now: NIODeadline) {
        while let index = self.order.first, let oldest = self.entries[Int(index)].messages.first,
            oldest.at + self.window <= now
        {
            self.forgetOldest()
        }
    }

    private mutating func forgetOldest() {
        guard let index = self.order.popFirst().map(Int.init) else { return }
        if let oldest = self.entries[index].messages.popFirst() {
            self.usedBytes -= oldest.data.readableBytes + Self.costPerMessage
        }
        guard self.entries[index].messages.isEmpty else { return }
        let key = StreamKey(
            name: self.entries[index].name, instance: self.entries[index].instance, epoch: self.entries[index].epoch)
        self.streams[key] = nil
        self.freeStreams.append(index)
        if self.last?.index == index { self.last = nil }
    }

    private mutating func stream(_ name: UpstreamName, _ origin: Origin) -> Int {
        if let last, last.epoch == origin.epoch, last.name == name, last.instance == origin.instance {
            return last.index
        }
        let key = StreamKey(name: name, instance: origin.instance, epoch: origin.epoch)
        let index = self.streams[key] ?? self.makeStream(key)
        self.last = (name, origin.instance, origin.epoch, index)
        return index
    }

    private mutating func makeStream(_ key: StreamKey) -> Int {
        let stream = RepairStream(name: key.name, instance: key.instance, epoch: key.epoch)
        let index: Int
        if let free = self.freeStreams.popLast() {
            self.entries[free] = stream
            index = free
        } else {
            self.entries.append(stream)
            index = self.entries.count - 1
        }
        self.streams[key] = index
        return index
    }

    // MARK: Answering

    /// The messages that answer a request, oldest first in each want.
    ///
    /// - Parameters:
    ///   - name: gives the upstream name of a channel.
    ///   - byteLimit: most bytes of this answer; who asks again gets the rest.
    public mutating func answer(
        _ request: RepairRequest, byteLimit: Int, at now: NIODeadline, name: (ChannelName) -> String?
    ) -> [RepairedMessage] {
        self.expire(at: now)
        let looksLeft = self.looks.left(at: now, atMost: Round.lookLimit)
        var round = Round(
            requester: self.requester(request.requester, at: now), bytesLeft: byteLimit, looksLeft: looksLeft)
        for want in request.wants {
            let key = name(want.channel).map {
                StreamKey(name: UpstreamName($0), instance: want.instance, epoch: want.epoch)
            }
            guard let index = key.flatMap({ self.streams[$0] }) else {
                self.unknownCount += 1
                continue
            }
            for range in want.ranges { self.answer(range, of: want.channel, index, at: now, &round) }
        }
        self.looks.spend(looksLeft - round.looksLeft)
        self.requesters[request.requester] = round.requester
        self.answeredCount += UInt64(round.messages.count)
        return round.messages
    }

    private mutating func answer(
        _ range: ClosedRange<UInt64>, of channel: ChannelName, _ index: Int, at now: NIODeadline, _ round: inout Round
    ) {
        guard round.looksLeft > 0 else { return self.deniedCount += 1 }
        let positions = self.entries[index].positions(of: range)
        if positions.isEmpty { self.unknownCount += 1 }
        for position in positions {
            guard round.looksLeft > 0 else { return self.deniedCount += 1 }
            round.looksLeft -= 1
            let message = self.entries[index].messages[offset: position]
            if let answeredAt = message.answeredAt, answeredAt + self.settings.quiet > now { continue }
            let cost = message.data.readableBytes + Self.costPerMessage
            guard cost <= round.bytesLeft || round.messages.isEmpty, round.requester.budget.holds(cost, at: now),
                self.total.holds(cost, at: now)
            else { return self.deniedCount += 1 }
            round.requester.budget.spend(cost)
            self.total.spend(cost)
            round.bytesLeft -= cost
            self.entries[index].messages[offset: position].answeredAt = now
            round.messages.append(RepairedMessage(channel: channel, header: message.header, data: message.data))
        }
    }

    /// One answer while it is put together.
    private struct Round {
        var requester: Requester
        var bytesLeft: Int
        /// A request may name the same messages again and again.
        var looksLeft: Int
        var messages: [RepairedMessage] = []

        static let lookLimit = 65_536
    }

    private mutating func requester(_ instance: InstanceID, at now: NIODeadline) -> Requester {
        if var known = self.requesters[instance] {
            known.lastHeard = now
            return known
        }
        if self.requesters.count >= Self.requesterLimit,
            let silent = self.requesters.min(by: { $0.value.lastHeard < $1.value.lastHeard })
        {
            self.requesters[silent.key] = nil
        }
        return Requester(
            budget: Budget(capacity: self.settings.sizeBytes, window: self.window), lastHeard: now)
    }
}

private struct RememberedMessage: Sendable {
    let header: EnvelopeHeader
    let data: ByteBuffer
    let at: NIODeadline
    /// When it was sent again last.
    var answeredAt: NIODeadline?

    init(header: EnvelopeHeader, data: ByteBuffer, at: NIODeadline) {
        self.header = header
        self.data = data
        self.at = at
    }
}

/// The messages of one channel, origin and epoch, their numbers ascending.
private struct RepairStream: Sendable {
    let name: UpstreamName
    let instance: InstanceID
    let epoch: UInt64
    var messages = CircularBuffer<RememberedMessage>()

    init(name: UpstreamName, instance: InstanceID, epoch: UInt64) {
        self.name = name
        self.instance = instance
        self.epoch = epoch
    }

    /// False when the number is known already.
    mutating func insert(_ message: RememberedMessage) -> Bool {
        let sequence = message.header.origin.sequence
        // Only what is carried onward late comes out of order.
        guard let last = self.messages.last?.header.origin.sequence, sequence <= last else {
            self.messages.append(message)
            return true
        }
        let position = self.position(from: sequence)
        guard self.messages[offset: position].header.origin.sequence != sequence else { return false }
        self.messages.insert(message, at: self.messages.index(self.messages.startIndex, offsetBy: position))
        return true
    }

    func positions(of range: ClosedRange<UInt64>) -> Range<Int> {
        let end = range.upperBound == .max ? self.messages.count : self.position(from: range.upperBound + 1)
        return self.position(from: range.lowerBound)..<end
    }

    /// Of the first message whose number is not below `sequence`.
    private func position(from sequence: UInt64) -> Int {
        var low = 0
        var high = self.messages.count
        while low < high {
            let middle = (low + high) / 2
            if self.messages[offset: middle].header.origin.sequence < sequence {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}

/// What may be spent: `capacity` at first, and as much again in each `window`.
struct Budget: Sendable {
    private let capacity: Double
    private let window: Double
    private var available: Double
    private var refilledAt: NIODeadline?

    init(capacity: Int, window: TimeAmount) {
        self.capacity = Double(capacity)
        self.window = Double(max(window.nanoseconds, 1))
        self.available = Double(capacity)
    }

    mutating func holds(_ amount: Int, at now: NIODeadline) -> Bool {
        self.refill(at: now)
        return Double(amount) <= self.available
    }

    mutating func left(at now: NIODeadline, atMost limit: Int) -> Int {
        self.refill(at: now)
        return Int(min(max(self.available, 0), Double(limit)))
    }

    private mutating func refill(at now: NIODeadline) {
        if let refilledAt {
            let share = Double((now - refilledAt).nanoseconds) / self.window
            self.available = min(self.capacity, self.available + share * self.capacity)
        }
        self.refilledAt = now
    }

    mutating func spend(_ amount: Int) {
        self.available -= Double(amount)
    }
}
