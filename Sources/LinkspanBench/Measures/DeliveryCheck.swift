/// What went wrong with messages; all zero in a run that counts.
struct Faults: Sendable, Equatable {
    var lost: UInt64
    var repeated: UInt64
    var reordered: UInt64
    /// Bytes that are no payload of ours, or one of another stream.
    var damaged: UInt64

    init(lost: UInt64 = 0, repeated: UInt64 = 0, reordered: UInt64 = 0, damaged: UInt64 = 0) {
        self.lost = lost
        self.repeated = repeated
        self.reordered = reordered
        self.damaged = damaged
    }

    var isClean: Bool { self == Faults() }

    static func += (sum: inout Faults, other: Faults) {
        sum.lost += other.lost
        sum.repeated += other.repeated
        sum.reordered += other.reordered
        sum.damaged += other.damaged
    }
}

/// Judges what one receiver gets of one stream, by its sequence numbers.
struct DeliveryCheck {
    /// The next sequence number when all goes well.
    private(set) var expected: UInt64 = 0
    private(set) var faults = Faults()
    /// Bit `n` is set when number `expected - 1 - n` arrived.
    private var recent: UInt64 = 0

    /// Further back than this a late message counts as repeated: it cannot be told apart any more.
    static let memory: UInt64 = 64

    @inline(__always)
    mutating func received(_ sequence: UInt64) {
        if sequence == self.expected {
            self.expected += 1
            self.recent = self.recent << 1 | 1
        } else {
            self.receivedOutOfTurn(sequence)
        }
    }

    private mutating func receivedOutOfTurn(_ sequence: UInt64) {
        guard sequence < self.expected else {
            let missing = sequence - self.expected
            self.faults.lost += missing
            self.expected = sequence + 1
            self.recent = missing + 1 < Self.memory ? self.recent << (missing + 1) | 1 : 1
            return
        }
        let age = self.expected - 1 - sequence
        if age < Self.memory, self.recent >> age & 1 == 0 {
            self.recent |= 1 << age
            self.faults.lost -= 1
            self.faults.reordered += 1
        } else {
            self.faults.repeated += 1
        }
    }

    mutating func receivedDamaged() {
        self.faults.damaged += 1
    }

    /// - Parameter sent: how many messages the stream had in all.
    mutating func ended(sent: UInt64) {
        guard sent > self.expected else { return }
        self.faults.lost += sent - self.expected
        self.expected = sent
    }
}
