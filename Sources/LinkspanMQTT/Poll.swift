internal import Glibc
internal import LinkspanBridgeKit

/// What woke the thread that connects out of `poll`.
struct PollResult {
    var isSignalled = false
    /// Also when the connection failed or was closed: reading then says why.
    var isReadable = false
    var isWritable = false
    var hasFailed = false
    /// Both directions are over, or there never was a connection.
    var hasHungUp = false

    /// Sleeps until `signal` is raised, `descriptor` is ready for one of `events`, or `timeout` is over.
    ///
    /// - Parameter events: `POLLIN`, `POLLOUT` or both.
    static func wait(
        signal: WakeSignal, descriptor: Int32, events: Int32, timeout: Duration
    ) -> PollResult {
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { entries in
            entries[0] = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
            entries[1] = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            guard poll(entries.baseAddress, 2, max(timeout, .zero).wholeMilliseconds) > 0 else { return PollResult() }
            let seen = Int32(entries[1].revents)
            return PollResult(
                isSignalled: entries[0].revents != 0,
                isReadable: seen & (POLLIN | POLLERR | POLLHUP | POLLNVAL) != 0,
                isWritable: seen & (POLLOUT | POLLERR | POLLHUP) != 0,
                hasFailed: seen & (POLLERR | POLLNVAL) != 0,
                hasHungUp: seen & POLLHUP != 0)
        }
    }
}
