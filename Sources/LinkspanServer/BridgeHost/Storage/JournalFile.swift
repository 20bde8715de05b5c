internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The file of one ``OccupancyJournal``. It outlives the process, not the machine: nothing is forced to the disk.
///
/// One call at a time writes, on a thread that may wait for the disk; while it does, changes gather in the table.
final class JournalFile: Sendable {
    private let path: String
    private let isBusy = Atomic<Bool>(false)
    /// Lines in the file. Changed by who set ``isBusy`` only.
    private let lines = Atomic<Int>(0)

    init(_ path: String) {
        self.path = path
    }

    /// What the run before held at its end; nothing when there is no journal.
    func read() async -> Set<ChannelName> {
        let path = self.path
        let bytes = try? await NIOThreadPool.singleton.runIfActive { Self.contents(of: path) }
        return OccupancyJournal.read(bytes ?? ByteBuffer())
    }

    /// Whether a write may begin; the caller that got true must call ``write(_:of:)`` or ``skip()``.
    func begin() -> Bool {
        !self.isBusy.exchange(true, ordering: .acquiring)
    }

    func skip() {
        self.isBusy.store(false, ordering: .releasing)
    }

    /// Whether the file has so many lines of the past that it is to be written anew.
    func isLong(for held: Int) -> Bool { self.lines.load(ordering: .relaxed) > 2 * held + 1024 }

    /// Adds `changes`, or replaces the file by `whole`.
    /// - Throws: `IOError` or ``BufferFolderError`` when the disk does not take it; the file is then written anew the next time.
    func write(_ changes: [ChannelName: Bool], replacingBy whole: Set<ChannelName>?) async throws {
        defer { self.skip() }
        let content = whole.map { Dictionary(uniqueKeysWithValues: $0.map { ($0, true) }) } ?? changes
        let path = self.path
        do {
            try await NIOThreadPool.singleton.runIfActive {
                var bytes = ByteBuffer()
                OccupancyJournal.write(content, into: &bytes)
                try Self.put(bytes, to: path, replaces: whole != nil)
            }
            let before = whole == nil ? self.lines.load(ordering: .relaxed) : 0
            self.lines.store(before + content.count, ordering: .relaxed)
        } catch {
            self.lines.store(.max / 2, ordering: .relaxed)
            throw error
        }
    }

    // MARK: On a thread of the pool

    private static func contents(of path: String) -> ByteBuffer? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        var buffer = ByteBufferAllocator().buffer(capacity: Int(status.st_size))
        while true {
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 1 << 16) { bytes in
                max(Glibc.read(descriptor, bytes.baseAddress, bytes.count), 0)
            }
            if count == 0 { return buffer }
        }
    }

    private static func put(_ bytes: ByteBuffer, to path: String, replaces: Bool) throws {
        let target = replaces ? path + ".new" : path
        if replaces, let end = path.lastIndex(of: "/") { try BufferFolder.make(String(path[..<end])) }
        let descriptor = open(
            target, O_WRONLY | O_CREAT | O_CLOEXEC | (replaces ? O_TRUNC : O_APPEND), mode_t(0o600))
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "open \(target)") }
        defer { close(descriptor) }
        var bytes = bytes
        while bytes.readableBytes > 0 {
            let count = bytes.readWithUnsafeReadableBytes { max(Glibc.write(descriptor, $0.baseAddress, $0.count), 0) }
            guard count > 0 else { throw IOError(errnoCode: errno, reason: "write \(target)") }
        }
        if replaces, rename(target, path) != 0 { throw IOError(errnoCode: errno, reason: "rename \(target)") }
    }
}

extension BridgeRunner {
    /// Learns what the run before had told and nobody took back, and keeps a journal from now on, where there is a folder for it.
    func openJournal() async {
        guard let file = self.journalFile else { return }
        let leftBehind = await file.read()
        self.update { $0.occupancy?.keepJournal(leftBehind: leftBehind) }
        if file.begin() { await self.writeJournal(to: file, anew: true) }
    }

    /// Brings the journal up to date, unless it is being done.
    func updateJournal() {
        guard let file = self.journalFile, file.begin() else { return }
        let isDue = self.egress.withLock { $0.occupancy?.hasJournalWork == true }
        guard isDue else { return file.skip() }
        Task { await self.writeJournal(to: file, anew: false) }
    }

    /// The same at the end, waiting for it.
    func closeJournal() async {
        guard let file = self.journalFile, file.begin() else { return }
        await self.writeJournal(to: file, anew: false)
    }

    private func writeJournal(to file: JournalFile, anew: Bool) async {
        let (changes, whole) = self.egress.withLock { state -> ([ChannelName: Bool], Set<ChannelName>?) in
            let changes = state.occupancy?.takeJournal() ?? [:]
            let isAnew = anew || file.isLong(for: state.occupancy?.journalCount ?? 0)
            return (changes, isAnew ? state.occupancy?.journal : nil)
        }
        do {
            try await file.write(changes, replacingBy: whole)
        } catch {
            self.logger.warning(
                "The journal of subscriptions cannot be written: should this instance be killed, nobody may take them back",
                metadata: [LogKey.reason: "\(error)"])
        }
    }
}
