internal import Synchronization

/// Readings of a server, taken while its connections are idle.
final class Readings: Sendable {
    private let values = Mutex<[(bytes: UInt64, nanoseconds: UInt64)]>([])

    func note(bytes: UInt64, nanoseconds: UInt64) {
        self.values.withLock { $0.append((bytes, nanoseconds)) }
    }

    /// How much the memory grew in all, and the CPU time between first and last reading.
    func growth(from bytes: UInt64) -> (bytes: UInt64, nanoseconds: UInt64) {
        self.values.withLock { values in
            guard let first = values.first, let last = values.last else { return (0, 0) }
            return (last.bytes > bytes ? last.bytes - bytes : 0, last.nanoseconds - first.nanoseconds)
        }
    }
}
