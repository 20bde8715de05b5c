internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// Does the jobs of one disk buffer, on a thread of its own: event loops never wait for a disk.
struct BufferThread: Sendable {
    let runner: BridgeRunner
    let path: String

    /// How long to wait after something could not be written.
    private static let retryMilliseconds: Int32 = 1000

    private var settings: BufferSettings { self.runner.plan.rule.buffer }
    private var logger: Logger { self.runner.logger }

    /// Opens the folder, takes over what an earlier run left, and works until the task is cancelled; then it writes what it still can.
    ///
    /// - Parameter opened: called once the folder is open.
    /// - Throws: ``BufferFolderError`` when the folder cannot be used.
    func run(_ wake: WakeSignal, opened: () -> Void) throws {
        // A file past the limit on its size shall be an error to handle, not the end of the process (setrlimit(2)).
        _ = signal(SIGXFSZ, SIG_IGN)
        var folder = try BufferFolder(self.path)
        let stored = try self.recover(&folder)
        self.runner.update { state in
            state.storage = wake
            state.buffer.storageOpened(stored)
        }
        opened()
        var syncs = SyncTimer(rule: self.settings.sync, interval: self.settings.syncInterval)
        var problem: StorageProblem?
        while true {
            wake.clear()
            problem = self.work(&folder, &syncs, since: problem)
            if wake.isCancelled { break }
            if syncs.isDue { self.sync(&folder, &syncs) }
            let pause = problem == nil ? syncs.pauseMilliseconds : Self.retryMilliseconds
            Self.wait(for: wake, milliseconds: pause)
            if problem != nil { self.runner.update { $0.buffer.retryStorage() } }
        }
        self.close(&folder, &syncs, since: problem)
    }

