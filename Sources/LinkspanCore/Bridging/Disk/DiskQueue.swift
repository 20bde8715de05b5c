internal import LinkspanBridgeKit
internal import NIOCore

/// The part of a disk buffer behind what is in memory: what waits to be written, and what is on disk only.
///
/// Every envelope is written before it may leave. Segments follow one another without a gap: each begins where the one before ends. The oldest ones stay in memory, up to ``frontLimit``; those behind are read again when there is
/// room. A record is needed until it is settled: confirmed, refused, expired or dropped. Everything before ``settledBelow`` is, and a segment that ends
/// there is deleted.
///
/// Pure bookkeeping: a ``StorageJob`` says what is to be done, a ``StorageOutcome`` what became of it, one job at a time.
struct DiskQueue: Sendable {
    /// Bytes of envelopes that are kept in memory after they were written.
    static let frontLimit = 8 << 20
    /// Bytes that may wait to be written before publishers are held back.
    static let arrivalLimit = 8 << 20
    /// Bytes written or read in one job.
    static let jobBytes = 1 << 20

    private struct Segment: Sendable {
        var first: UInt64
        var end: UInt64
        var byteCount: Int
        /// Nothing more is written to it.
        var isSealed: Bool
    }

    private let sizeBytes: Int
    private let segmentBytes: Int

    private(set) var isOpen = false
    private var arriving = CircularBuffer<BufferedEnvelope>()
    private var arrivingBytes = 0
    private var segments: [Segment] = []
    private var segmentsBytes = 0
    private var deletions: [UInt64] = []

    /// Position of the next envelope to write.
    private var writeEnd: UInt64 = 1
    /// Position of the next one to bring into memory; all before were there.
    private(set) var frontEnd: UInt64 = 1
    /// Bytes of those in memory that wait.
    private var frontBytes = 0
    /// Where `frontEnd` is, while it is on disk only.
    private var readPlace = RecordPlace(segment: 1, offset: 0)
    private(set) var settledBelow: UInt64 = 1
    private var markedBelow: UInt64 = 1
    /// One for each position from `settledBelow` to `frontEnd`.
    private var isSettled = CircularBuffer<Bool>()

    private(set) var problem: StorageProblem?
    private(set) var problemCount: UInt64 = 0
    /// Whether the last attempt failed and no time has passed since.
    private var mustPause = false

    init(sizeBytes: Int) {
        self.sizeBytes = sizeBytes
        self.segmentBytes = min(max(sizeBytes / 16, 64 << 10), 16 << 20)
    }

    /// Bytes of the files and of what waits to be written.
    var usedBytes: Int { self.segmentsBytes + self.arrivingBytes }
    var fileBytes: Int { self.segmentsBytes }
    var segmentCount: Int { self.segments.count }
    /// Envelopes that are on disk only.
    var spilledCount: UInt64 { self.writeEnd - self.frontEnd }
    var arrivingCount: Int { self.arriving.count }

    /// Largest record that is taken.
    var recordLimit: Int { self.sizeBytes / 2 }

    func hasRoom(for bytes: Int, beyond reserve: Int = 0) -> Bool {
        self.usedBytes + bytes <= self.sizeBytes + reserve && self.arrivingBytes + bytes <= 4 * Self.arrivalLimit
    }

    /// Whether publishers should be held back, or held back no more.
    func isBlocking(_ wasBlocking: Bool) -> Bool {
        wasBlocking
            ? self.usedBytes > self.sizeBytes / 4 * 3 || self.arrivingBytes > Self.arrivalLimit / 2
            : self.usedBytes >= self.sizeBytes || self.arrivingBytes >= Self.arrivalLimit
    }

    // MARK: In and out of memory

    mutating func arrive(_ envelope: BufferedEnvelope) {
        self.arrivingBytes += envelope.storedBytes
        self.arriving.append(envelope)
    }

    /// An envelope with a position went back among those that wait.
    mutating func returned(_ envelope: BufferedEnvelope) {
        self.frontBytes += envelope.cost
    }

    /// An envelope with a position waits no more.
    mutating func left(_ envelope: BufferedEnvelope) {
        self.frontBytes -= envelope.cost
    }

