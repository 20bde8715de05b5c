internal import Glibc

/// `send` and `sendmsg` on a socket that must not block.
enum SocketWriter {
    /// Bytes written; 0 when the socket is full, negative when it is broken.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) -> Int {
        self.retrying { send(descriptor, bytes.baseAddress, bytes.count, self.flags) }
    }

    /// Bytes of all stretches that were written; negative when the socket is broken.
    static func write(_ vectors: ContiguousArray<iovec>, to descriptor: CInt) -> Int {
        var sent = 0
        var first = 0
        while first < vectors.count {
            let last = min(first + self.vectorLimit, vectors.count)
            let total = vectors[first..<last].reduce(0) { $0 + $1.iov_len }
            let taken = self.write(vectors, first..<last, to: descriptor)
            if taken < 0 { return taken }
            sent += taken
            if taken < total { break }
            first = last
        }
        return sent
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
