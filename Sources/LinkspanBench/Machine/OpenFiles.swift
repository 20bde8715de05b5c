internal import Glibc

/// Each connection is an open file, and shells start processes with a low limit.
enum OpenFiles {
    static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// As many of `count` as there may be open files for, each of which takes some.
    static func bounded(_ count: Int, each: Int = 1) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return count }
        return min(count, (Int(clamping: limit.rlim_max) - 256) / each)
    }
}