    /// Nothing will be done with that record any more.
    mutating func settle(_ position: UInt64) {
        self.isSettled[offset: Int(position - self.settledBelow)] = true
        self.noteSettled()
    }

    private mutating func noteSettled() {
        while let first = self.isSettled.first, first {
            self.isSettled.removeFirst()
            self.settledBelow += 1
        }
        while let oldest = self.segments.first, oldest.isSealed, oldest.end <= self.settledBelow {
            self.segments.removeFirst()
            self.segmentsBytes -= oldest.byteCount
            self.deletions.append(oldest.first)
        }
    }

    /// Positions that will never come into memory count as settled.
    private mutating func pass(to position: UInt64) {
        while self.frontEnd < position {
            self.isSettled.append(true)
            self.frontEnd += 1
        }
        self.noteSettled()
    }

    // MARK: Dropping

    /// Where the oldest segment ends, if it can be given up: nothing is written to it any more.
    var oldestSegmentEnd: UInt64? {
        guard let oldest = self.segments.first, oldest.isSealed else { return nil }
        return oldest.end
    }

    /// Gives up what is on disk only and before `position`, the end of a segment, and says how many there were.
    mutating func dropSpilled(before position: UInt64) -> UInt64 {
        guard self.frontEnd < position else { return 0 }
        let count = min(position, self.writeEnd) - self.frontEnd
        self.readPlace = RecordPlace(segment: position, offset: SegmentFormat.headBytes)
        self.pass(to: position)
        return count
    }

    // MARK: Jobs

    /// Whether there is something to do at once.
    var hasWork: Bool {
        guard self.isOpen else { return false }
        return !self.deletions.isEmpty || (!self.arriving.isEmpty && !self.mustPause)
            || self.settledBelow > self.markedBelow || (self.mayRead && !self.mustPause)
    }

    private var mayRead: Bool { self.spilledCount > 0 && self.frontBytes < Self.frontLimit / 2 }

    /// Time has passed since an attempt that failed.
    mutating func retry() {
        self.mustPause = false
    }

    mutating func nextJob() -> StorageJob? {
        guard self.hasWork else { return nil }
        var job = StorageJob()
        swap(&job.deletions, &self.deletions)
        if !self.mustPause {
            job.writes = self.planWrites()
            job.read = self.planRead()
        }
        if self.settledBelow > self.markedBelow { job.settledBelow = self.settledBelow }
        return job.isEmpty ? nil : job
    }

    private func planWrites() -> [StorageJob.Write] {
        var writes: [StorageJob.Write] = []
        var room = Self.jobBytes
        var position = self.writeEnd
        var place = self.writePlace
        for envelope in self.arriving {
            let bytes = envelope.storedBytes
            guard room > 0 else { break }
            if place.map({ $0.offset + bytes > self.segmentBytes }) ?? true {
                place = RecordPlace(segment: position, offset: SegmentFormat.headBytes)
            }
            guard var at = place else { break }
            if writes.last?.place.segment != at.segment {
                writes.append(
                    StorageJob.Write(
                        place: at, isNew: at.offset == SegmentFormat.headBytes, position: position, envelopes: [],
                        byteCount: 0))
            }
            writes[writes.count - 1].envelopes.append(envelope)
            writes[writes.count - 1].byteCount += bytes
            at.offset += bytes
            place = at
            position += 1
            room -= bytes
        }
        return writes
    }

    /// Where the segment goes on that is written to; nil when a new one is due.
    private var writePlace: RecordPlace? {
        guard let last = self.segments.last, !last.isSealed else { return nil }
        return RecordPlace(segment: last.first, offset: last.byteCount)
    }

    private func planRead() -> StorageJob.Read? {
        guard self.mayRead, let segment = self.segments.first(where: { $0.first == self.readPlace.segment }) else {
            return nil
        }
        return StorageJob.Read(place: self.readPlace, end: segment.byteCount, byteCount: Self.jobBytes)
    }

    // MARK: Outcomes

