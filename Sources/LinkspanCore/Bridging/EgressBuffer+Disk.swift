internal import LinkspanBridgeKit
public import NIOCore

/// How a disk buffer stands, for status and metrics.
public struct StorageStatus: Sendable, Hashable {
    /// Whether what an earlier run left has been found, and writing has begun.
    public var isOpen = false
    /// Why nothing can be written at the moment; nil while all is well.
    public var problem: StorageProblem?
    /// How often writing failed.
    public var problemCount: UInt64 = 0
    public var fileBytes = 0
    public var segments = 0
    /// Messages that wait to be written.
    public var unwritten = 0
    /// Messages that are on disk and not in memory.
    public var onDiskOnly: UInt64 = 0

    public init() {}

    /// `opening`, `ready`, or `failing` while nothing can be written.
    public var state: String { self.problem != nil ? "failing" : self.isOpen ? "ready" : "opening" }
}

/// The buffer on disk: between `append` and `take` every envelope goes through a file.
///
/// A thread of the host asks for a job, does it without any lock, and says what became of it, one job at a time.
extension EgressBuffer {
    /// Nil for a buffer in memory.
    public var storage: StorageStatus? {
        guard let disk = self.disk else { return nil }
        var status = StorageStatus()
        status.isOpen = disk.isOpen
        status.problem = disk.problem
        status.problemCount = disk.problemCount
        status.fileBytes = disk.fileBytes
        status.segments = disk.segmentCount
        status.unwritten = disk.arrivingCount
        status.onDiskOnly = disk.spilledCount
        return status
    }

    /// Whether ``nextStorageJob()`` has something to do.
    public var hasStorageWork: Bool { self.disk?.hasWork ?? false }

    mutating func appendToDisk(_ envelope: BufferedEnvelope) {
        let bytes = envelope.storedBytes
        guard bytes <= self.disk?.recordLimit ?? 0 else { return self.drop(envelope.receipt, .tooLarge) }
        guard self.makeRoomOnDisk(for: bytes) else {
            return self.drop(envelope.receipt, self.disk?.problem == nil ? .bufferFull : .unstored)
        }
        self.disk?.arrive(envelope)
        self.ledger.buffered += 1
        self.noteBlocking()
    }

    private mutating func makeRoomOnDisk(for bytes: Int) -> Bool {
        switch self.settings.whenFull {
        case .block:
            return self.disk?.hasRoom(for: bytes, beyond: Self.reserveBytes) ?? false
        case .dropOldest where !self.hasRoomOnDisk(for: bytes):
            _ = self.dropOldestSegment()
        case .dropOldest, .dropNewest, .latestPerChannel:
            break
        }
        return self.hasRoomOnDisk(for: bytes)
    }

    private func hasRoomOnDisk(for bytes: Int) -> Bool {
        self.disk?.hasRoom(for: bytes) ?? false && self.ledger.pending < self.countLimit
    }

    /// Files give room back one by one, so a whole one gives way. What of it is in flight stays, and the file with it.
    ///
    /// - Returns: whether something was dropped.
    private mutating func dropOldestSegment() -> Bool {
        guard let end = self.disk?.oldestSegmentEnd else { return false }
        let before = self.ledger.dropped[.bufferFull]
        while let first = self.waiting.first, first.position < end, self.dropOldestWaiting(.bufferFull) {}
        let spilled = self.disk?.dropSpilled(before: end) ?? 0
        self.ledger.buffered -= spilled
        self.ledger.dropped[.bufferFull] += spilled
        self.tellStored(before: end, .dropped(.bufferFull))
        return self.ledger.dropped[.bufferFull] > before
    }

    private mutating func tellStored(before position: UInt64, _ outcome: EgressOutcome) {
        guard !self.storedReceipts.isEmpty else { return }
        for stored in self.storedReceipts.keys where stored < position {
            self.tell(self.storedReceipts.removeValue(forKey: stored), outcome)
        }
    }

    // MARK: The files

    /// Takes over what an earlier run left. Nothing is written before.
    public mutating func storageOpened(_ stored: StoredBuffer) {
        self.disk?.opened(stored)
        let count = self.disk?.spilledCount ?? 0
        self.ledger.accepted += count
        self.ledger.recovered += count
        self.ledger.buffered += count
        self.noteBlocking()
    }

