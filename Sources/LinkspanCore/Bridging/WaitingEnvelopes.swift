internal import LinkspanBridgeKit
internal import NIOCore

/// The envelopes that wait for an upstream, oldest first.
///
/// With `findsSuperseded` it also knows which of them have a later one of their channel behind them, and can give those up from the middle: they
/// leave a hole that is passed over, and holes are swept out before they outnumber what waits.
struct WaitingEnvelopes: Sendable {
    private var ring = CircularBuffer<BufferedEnvelope>()
    private var holeCount = 0
    /// How many at the end of `ring` may still share storage with what left long ago.
    private var sharingCount = 0
    private var latest: LatestIndex?

    init(findsSuperseded: Bool = false) {
        self.latest = findsSuperseded ? LatestIndex() : nil
    }

    var count: Int { self.ring.count - self.holeCount }
    var isEmpty: Bool { self.count == 0 }

    /// The oldest one.
    var first: BufferedEnvelope? {
        // A hole never stays in front.
        self.ring.first
    }

    mutating func append(_ envelope: BufferedEnvelope) {
        self.latest?.appended(UpstreamName(envelope.name), offset: self.ring.count)
        self.ring.append(envelope)
        self.sharingCount += 1
        if (self.latest?.candidateCount ?? 0) > 64 + 2 * self.ring.count { self.rebuild() }
    }

    /// Puts back what was taken last.
    mutating func prepend(_ envelope: BufferedEnvelope) {
        self.latest?.prepended(UpstreamName(envelope.name))
        self.ring.prepend(envelope)
    }

    mutating func popFirst() -> BufferedEnvelope? {
        guard let first = self.removeFront() else { return nil }
        self.sharingCount = min(self.sharingCount, self.ring.count)
        return first
    }

    /// Gives up an envelope that has a later one of its channel behind it; nil when there is none.
    mutating func popSuperseded() -> BufferedEnvelope? {
        while let offset = self.latest?.nextCandidate() {
            guard let name = self.name(at: offset), self.latest?.isLatest(name, offset: offset) == false else {
                continue
            }
            return self.punch(offset)
        }
        return nil
    }

    /// Gives up the latest envelope with that name.
    mutating func popLatest(_ name: String) -> BufferedEnvelope? {
        let name = UpstreamName(name)
        guard let offset = self.latest?.remove(name) else { return nil }
        return self.punch(offset)
    }

    // MARK: Memory

    /// As ``EgressBuffer/detach(upTo:)``.
    mutating func detach(upTo limit: Int) -> Bool {
        let count = min(self.sharingCount, limit)
        let start = self.ring.count - self.sharingCount
        var bytes = ByteBuffer()
        bytes.reserveCapacity((start..<start + count).reduce(0) { $0 + self.ring[offset: $1].data.readableBytes })
        for offset in start..<start + count { bytes.writeImmutableBuffer(self.ring[offset: offset].data) }
        for offset in start..<start + count {
            let length = self.ring[offset: offset].data.readableBytes
            if let own = bytes.readSlice(length: length) { self.ring[offset: offset].data = own }
        }
        self.sharingCount -= count
        return self.sharingCount > 0
    }

    /// Returns the memory that a burst has grown, once nothing waits.
    mutating func shrink() {
        guard self.ring.isEmpty, self.ring.capacity > Self.keptCapacity else { return }
        self = WaitingEnvelopes(findsSuperseded: self.latest != nil)
    }

    /// Messages.
    static let keptCapacity = 16_384

    // MARK: Holes

    private func name(at offset: Int) -> UpstreamName? {
        guard offset < self.ring.count, !self.ring[offset: offset].isHole else { return nil }
        return UpstreamName(self.ring[offset: offset].name)
    }

    private mutating func punch(_ offset: Int) -> BufferedEnvelope {
        let envelope = self.ring[offset: offset]
        self.ring[offset: offset] = .hole
        self.holeCount += 1
        self.dropFrontHoles()
        if self.holeCount > 16 + self.ring.count / 2 { self.rebuild() }
        self.sharingCount = min(self.sharingCount, self.ring.count)
        return envelope
    }

    private mutating func removeFront() -> BufferedEnvelope? {
        guard let first = self.ring.popFirst() else { return nil }
        self.latest?.removedFirst(UpstreamName(first.name))
        self.dropFrontHoles()
        return first
    }

    private mutating func dropFrontHoles() {
        while self.holeCount > 0, let first = self.ring.first, first.isHole {
            self.ring.removeFirst()
            self.latest?.removedHole()
            self.holeCount -= 1
        }
    }

    private mutating func rebuild() {
        let old = self.ring
        let firstSharing = old.count - self.sharingCount
        self.ring = CircularBuffer(initialCapacity: self.count)
        self.latest = LatestIndex()
        self.sharingCount = 0
        self.holeCount = 0
        for (offset, envelope) in old.enumerated() where !envelope.isHole {
            self.latest?.appended(UpstreamName(envelope.name), offset: self.ring.count)
            self.ring.append(envelope)
            if offset >= firstSharing { self.sharingCount += 1 }
        }
    }
}

/// Where the latest envelope of each channel waits, and which ones have stopped being that.
private struct LatestIndex: Sendable {
    /// Positions count from the first envelope ever appended; the ring's front is at ``front``.
    private var front = 0
    private var positions: [UpstreamName: Int] = [:]
    /// Positions whose envelope was superseded when they were noted; what became of it since is for the reader to find out.
    private var candidates = CircularBuffer<Int>()

    var candidateCount: Int { self.candidates.count }

    mutating func appended(_ name: UpstreamName, offset: Int) {
        if let superseded = self.positions.updateValue(self.front + offset, forKey: name) {
            self.candidates.append(superseded)
        }
    }

    mutating func prepended(_ name: UpstreamName) {
        self.front -= 1
        if self.positions[name] == nil {
            self.positions[name] = self.front
        } else {
            self.candidates.append(self.front)
        }
    }

    mutating func removedFirst(_ name: UpstreamName) {
        if self.positions[name] == self.front { self.positions[name] = nil }
        self.front += 1
        while let first = self.candidates.first, first < self.front { self.candidates.removeFirst() }
    }

    mutating func removedHole() { self.front += 1 }

    /// The offset of the next one, which is forgotten here.
    mutating func nextCandidate() -> Int? {
        while let position = self.candidates.popFirst() {
            if position >= self.front { return position - self.front }
        }
        return nil
    }

    func isLatest(_ name: UpstreamName, offset: Int) -> Bool { self.positions[name] == self.front + offset }

    /// The offset of the latest one with that name, which is not in the index any more.
    mutating func remove(_ name: UpstreamName) -> Int? {
        self.positions.removeValue(forKey: name).map { $0 - self.front }
    }
}

extension CircularBuffer {
    subscript(offset offset: Int) -> Element {
        get { self[self.index(self.startIndex, offsetBy: offset)] }
        set { self[self.index(self.startIndex, offsetBy: offset)] = newValue }
    }
}