    mutating func opened(_ stored: StoredBuffer) {
        self.isOpen = true
        self.settledBelow = stored.settledBelow
        self.markedBelow = stored.settledBelow
        self.frontEnd = stored.settledBelow
        self.segments = stored.segments.map {
            Segment(first: $0.first, end: $0.end, byteCount: $0.byteCount, isSealed: true)
        }
        self.segmentsBytes = self.segments.reduce(0) { $0 + $1.byteCount }
        self.writeEnd = max(stored.settledBelow, self.segments.last?.end ?? 1)
        if let first = self.segments.first {
            self.readPlace = RecordPlace(segment: first.first, offset: SegmentFormat.headBytes)
        }
    }

    /// Books one write that is on disk; `keep` gets the envelopes that stay in memory, and `stored` all of them.
    mutating func written(
        _ write: StorageJob.Write, keep: (BufferedEnvelope) -> Void, stored: (BufferedEnvelope) -> Void
    ) {
        if write.isNew {
            if let last = self.segments.indices.last { self.segments[last].isSealed = true }
            self.segments.append(
                Segment(
                    first: write.place.segment, end: write.position, byteCount: SegmentFormat.headBytes, isSealed: false
                ))
            self.segmentsBytes += SegmentFormat.headBytes
        }
        var place = write.place
        for _ in write.envelopes {
            guard var envelope = self.arriving.popFirst() else { break }
            let bytes = envelope.storedBytes
            self.arrivingBytes -= bytes
            envelope.position = self.writeEnd
            stored(envelope)
            if self.frontEnd == self.writeEnd, self.frontBytes < Self.frontLimit {
                self.enterFront(envelope)
                keep(envelope)
            } else if self.frontEnd == self.writeEnd {
                self.readPlace = place
            }
            self.writeEnd += 1
            place.offset += bytes
        }
        let last = self.segments.count - 1
        self.segments[last].end = self.writeEnd
        self.segments[last].byteCount += write.byteCount
        self.segmentsBytes += write.byteCount
        self.noteSettled()
    }

    private mutating func enterFront(_ envelope: BufferedEnvelope) {
        self.isSettled.append(false)
        self.frontEnd += 1
        self.frontBytes += envelope.cost
    }

    /// Books what was read: `keep` gets what came into memory.
    ///
    /// - Returns: how many records were found missing.
    mutating func wasRead(
        _ read: StorageJob.Read, _ found: StorageOutcome.Records, keep: (StoredRecord) -> BufferedEnvelope
    ) -> UInt64 {
        // What was being read may have been given up in the meantime.
        guard read.place == self.readPlace,
            let index = self.segments.firstIndex(where: { $0.first == read.place.segment })
        else { return 0 }
        let end = self.segments[index].end
        var missing: UInt64 = 0
        for record in found.records where record.position >= self.frontEnd && record.position < end {
            missing += record.position - self.frontEnd
            self.pass(to: record.position)
            let envelope = keep(record)
            self.enterFront(envelope)
        }
        if let next = found.next {
            self.readPlace = next
        } else {
            // A segment that is still written to may have grown since.
            let isGrown = self.segments[index].byteCount > read.end
            if isGrown {
                self.readPlace = RecordPlace(segment: read.place.segment, offset: read.end)
            } else {
                missing += max(end, self.frontEnd) - self.frontEnd
                self.pass(to: end)
                self.readPlace = RecordPlace(segment: end, offset: SegmentFormat.headBytes)
            }
        }
        return missing
    }

    mutating func finished(_ job: StorageJob, _ outcome: StorageOutcome) {
        if let mark = job.settledBelow { self.markedBelow = max(self.markedBelow, mark) }
        if let problem = outcome.problem {
            self.problem = problem
            self.problemCount += 1
            self.mustPause = true
        } else if !job.writes.isEmpty {
            self.problem = nil
        }
        self.sealIfUseless()
    }

    /// Nothing in the segment that is written to is needed any more: its room is given back before it is full.
    private mutating func sealIfUseless() {
        guard let last = self.segments.indices.last, !self.segments[last].isSealed,
            self.segments[last].end <= self.settledBelow, self.segments[last].byteCount >= self.segmentBytes / 2
        else { return }
        self.segments[last].isSealed = true
        self.noteSettled()
    }

    /// The instance stops. What could not be written is handed out.
    mutating func close() -> [BufferedEnvelope] {
        self.isOpen = false
        defer { self.arriving.removeAll() }
        self.arrivingBytes = 0
        return Array(self.arriving)
    }
}
