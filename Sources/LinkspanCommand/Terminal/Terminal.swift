internal import Glibc

/// Data to standard output, everything else to standard error. Each call is one `write`, so lines of different threads stay whole.
enum Terminal {
    /// Standard output was closed by whoever reads it.
    struct OutputClosed: Error {}

    static var outputIsRead: Bool { isatty(STDOUT_FILENO) == 1 }
    static var errorsAreRead: Bool { isatty(STDERR_FILENO) == 1 }

    /// For people, on standard error.
    static func printError(_ text: String) {
        // Nobody is left to tell when standard error itself is closed.
        try? Self.write(Array((text + "\n").utf8), to: STDERR_FILENO)
    }

    /// For people and programs, on standard output; a reader that went away is no error here.
    static func printOutput(_ text: String) {
        try? Self.write(Array((text + "\n").utf8), to: STDOUT_FILENO)
    }

    /// - Throws: ``OutputClosed``.
    static func writeOutput(_ bytes: [UInt8]) throws(OutputClosed) {
        try Self.write(bytes, to: STDOUT_FILENO)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(OutputClosed) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                // Whoever shares the terminal made it non-blocking.
                var readiness = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&readiness, 1, -1)
            } else if errno != EINTR {
                throw OutputClosed()
            }
        }
    }
}
