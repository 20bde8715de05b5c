internal import Glibc
internal import LinkspanCore
internal import NIOCore

/// The files of one disk buffer: segments, marks of what is settled and of what was written, and a lock that keeps a second process out.
///
/// Every call may block on the disk; for the thread of the buffer only. Nothing here is shared.
struct BufferFolder: ~Copyable {
    private let path: String
    private let folder: Int32
    private let lock: Int32
    private let mark: Int32
    /// The segment that is written to.
    private var open: (segment: UInt64, descriptor: Int32)?
    /// Which of the two places of each mark was written last.
    private var settledSlot = 0
    private var writtenSlot = 0

    /// Makes the folder if there is none, and takes its lock for as long as this value lives.
    init(_ path: String) throws(BufferFolderError) {
        try Self.make(path)
        let folder = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw BufferFolderError("cannot open", path) }
        let lock = openat(folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else {
            defer { close(folder) }
            throw BufferFolderError("cannot create", path + "/lock")
        }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            defer {
                close(lock)
                close(folder)
            }
            throw BufferFolderError("cannot lock", path, isLocked: errno == EWOULDBLOCK)
        }
        let mark = openat(folder, "settled", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard mark >= 0 else {
            defer {
                close(lock)
                close(folder)
            }
            throw BufferFolderError("cannot create", path + "/settled")
        }
        self.path = path
        self.folder = folder
        self.lock = lock
        self.mark = mark
    }

    deinit {
        if let open = self.open { close(open.descriptor) }
        close(self.mark)
        close(self.lock)
        close(self.folder)
    }

