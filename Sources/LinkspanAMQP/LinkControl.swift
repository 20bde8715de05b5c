internal import Glibc
internal import LinkspanBridgeKit
internal import Synchronization

/// What other threads may know of one connection's thread, and do to it.
final class LinkControl: Sendable {
    private let signal = Mutex<WakeSignal?>(nil)
    private let pulse = Atomic<UInt64>(0)
    private let cut = Mutex<Cut>(Cut())

    private struct Cut {
        /// A duplicate: librabbitmq closes its own descriptor when it gives up, and the number may then be another's.
        var descriptor: Int32 = -1
        var reason: String?
    }

    deinit {
        self.detach()
    }

    func started(_ signal: WakeSignal) {
        self.signal.withLock { $0 = signal }
    }

    /// Wakes the thread out of `poll`.
    func raise() {
        self.signal.withLock { $0 }?.raise()
    }

    /// Says that the thread is not stuck inside the library.
    func beat(now: UInt64) {
        self.pulse.store(now, ordering: .relaxed)
    }

    /// Whether the thread has shown no life for `limit` nanoseconds. A thread that never did, or has ended, is not stuck.
    func isStuck(for limit: UInt64, now: UInt64) -> Bool {
        let last = self.pulse.load(ordering: .relaxed)
        return last != 0 && now > last && now - last > limit
    }

    func attach(_ descriptor: Int32) {
        self.cut.withLock { $0.descriptor = dup(descriptor) }
    }

    /// Ends every call of the library that waits on the socket; the only thing another thread may do to a connection.
    func cut(because reason: String) {
        self.cut.withLock { cut in
            guard cut.descriptor >= 0, cut.reason == nil else { return }
            cut.reason = reason
            shutdown(cut.descriptor, Int32(SHUT_RDWR))
        }
    }

    /// Why the connection was cut, if it was.
    var cutReason: String? { self.cut.withLock { $0.reason } }

    /// To be called before the connection is closed: as long as the duplicate is open the upstream does not learn of it.
    func detach() {
        self.pulse.store(0, ordering: .relaxed)
        self.cut.withLock { cut in
            guard cut.descriptor >= 0 else { return }
            close(cut.descriptor)
            cut.descriptor = -1
        }
    }
}

/// Sleeping until a socket or a signal wants attention.
enum Poll {
    struct Ready {
        /// Something to read, an end of stream or an error included.
        var isReadable: Bool
        var isWritable: Bool
    }

    /// - Parameters:
    ///   - socket: -1 leaves it out.
    ///   - forWriting: whether room to write ends the sleep too.
    ///   - milliseconds: zero does not sleep.
    static func wait(socket: Int32, forWriting: Bool = false, signal: WakeSignal, milliseconds: Int32) -> Ready {
        var polled = (
            pollfd(fd: socket, events: Int16(forWriting ? POLLIN | POLLOUT : POLLIN), revents: 0),
            pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
        )
        withUnsafeMutableBytes(of: &polled) { bytes in
            _ = poll(bytes.baseAddress!.assumingMemoryBound(to: pollfd.self), 2, milliseconds)
        }
        signal.clear()
        let seen = Int32(polled.0.revents)
        return Ready(isReadable: seen & ~POLLOUT != 0, isWritable: seen & POLLOUT != 0)
    }
}
