internal import CLinkspanLinux

/// How long the kernel lets a thread work before another one gets its core.
package enum ThreadSlice {
    /// The shortest that sched_setattr(2) takes: 0.1 ms.
    package static let shortest: Duration = .microseconds(100)

    /// Asks for the shortest slice for the calling thread, whose message somebody waits for.
    ///
    /// A thread that wakes up gets a core at once from one with a longer slice, and otherwise waits for the end of that slice, 3 ms by
    /// default. It gets no more of the core by it. Linux before 6.12 knows no such wish, and nothing changes there.
    ///
    /// - Returns: false when the kernel refused, or the thread has a scheduling policy that somebody chose for it.
    @discardableResult
    package static func shorten() -> Bool {
        linkspan_set_slice(UInt64(Self.shortest.components.attoseconds / 1_000_000_000)) == 0
    }

    /// Of the calling thread; zero where the kernel does not tell.
    package static var current: Duration { .nanoseconds(Int64(clamping: linkspan_slice())) }
}