    /// Makes a folder and those above it, where they are missing.
    static func make(_ path: String) throws(BufferFolderError) {
        var parent = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            parent += "/" + part
            guard mkdir(parent, 0o700) == 0 || errno == EEXIST else {
                throw BufferFolderError("cannot create", parent)
            }
        }
    }

    // MARK: Segments

    static func fileName(_ segment: UInt64) -> String {
        let digits = String(segment)
        return String(repeating: "0", count: 20 - digits.count) + digits + ".segment"
    }

    /// The segments that are there, in order.
    func segments() throws(BufferFolderError) -> [UInt64] {
        let copy = dup(self.folder)
        guard copy >= 0, let listing = fdopendir(copy) else { throw BufferFolderError("cannot list", self.path) }
        defer { closedir(listing) }
        rewinddir(listing)
        var segments: [UInt64] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name.hasSuffix(".segment"), let segment = UInt64(name.dropLast(8)), Self.fileName(segment) == name
            else { continue }
            segments.append(segment)
        }
        return segments.sorted()
    }

    func read(_ segment: UInt64) throws(BufferFolderError) -> ByteBuffer {
        let descriptor = try self.openForReading(segment)
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw self.error("cannot read", segment) }
        return try self.read(descriptor, segment, at: 0, count: Int(status.st_size))
    }

    /// Fewer bytes when the file is shorter.
    func read(_ segment: UInt64, at offset: Int, count: Int) throws(BufferFolderError) -> ByteBuffer {
        let descriptor = try self.openForReading(segment)
        defer { close(descriptor) }
        return try self.read(descriptor, segment, at: offset, count: count)
    }

    private func openForReading(_ segment: UInt64) throws(BufferFolderError) -> Int32 {
        let descriptor = openat(self.folder, Self.fileName(segment), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw self.error("cannot open", segment) }
        return descriptor
    }

    private func read(
        _ descriptor: Int32, _ segment: UInt64, at offset: Int, count: Int
    ) throws(BufferFolderError) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        var failure: Int32 = 0
        while buffer.readableBytes < count {
            let done = buffer.readableBytes
            let added = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count - done) { bytes in
                let result = pread(descriptor, bytes.baseAddress, count - done, off_t(offset + done))
                if result < 0 { failure = errno }
                return max(0, result)
            }
            if failure == EINTR { failure = 0 } else if added == 0 { break }
        }
        if failure != 0 { throw self.error("cannot read", segment, failure) }
        return buffer
    }

    /// Writes all of it, or leaves what is there to be overwritten by the next attempt.
    mutating func write(
        _ bytes: ByteBuffer, to segment: UInt64, at offset: Int, isNew: Bool
    ) throws(BufferFolderError) {
        let descriptor = try self.descriptor(of: segment, isNew: isNew)
        let failure = bytes.withUnsafeReadableBytes { bytes -> Int32 in
            var done = 0
            while done < bytes.count {
                let count = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
                if count < 0, errno == EINTR { continue }
                if count <= 0 { return count == 0 ? EIO : errno }
                done += count
            }
            return 0
        }
        if failure != 0 { throw self.error("cannot write", segment, failure) }
    }

    private mutating func descriptor(of segment: UInt64, isNew: Bool) throws(BufferFolderError) -> Int32 {
        if let open = self.open, open.segment == segment { return open.descriptor }
        if let open = self.open { close(open.descriptor) }
        self.open = nil
        let flags = O_WRONLY | O_CLOEXEC | (isNew ? O_CREAT | O_TRUNC : 0)
        let descriptor = openat(self.folder, Self.fileName(segment), flags, 0o600)
        guard descriptor >= 0 else { throw self.error(isNew ? "cannot create" : "cannot open", segment) }
        self.open = (segment, descriptor)
        return descriptor
    }

    /// The segment that is written to is on the disk when this returns.
    func syncSegment() throws(BufferFolderError) {
        guard let open = self.open else { return }
        guard fdatasync(open.descriptor) == 0 else { throw self.error("cannot sync", open.segment) }
    }

    /// The names of the segments are on the disk when this returns.
    func syncNames() throws(BufferFolderError) {
        guard fsync(self.folder) == 0 else { throw BufferFolderError("cannot sync", self.path) }
    }

    /// Cuts off what is behind the last whole record; nothing depends on it.
    func truncate(_ segment: UInt64, to byteCount: Int) {
        let descriptor = openat(self.folder, Self.fileName(segment), O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = ftruncate(descriptor, off_t(byteCount))
        close(descriptor)
    }

    /// A segment that cannot be deleted is found settled at the next start.
    mutating func delete(_ segment: UInt64) {
        if let open = self.open, open.segment == segment {
            close(open.descriptor)
            self.open = nil
        }
        unlinkat(self.folder, Self.fileName(segment), 0)
    }

    // MARK: Marks

    /// Before which position everything is settled; nil when there is no mark, or none that is whole.
    func settledBelow() -> UInt64? { self.highestMark(in: 0..<2) }

    /// Up to which position records were written, nearly; nil as above. Files that end before have lost something.
    func writtenBelow() -> UInt64? { self.highestMark(in: 2..<4) }

    private func highestMark(in slots: Range<Int>) -> UInt64? {
        var best: UInt64?
        for slot in slots {
            var bytes = [UInt8](repeating: 0, count: PositionMark.byteCount)
            let count = pread(self.mark, &bytes, bytes.count, off_t(slot * PositionMark.slotBytes))
            if count == bytes.count, let value = PositionMark.decode(bytes) { best = max(best ?? 0, value) }
        }
        return best
    }

    mutating func noteSettled(below position: UInt64) {
        self.settledSlot ^= 1
        self.note(position, at: self.settledSlot)
    }

    mutating func noteWritten(below position: UInt64) {
        self.writtenSlot ^= 1
        self.note(position, at: 2 + self.writtenSlot)
    }

    /// To one of two places in turn, so that one of them is always whole. A mark that fails to be written is only old.
    private func note(_ position: UInt64, at slot: Int) {
        let bytes = PositionMark.encode(position)
        _ = pwrite(self.mark, bytes, bytes.count, off_t(slot * PositionMark.slotBytes))
    }

    func syncMark() {
        fdatasync(self.mark)
    }

    private func error(_ what: String, _ segment: UInt64, _ code: Int32 = errno) -> BufferFolderError {
        BufferFolderError(what, self.path + "/" + Self.fileName(segment), code: code)
    }
}

/// A file of a disk buffer could not be used.
public struct BufferFolderError: Error, Sendable, CustomStringConvertible {
    /// What failed, such as `cannot write`.
    public var attempt: String
    public var path: String
    /// An `errno`.
    public var code: Int32
    /// Whether another process has the folder.
    public var isLocked: Bool

    init(_ attempt: String, _ path: String, code: Int32 = errno, isLocked: Bool = false) {
        self.attempt = attempt
        self.path = path
        self.code = code
        self.isLocked = isLocked
    }

    /// Such as `cannot write /var/lib/linkspan/buffers/hub/00000000000000000001.segment: No space left on device`.
    public var description: String {
        let reason = self.isLocked ? "another process uses it" : String(cString: strerror(self.code))
        return "\(self.attempt) \(self.path): \(reason)"
    }

    /// Whether room was missing: disk, quota or file size.
    public var isFull: Bool { [ENOSPC, EDQUOT, EFBIG].contains(self.code) }
}
