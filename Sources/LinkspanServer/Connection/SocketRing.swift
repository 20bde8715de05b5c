internal import CLinkspanRing
internal import Glibc

/// Writes to many sockets in one system call, by an io_uring of the kernel.
///
/// Each write is one that does not block (`MSG_DONTWAIT`): the kernel does it when it takes it, in the order in which they were added, and the
/// call returns when all are done. So nothing has to outlive ``submit()``, and nothing is under way after it.
///
/// Not thread-safe: only the thread that made it may use it (`IORING_SETUP_SINGLE_ISSUER`, Linux 6.0).
final class SocketRing {
    /// Why there is no ring, or none any more.
    struct Refusal: Error, CustomStringConvertible {
        /// Of `errno`.
        let code: CInt

        var description: String {
            self.code == EINVAL ? "Linux 6.0 or later is needed" : String(cString: strerror(self.code))
        }
    }

    private let ring: OpaquePointer
    private let results: UnsafeMutablePointer<CInt>
    private let vectors: UnsafeMutablePointer<iovec>
    private let capacity: Int
    private let vectorCapacity: Int
    @exclusivity(unchecked) private var vectorCount = 0
    /// Of the writes that were added, those that the kernel has to do.
    @exclusivity(unchecked) private(set) var queuedCount = 0
    /// Writes that were added since ``clear()``.
    @exclusivity(unchecked) private(set) var count = 0

    /// - Parameters:
    ///   - capacity: writes per system call.
    ///   - vectorCapacity: stretches per system call, of writes that have several.
    ///   - flags: for io_uring_setup(2).
    /// - Throws: what the kernel says: `EINVAL` when it is too old, `ENOSYS` or `EPERM` where io_uring is forbidden, `ENOMEM`, `EMFILE`.
    init(capacity: Int = 256, vectorCapacity: Int = 1024, flags: UInt32 = 0) throws(Refusal) {
        var ring: OpaquePointer?
        let result = linkspan_ring_open(UInt32(capacity), flags, &ring)
        guard let ring else { throw Refusal(code: -result) }
        self.ring = ring
        self.results = .allocate(capacity: capacity)
        self.vectors = .allocate(capacity: vectorCapacity)
        self.capacity = capacity
        self.vectorCapacity = vectorCapacity
    }

    deinit {
        linkspan_ring_close(self.ring)
        self.results.deallocate()
        self.vectors.deallocate()
    }

    var descriptor: CInt { linkspan_ring_descriptor(self.ring) }

    var isFull: Bool { self.count == self.capacity }

    func clear() {
        self.count = 0
        self.queuedCount = 0
        self.vectorCount = 0
    }

    /// Adds a write; where there is no descriptor (-1), one of which nothing is written.
    /// - Precondition: it is not full.
    @inline(__always)
    func add(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) {
        let index = self.nextIndex(descriptor)
        guard descriptor >= 0 else { return }
        linkspan_ring_send(self.ring, descriptor, bytes.baseAddress, min(bytes.count, Self.byteLimit), index)
    }

    /// The same of several stretches; false when there is no room for so many beside those of others. Of more than an empty ring has room for, the first are
    /// written, as to a socket that takes no more.
    /// - Precondition: it is not full.
    func add(_ stretches: ContiguousArray<iovec>, to descriptor: CInt) -> Bool {
        let number = min(stretches.count, self.vectorCapacity)
        guard self.vectorCount + number <= self.vectorCapacity else { return false }
        let index = self.nextIndex(descriptor)
        guard descriptor >= 0 else { return true }
        let vectors = self.vectors + self.vectorCount
        self.vectorCount += number
        stretches.withUnsafeBufferPointer { stretches in
            if let first = stretches.baseAddress { vectors.update(from: first, count: number) }
        }
        linkspan_ring_send_vectors(self.ring, descriptor, vectors, number, index)
        return true
    }

    /// What a length in the kernel's entry and its answer can hold.
    private static let byteLimit = 1 << 30
    /// What came of a write before the kernel has said it.
    private static let unknown = -ECANCELED

    @inline(__always)
    private func nextIndex(_ descriptor: CInt) -> UInt32 {
        let index = self.count
        self.results[index] = descriptor < 0 ? 0 : Self.unknown
        self.count &+= 1
        if descriptor >= 0 { self.queuedCount &+= 1 }
        return UInt32(truncatingIfNeeded: index)
    }

    /// Has the kernel do all that was added; then ``written(_:)`` says what came of it.
    /// - Throws: when the kernel did not take all of it. What it did not take counts as not written, and the ring is of no use any more.
    func submit() throws(Refusal) {
        var waiting = self.queuedCount
        while waiting > 0 {
            let result = linkspan_ring_submit(self.ring, UInt32(waiting))
            let done = Int(linkspan_ring_collect(self.ring, self.results))
            waiting -= done
            if result < 0, result != -EINTR, done == 0 {
                // The kernel takes entries in their order, so those that are still there were not begun.
                linkspan_ring_take_back(self.ring, self.results)
                throw Refusal(code: -result)
            }
        }
    }

    /// Bytes written, 0 when the socket is full, negative when it is broken.
    @inline(__always)
    func written(_ index: Int) -> Int {
        let result = self.results[index]
        if result >= 0 { return Int(result) }
        switch -result {
        case EAGAIN, ENOBUFS, EINTR: return 0
        default: return -1
        }
    }
}

@available(*, unavailable)
extension SocketRing: Sendable {}
