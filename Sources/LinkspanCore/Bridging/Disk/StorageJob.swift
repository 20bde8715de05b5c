/// Where a record stands: a segment by its first position, and the offset in its file.
public struct RecordPlace: Sendable, Hashable {
    public var segment: UInt64
    public var offset: Int

    public init(segment: UInt64, offset: Int) {
        self.segment = segment
        self.offset = offset
    }
}

/// What a disk buffer wants done with its files, in this order: the mark, deletions, writes, the read.
public struct StorageJob: Sendable {
    /// Records that go to one segment in one piece.
    public struct Write: Sendable {
        public var place: RecordPlace
        /// Whether the segment begins with it.
        public var isNew: Bool
        /// Position of the first one.
        public var position: UInt64
        public var envelopes: [BufferedEnvelope]
        public var byteCount: Int
    }

    public struct Read: Sendable {
        public var place: RecordPlace
        /// Where the segment ends.
        public var end: Int
        /// Bytes to read at once, unless a record is longer.
        public var byteCount: Int
    }

    /// Segments of which nothing is needed any more.
    public var deletions: [UInt64] = []
    public var writes: [Write] = []
    /// Everything before this position is settled; nil when that is known on disk.
    public var settledBelow: UInt64?
    public var read: Read?

    public var isEmpty: Bool {
        self.deletions.isEmpty && self.writes.isEmpty && self.settledBelow == nil && self.read == nil
    }
}

/// What became of a ``StorageJob``.
public struct StorageOutcome: Sendable {
    public struct Records: Sendable {
        public var records: [StoredRecord] = []
        /// Where to go on reading; nil at the end of the segment.
        public var next: RecordPlace?

        public init() {}
    }

    /// How many of the job's writes are on disk, as far as the rule for syncing asks.
    public var writes = 0
    /// Why the next one is not.
    public var problem: StorageProblem?
    /// Nil when the job had no read, or it failed.
    public var read: Records?

    public init() {}
}

/// Why something could not be stored.
public struct StorageProblem: Sendable, Hashable {
    /// What failed, on what, and the system's words for it.
    public var text: String
    /// Whether room was missing: disk, quota or file size.
    public var isFull: Bool

    public init(_ text: String, isFull: Bool) {
        self.text = text
        self.isFull = isFull
    }
}

/// What a disk buffer found of an earlier run.
public struct StoredBuffer: Sendable {
    public struct Segment: Sendable, Hashable {
        /// Position of its first record; names it.
        public var first: UInt64
        /// Where the next one begins; of the last, behind its last record. What is missing in between is damaged.
        public var end: UInt64
        /// Up to the end of its last record.
        public var byteCount: Int

        public init(first: UInt64, end: UInt64, byteCount: Int) {
            self.first = first
            self.end = end
            self.byteCount = byteCount
        }
    }

    /// In order; those of which nothing is needed any more are left out.
    public var segments: [Segment] = []
    /// Position of the first record that may be unsettled.
    public var settledBelow: UInt64 = 1

    public init() {}

    /// Records were written up to `end`, and those behind the last segment are gone: they count as damaged once it has been read.
    public mutating func extend(to end: UInt64) {
        if self.segments.isEmpty {
            self.segments.append(Segment(first: self.settledBelow, end: end, byteCount: SegmentFormat.headBytes))
        }
        self.segments[self.segments.count - 1].end = end
    }
}