    /// What to do with the files now; nil when there is nothing.
    public mutating func nextStorageJob() -> StorageJob? {
        self.disk?.nextJob()
    }

    /// Books what became of the job that was handed out last.
    ///
    /// - Parameter wallNow: milliseconds since 1970; with `now` it tells how old a record is.
    public mutating func storageFinished(
        _ job: StorageJob, _ outcome: StorageOutcome, at now: NIODeadline, wallNow: UInt64
    ) {
        for write in job.writes.prefix(outcome.writes) {
            var kept: [BufferedEnvelope] = []
            var stored: [(position: UInt64, receipt: EgressReceipt)] = []
            self.disk?.written(
                write, keep: { kept.append($0) },
                stored: { envelope in
                    if let receipt = envelope.receipt { stored.append((envelope.position, receipt)) }
                })
            for (position, receipt) in stored {
                self.tell(receipt, .buffered)
                if position >= self.disk?.frontEnd ?? 0 { self.storedReceipts[position] = receipt }
            }
            for envelope in kept { self.waiting.append(envelope) }
        }
        if let read = job.read, let found = outcome.read { self.wasRead(read, found, at: now, wallNow: wallNow) }
        self.disk?.finished(job, outcome)
        if outcome.problem?.isFull == true, self.settings.whenFull == .dropOldest, self.dropOldestSegment() {
            self.disk?.retry()
        }
        self.noteBlocking()
    }

    private mutating func wasRead(
        _ read: StorageJob.Read, _ found: StorageOutcome.Records, at now: NIODeadline, wallNow: UInt64
    ) {
        var kept: [BufferedEnvelope] = []
        let missing = self.disk?.wasRead(read, found) { record in
            let envelope = BufferedEnvelope(record, at: now, wallNow: wallNow)
            kept.append(envelope)
            return envelope
        }
        for var envelope in kept {
            if !self.storedReceipts.isEmpty {
                envelope.receipt = self.storedReceipts.removeValue(forKey: envelope.position)
            }
            self.waiting.append(envelope)
        }
        self.ledger.buffered -= missing ?? 0
        self.ledger.dropped[.damaged] += missing ?? 0
        self.tellStored(before: self.disk?.frontEnd ?? 0, .dropped(.damaged))
    }

    /// Time has passed since an attempt that failed: the next one may be made.
    public mutating func retryStorage() {
        self.disk?.retry()
    }

    /// Nothing more is written: what could not be is dropped as such. What is on disk stays there, and in the ledger.
    public mutating func storageClosed() {
        let unwritten = self.disk?.close() ?? []
        self.ledger.buffered -= UInt64(unwritten.count)
        for envelope in unwritten { self.drop(envelope.receipt, .stopped) }
        self.noteBlocking()
    }
}

extension BufferedEnvelope {
    init(_ record: StoredRecord, at now: NIODeadline, wallNow: UInt64) {
        // A wall clock that was set back makes nothing younger than new.
        let age = TimeAmount.milliseconds(Int64(clamping: wallNow - min(wallNow, record.storedAt)))
        self.init(name: record.name, data: record.data, header: record.header, acceptedAt: now - age)
        self.position = record.position
    }
}

extension StorageJob.Write {
    /// The bytes to write, with the head of the segment if it begins with them.
    ///
    /// - Parameters:
    ///   - now: with `wallNow`, milliseconds since 1970, tells when each envelope was accepted.
    public func encoded(at now: NIODeadline, wallNow: UInt64) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(self.byteCount + SegmentFormat.headBytes)
        if self.isNew { bytes.writeStaticString(SegmentFormat.head) }
        for (index, envelope) in self.envelopes.enumerated() {
            let age = UInt64(max(0, (now - envelope.acceptedAt).nanoseconds / 1_000_000))
            StoredRecord(
                position: self.position + UInt64(index), storedAt: wallNow - min(wallNow, age), name: envelope.name,
                header: envelope.header, data: envelope.data
            ).encode(into: &bytes)
        }
        return bytes
    }

    /// Where ``encoded(at:wallNow:)`` goes in the file.
    public var fileOffset: Int { self.isNew ? 0 : self.place.offset }
}
