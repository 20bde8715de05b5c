internal import Glibc
internal import NIOPosix

/// The lines of standard input, as they come; reading blocks a thread of its own kind, not one of the tasks.
struct StandardInputLines {
    struct LineTooLong: Error {}

    /// Longest line, in bytes.
    static let limit = 16 << 20

    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    /// Without its line break; nil at the end of the input. A last line without a line break counts.
    mutating func next() async throws(LineTooLong) -> [UInt8]? {
        while true {
            if let end = self.buffer[self.start...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { self.start = end + 1 }
                return self.line(upTo: end)
            }
            if self.isAtEnd {
                defer { self.start = self.buffer.count }
                return self.start < self.buffer.count ? self.line(upTo: self.buffer.count) : nil
            }
            self.buffer.removeFirst(self.start)
            self.start = 0
            guard self.buffer.count <= Self.limit else { throw LineTooLong() }
            let chunk = await Self.read()
            self.isAtEnd = chunk.isEmpty
            self.buffer += chunk
        }
    }

    private func line(upTo end: Int) -> [UInt8] {
        let line = self.buffer[self.start..<end]
        return Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
    }

    /// Empty at the end, and when the input cannot be read.
    private static func read() async -> [UInt8] {
        let chunk = try? await NIOThreadPool.singleton.runIfActive {
            [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
                var code = 0
                repeat {
                    code = Glibc.read(STDIN_FILENO, buffer.baseAddress, buffer.count)
                } while code < 0 && errno == EINTR
                count = max(code, 0)
            }
        }
        return chunk ?? []
    }
}
