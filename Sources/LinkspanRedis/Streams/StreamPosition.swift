internal import Synchronization

/// How far a stream was read: the id of the last entry, and how many entries were ever added up to it, as far as that is known.
struct StreamPosition: Equatable, Sendable {
    var id: EntryID
    /// `entries-added` of XINFO STREAM at this point (Redis 7 and later): tells how many were trimmed before we read them.
    var added: UInt64?

    /// `id`, or `id added`.
    var text: String { "\(self.id)" + (self.added.map { " \($0)" } ?? "") }

    init(id: EntryID, added: UInt64?) {
        self.id = id
        self.added = added
    }

    init?(text: String) {
        let parts = text.split(separator: " ", maxSplits: 1)
        guard let first = parts.first, let id = EntryID(String(first)) else { return nil }
        self.id = id
        self.added = parts.count == 2 ? UInt64(parts[1]) : nil
    }
}

/// The id of a stream entry: milliseconds and a counter within them.
struct EntryID: Hashable, Comparable, Sendable, CustomStringConvertible {
    var milliseconds: UInt64
    var sequence: UInt64

    static let zero = EntryID(milliseconds: 0, sequence: 0)

    init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let milliseconds = UInt64(parts[0]), let sequence = UInt64(parts[1]) else { return nil }
        self.init(milliseconds: milliseconds, sequence: sequence)
    }

    var description: String { "\(self.milliseconds)-\(self.sequence)" }

    static func < (one: EntryID, other: EntryID) -> Bool {
        (one.milliseconds, one.sequence) < (other.milliseconds, other.sequence)
    }
}

/// What `XINFO STREAM` tells.
struct StreamFacts: Equatable {
    var length: UInt64
    var lastID: EntryID
    /// Nil before Redis 7.
    var added: UInt64?

    static let empty = StreamFacts(length: 0, lastID: .zero, added: 0)

    /// The end of the stream.
    var end: StreamPosition { StreamPosition(id: self.lastID, added: self.added) }

    /// How many entries after `position` are no longer there; nil when that cannot be told.
    func trimmed(after position: StreamPosition) -> UInt64? {
        guard let added = self.added, let seen = position.added, added >= self.length else { return nil }
        let removed = added - self.length
        return removed > seen ? removed - seen : 0
    }
}

/// Where the bridge stands, kept from one conversation to the next.
final class StreamPositions: Sendable {
    private let position = Mutex<StreamPosition?>(nil)

    var current: StreamPosition? {
        get { self.position.withLock { $0 } }
        set { self.position.withLock { $0 = newValue } }
    }
}
