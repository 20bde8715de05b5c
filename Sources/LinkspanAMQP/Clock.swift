internal import Glibc

/// Monotonic time for deadlines and liveness; the threads of this bridge have no other clock.
enum Clock {
    /// Nanoseconds since an arbitrary start.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}

extension Duration {
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = self.components
        return UInt64(max(0, seconds)) &* 1_000_000_000 &+ UInt64(max(0, attoseconds / 1_000_000_000))
    }

    /// For poll(2): at least one.
    var pollMilliseconds: Int32 { Int32(clamping: max(1, self.nanoseconds / 1_000_000)) }

    var timeval: timeval {
        Glibc.timeval(
            tv_sec: Int(self.components.seconds), tv_usec: Int(self.components.attoseconds / 1_000_000_000_000))
    }
}
