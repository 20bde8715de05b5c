internal import Glibc
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore
internal import NIOPosix

/// Writing: straight to the socket while it takes everything, through NIO once it does not.
///
/// A delivery is one `send` of bytes that all subscribers share, without a pipeline, a promise or a buffer of its own. What the socket does
/// not take is copied to `backlog`, and everything after it too, so order holds. NIO writes one chunk of it at a time; when the last is
/// gone, the direct way is open again.
extension ClientConnection {
    /// Bytes that wait for this connection in our memory.
    var queuedBytes: Int { self.inFlightBytes + (self.backlog?.readableBytes ?? 0) }

    /// The socket, when nothing in the pipeline has to see what is written; -1 behind TLS.
    func directDescriptor(of context: ChannelHandlerContext) -> CInt {
        let descriptor = try? context.channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { $0 }
        return descriptor ?? -1
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard self.stage != .ended else { return }
        var sent = 0
        if self.descriptor >= 0, self.queuedBytes == 0 {
            sent = self.outcome(of: Self.retrying { send(self.descriptor, bytes.baseAddress, bytes.count, Self.flags) })
            if sent == bytes.count || sent < 0 { return }
        }
        self.enqueue(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
    }

    func write(_ vectors: ContiguousArray<iovec>) {
        guard self.stage != .ended else { return }
        var first = 0
        var skip = 0
        if self.descriptor >= 0, self.queuedBytes == 0 {
            while first < vectors.count {
                let last = min(first + Self.vectorLimit, vectors.count)
                let total = vectors[first..<last].reduce(0) { $0 + $1.iov_len }
                var sent = self.outcome(of: self.sendVectors(vectors, first..<last))
                if sent < 0 { return }
                let isWhole = sent == total
                while first < last, sent >= vectors[first].iov_len {
                    sent -= vectors[first].iov_len
                    first += 1
                }
                skip = sent
                if !isWhole { break }
            }
        }
        for vector in vectors[first...] {
            self.enqueue(UnsafeRawBufferPointer(start: vector.iov_base + skip, count: vector.iov_len - skip))
            skip = 0
        }
    }

    /// After everything that one turn had for this connection.
    func turnWritten() {
        let queued = self.queuedBytes
        if queued == 0 { return }
        let limit = self.server.settings.limits.outboundBytes
        if queued > limit { return self.closeIfSlow(limit: limit) }
        if queued > limit / 2 { self.pauseReading(.outbound) }
    }

    /// The turn in which it finished is over: hangs up unless something still waits to be written.
    func finishTurnWritten() {
        if self.stage == .finishing, self.queuedBytes == 0 { self.hangUp() }
    }

    private static let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
    /// Stretches per system call, well below IOV_MAX.
    private static let vectorLimit = 256

    private func sendVectors(_ vectors: ContiguousArray<iovec>, _ range: Range<Int>) -> Int {
        vectors.withUnsafeBufferPointer { vectors in
            var message = msghdr()
            message.msg_iov = UnsafeMutablePointer(mutating: vectors.baseAddress! + range.lowerBound)
            message.msg_iovlen = range.count
            return Self.retrying { sendmsg(self.descriptor, &message, Self.flags) }
        }
    }

    private static func retrying(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 || errno != EINTR { return result }
        }
    }

    /// Bytes sent; 0 when the socket is full, negative when it is broken and the connection was ended for it.
    private func outcome(of result: Int) -> Int {
        if result >= 0 { return result }
        if errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS { return 0 }
        self.cut()
        return -1
    }

    private func enqueue(_ bytes: UnsafeRawBufferPointer) {
        if self.backlog == nil { self.backlog = ByteBufferAllocator().buffer(capacity: bytes.count) }
        self.backlog?.writeBytes(bytes)
        if self.inFlightBytes == 0 { self.handOver() }
    }

    private func handOver() {
        guard let chunk = self.backlog, let context = self.context else { return }
        self.backlog = nil
        self.inFlightBytes = chunk.readableBytes
        context.writeAndFlush(self.wrapOutboundOut(chunk)).assumeIsolated().whenComplete { result in
            self.chunkWritten(result)
        }
    }

    private func chunkWritten(_ result: Result<Void, any Error>) {
        self.inFlightBytes = 0
        guard self.stage != .ended else { return }
        guard case .success = result else { return self.cut() }
        if self.backlog != nil { return self.handOver() }
        self.loop.touch()
        if self.stage == .finishing { self.hangUp() }
        self.resumeReading(.outbound)
    }

    private func closeIfSlow(limit: Int) {
        // A chunk under way counts in full until it is gone; ask how much of it still is.
        let buffered = try? self.context?.channel.syncOptions?.getOption(.bufferedWritableBytes)
        guard (buffered ?? self.inFlightBytes) + (self.backlog?.readableBytes ?? 0) > limit, self.stage == .open else {
            return
        }
        self.loop.counters.slowSubscribersClosed.add(1)
        self.close(.slowSubscriber)
    }

    /// All is written: the peer hears that nothing more comes, and should hang up too.
    private func hangUp() {
        self.context?.close(mode: .output, promise: nil)
    }
}
