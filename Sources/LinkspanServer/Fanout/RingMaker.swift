internal import Logging
internal import Synchronization

/// Makes the rings of all loops of a server, and says once why there are none.
final class RingMaker: Sendable {
    /// Connections that a turn has something for, from which one call for all of them is cheaper than a `send` for each.
    ///
    /// With up to eight both cost the same, with sixteen the ring a tenth less.
    let fewestWrites: Int
    private let logger: Logger?
    private let open: @Sendable () throws(SocketRing.Refusal) -> SocketRing
    private let hasSpoken = Atomic<Bool>(false)

    init(
        logger: Logger? = nil, fewestWrites: Int = 16,
        open: @escaping @Sendable () throws(SocketRing.Refusal) -> SocketRing = { () throws(SocketRing.Refusal) in
            try SocketRing()
        }
    ) {
        self.logger = logger
        self.fewestWrites = fewestWrites
        self.open = open
    }

    /// A ring for the calling thread.
    func make() throws(SocketRing.Refusal) -> SocketRing { try self.open() }

    /// A loop goes on without one.
    func refused(_ refusal: SocketRing.Refusal) {
        guard !self.hasSpoken.exchange(true, ordering: .relaxed) else { return }
        self.logger?.info(
            "No io_uring: each write to a client is a system call", metadata: [LogKey.reason: "\(refusal)"])
    }
}
