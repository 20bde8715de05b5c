internal import Glibc

/// `send` and `sendmsg` on a socket that must not block.
enum SocketWriter {
    /// How far a list of stretches was written: `skip` bytes of stretch `first`, and all before it.
    struct Progress {
        var first: Int
        var skip: Int
        /// Bytes in all; negative when the socket is broken.
        var sent: Int
    }

    /// Bytes written; 0 when the socket is full, negative when it is broken.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) -> Int {
        self.retrying { send(descriptor, bytes.baseAddress, bytes.count, self.flags) }
    }

    static func write(_ vectors: ContiguousArray<iovec>, to descriptor: CInt) -> Progress {
        var progress = Progress(first: 0, skip: 0, sent: 0)
        while progress.first < vectors.count {
            let last = min(progress.first + self.vectorLimit, vectors.count)
            let total = vectors[progress.first..<last].reduce(0) { $0 + $1.iov_len }
            var sent = self.write(vectors, progress.first..<last, to: descriptor)
            if sent < 0 {
                progress.sent = sent
                return progress
            }
            progress.sent += sent
            let isWhole = sent == total
            while progress.first < last, sent >= vectors[progress.first].iov_len {
                sent -= vectors[progress.first].iov_len
                progress.first += 1
            }
            progress.skip = sent
            if !isWhole { break }
        }
        return progress
    }

    private static let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
    /// Stretches per system call, well below IOV_MAX.
    private static let vectorLimit = 256

    private static func write(_ vectors: ContiguousArray<iovec>, _ range: Range<Int>, to descriptor: CInt) -> Int {
        vectors.withUnsafeBufferPointer { vectors in
            var message = msghdr()
            message.msg_iov = UnsafeMutablePointer(mutating: vectors.baseAddress! + range.lowerBound)
            message.msg_iovlen = range.count
            return self.retrying { sendmsg(descriptor, &message, self.flags) }
        }
    }

    @inline(__always)
    private static func retrying(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            switch errno {
            case EINTR: continue
            case EAGAIN, ENOBUFS: return 0
            default: return -1
            }
        }
    }
}