    private static func wait(for wake: WakeSignal, milliseconds: Int32) {
        var descriptor = pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, milliseconds)
    }

    // MARK: Jobs

    /// Does all there is to do; says what stands in the way.
    private func work(
        _ folder: inout BufferFolder, _ syncs: inout SyncTimer, since known: StorageProblem?
    ) -> StorageProblem? {
        var problem = known
        while let job = self.runner.update({ $0.buffer.nextStorageJob() }) {
            let outcome = self.perform(job, &folder)
            if outcome.writes > 0 { syncs.wrote() }
            let now = self.runner.clock.now()
            let wallNow = self.runner.clock.wallMilliseconds()
            let found = self.runner.update { state -> StorageProblem? in
                state.buffer.storageFinished(job, outcome, at: now, wallNow: wallNow)
                state.noteIfIdle()
                return state.buffer.storage?.problem
            }
            self.logChange(from: problem, to: found)
            problem = found
        }
        return problem
    }

    private func perform(_ job: StorageJob, _ folder: inout BufferFolder) -> StorageOutcome {
        var outcome = StorageOutcome()
        if let mark = job.settledBelow { folder.noteSettled(below: mark) }
        if !job.deletions.isEmpty {
            // Else a crash could keep the deletion and not the mark, and settled records would look lost.
            if self.settings.sync != .never { folder.syncMark() }
            for segment in job.deletions { folder.delete(segment) }
        }
        do throws(BufferFolderError) {
            for write in job.writes {
                try self.write(write, &folder)
                outcome.writes += 1
            }
        } catch {
            outcome.problem = StorageProblem(error.description, isFull: error.isFull)
        }
        if let last = job.writes.prefix(outcome.writes).last {
            folder.noteWritten(below: last.position + UInt64(last.envelopes.count))
        }
        if let read = job.read { outcome.read = self.read(read, folder) }
        return outcome
    }

    private func write(_ write: StorageJob.Write, _ folder: inout BufferFolder) throws(BufferFolderError) {
        let bytes = write.encoded(at: self.runner.clock.now(), wallNow: self.runner.clock.wallMilliseconds())
        if write.isNew, self.settings.sync != .never { try folder.syncSegment() }
        try folder.write(bytes, to: write.place.segment, at: write.fileOffset, isNew: write.isNew)
        if self.settings.sync == .always { try folder.syncSegment() }
        if write.isNew, self.settings.sync != .never { try folder.syncNames() }
    }

    private func read(_ read: StorageJob.Read, _ folder: borrowing BufferFolder) -> StorageOutcome.Records {
        var found = StorageOutcome.Records()
        do throws(BufferFolderError) {
            var count = read.byteCount
            while let needed = try self.read(read, count, folder, into: &found) { count = needed }
        } catch {
            // The rest of the segment counts as damaged.
            self.logger.error("Disk buffer cannot be read", metadata: [LogKey.reason: "\(error)"])
        }
        return found
    }

    /// How many bytes it takes when `count` do not hold one record.
    private func read(
        _ read: StorageJob.Read, _ count: Int, _ folder: borrowing BufferFolder,
        into found: inout StorageOutcome.Records
    ) throws(BufferFolderError) -> Int? {
        let wanted = min(count, read.end - read.place.offset)
        let bytes = try folder.read(read.place.segment, at: read.place.offset, count: wanted)
        let isLast = bytes.readableBytes < wanted || read.place.offset + wanted >= read.end
        var reader = RecordReader(bytes, at: read.place.offset, isLast: isLast)
        while true {
            switch reader.next() {
            case .record(let record):
                found.records.append(record)
            case .needsMore(let byteCount) where found.records.isEmpty:
                return reader.offset - read.place.offset + byteCount
            case .needsMore:
                found.next = RecordPlace(segment: read.place.segment, offset: reader.offset)
                return nil
            case .end:
                if !isLast { found.next = RecordPlace(segment: read.place.segment, offset: reader.offset) }
                return nil
            }
        }
    }

    private func sync(_ folder: inout BufferFolder, _ syncs: inout SyncTimer) {
        do throws(BufferFolderError) {
            try folder.syncSegment()
        } catch {
            self.logger.error("Disk buffer cannot be synced", metadata: [LogKey.reason: "\(error)"])
        }
        syncs.synced()
    }

    private func close(_ folder: inout BufferFolder, _ syncs: inout SyncTimer, since problem: StorageProblem?) {
        self.runner.update { $0.buffer.retryStorage() }
        _ = self.work(&folder, &syncs, since: problem)
        let (before, after) = self.runner.update { state in
            state.storage = nil
            let before = state.buffer.ledger.dropped[.stopped]
            state.buffer.storageClosed()
            return (before, state.buffer.ledger)
        }
        if self.settings.sync != .never {
            self.sync(&folder, &syncs)
            folder.syncMark()
        }
        if after.dropped[.stopped] > before {
            self.logger.error(
                "Disk buffer closed with messages that could not be written",
                metadata: [LogKey.dropped: "\(after.dropped[.stopped] - before)"])
        }
        if after.buffered > 0 {
            self.logger.notice(
                "Disk buffer closed; its messages are sent after the next start",
                metadata: [LogKey.bufferedMessages: "\(after.buffered)"])
        }
    }

    private func logChange(from old: StorageProblem?, to new: StorageProblem?) {
        guard old != new else { return }
        if let new {
            self.logger.error("Disk buffer cannot be written", metadata: [LogKey.reason: "\(new.text)"])
        } else {
            self.logger.notice("Disk buffer is written again")
        }
    }

    // MARK: Starting

    private func recover(_ folder: inout BufferFolder) throws(BufferFolderError) -> StoredBuffer {
        let names = try folder.segments()
        var stored = StoredBuffer()
        let settledBelow = folder.settledBelow()
        stored.settledBelow = settledBelow ?? names.first ?? 1
        for (index, first) in names.enumerated() {
            let next = index + 1 < names.count ? names[index + 1] : nil
            if let next, next <= stored.settledBelow {
                folder.delete(first)
            } else if let segment = try self.recover(first, next: next, settledBelow: stored.settledBelow, folder) {
                stored.segments.append(segment)
            } else {
                folder.delete(first)
            }
        }
        // What was written says nothing of what was needed, without a mark of what is settled: so there is one from the first start.
        if settledBelow == nil { folder.noteSettled(below: stored.settledBelow) }
        let found = stored.segments.last?.end ?? stored.settledBelow
        if let written = folder.writtenBelow(), written > found, settledBelow != nil || !stored.segments.isEmpty {
            self.logger.error(
                "Disk buffer has lost its end; what is missing is counted as damaged",
                metadata: [LogKey.dropped: "\(written - found)"])
            stored.extend(to: written)
        }
        if let last = stored.segments.last {
            self.logger.notice(
                "Disk buffer holds messages of an earlier run",
                metadata: [LogKey.bufferedMessages: "\(last.end - stored.settledBelow)"])
        }
        return stored
    }

    /// Nil when nothing of it is needed.
    private func recover(
        _ first: UInt64, next: UInt64?, settledBelow: UInt64, _ folder: borrowing BufferFolder
    ) throws(BufferFolderError) -> StoredBuffer.Segment? {
        let bytes = try folder.read(first)
        let name = BufferFolder.fileName(first)
        if SegmentFormat.isForeign(bytes) {
            throw BufferFolderError("cannot use a segment of another version,", self.path + "/" + name, code: ENOTSUP)
        }
        let findings = SegmentFindings(bytes, first: first)
        if findings.damagedBytes > 0 || (next != nil && findings.tornBytes > 0) {
            self.logger.error(
                "Disk buffer is damaged; its whole records are sent, the others counted",
                metadata: [
                    LogKey.file: "\(name)", LogKey.bytes: "\(findings.damagedBytes + findings.tornBytes)",
                ])
        } else if findings.tornBytes > 0 {
            self.logger.notice(
                "Disk buffer ends in the middle of a write",
                metadata: [LogKey.file: "\(name)", LogKey.bytes: "\(findings.tornBytes)"])
        }
        // Else it would look like damage once another segment has followed.
        if next == nil, findings.tornBytes > 0 { folder.truncate(first, to: findings.byteCount) }
        let end = next ?? findings.end
        guard end > settledBelow, next != nil || findings.count > 0 else { return nil }
        return StoredBuffer.Segment(first: first, end: end, byteCount: findings.byteCount)
    }
}

/// When the next sync of a disk buffer is due, by a monotonic clock.
private struct SyncTimer {
    private let interval: TimeAmount?
    private var due: NIODeadline?

    init(rule: SyncRule, interval: Duration) {
        self.interval = rule == .interval ? TimeAmount(interval) : nil
    }

    mutating func wrote() {
        if let interval = self.interval, self.due == nil { self.due = .now() + interval }
    }

    mutating func synced() { self.due = nil }

    var isDue: Bool { self.due.map { $0 <= .now() } ?? false }

    /// -1, without end, when nothing is due.
    var pauseMilliseconds: Int32 {
        self.due.map { Int32(clamping: max(0, ($0 - .now()).nanoseconds / 1_000_000 + 1)) } ?? -1
    }
}

/// The thread of a disk buffer under way.
final class RunningStorage: Sendable {
    private let runner: BridgeRunner
    private let task: Task<Void, any Error>
    private let opened: OneShot

    init(_ runner: BridgeRunner, path: String) {
        let opened = OneShot()
        self.runner = runner
        self.opened = opened
        self.task = Task {
            defer { opened.fire() }
            let thread = BufferThread(runner: runner, path: path)
            try await LinkThread.run(name: "ls-buffer") { wake in
                try thread.run(wake, opened: { opened.fire() })
            }
        }
    }

    /// Returns when the buffer is open.
    /// - Throws: ``BufferFolderError`` when it cannot be.
    func untilOpen() async throws {
        await self.opened.wait()
        if !self.runner.isStorageOpen { try await self.task.value }
    }

    /// Writes what waits, and gives the folder back.
    func close() async {
        self.task.cancel()
        _ = await self.task.result
    }
}

extension BridgeRunner {
    var isStorageOpen: Bool { self.egress.withLock { $0.storage != nil } }

    /// Nil for a bridge with its buffer in memory.
    func startStorage() -> RunningStorage? {
        self.plan.bufferPath.map { RunningStorage(self, path: $0) }
    }
}
