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
    var queuedBytes: Int { self.unwrittenBytes + (self.batch?.joiner.byteCount ?? 0) }

    /// Those of them that the socket has not taken.
    var unwrittenBytes: Int { self.inFlightBytes + (self.backlog?.readableBytes ?? 0) }

    /// The socket; -1 where there is none.
    ///
    /// NIO closes it and calls `channelInactive`, where the slot forgets it, in one go on this loop; it is never used after that.
    func directDescriptor(of context: ChannelHandlerContext) -> CInt {
        let descriptor = try? context.channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { $0 }
        return descriptor ?? -1
    }

    /// Opens or shuts the direct way to the socket.
    func updateDirectWay() {
        guard self.slot >= 0, self.stage != .ended else { return }
        let isDirect = self.queuedBytes == 0 && !self.isJoining
        self.loop.shard.setDirect(isDirect ? self.descriptor : -1, for: self)
    }

    /// The socket took `sent` bytes of what this turn had; `enqueue` adds the others.
    func takeRest(after sent: Int, _ enqueue: (ClientConnection) -> Void) {
        guard self.stage != .ended else { return }
        guard sent >= 0 else { return self.cut() }
        enqueue(self)
        self.updateDirectWay()
        self.applyOutboundLimit()
    }

    private func applyOutboundLimit() {
        let queued = self.queuedBytes
        let limit = self.server.settings.limits.outboundBytes
        if queued > limit { return self.closeIfSlow(limit: limit) }
        if queued > limit / 2 { self.pauseReading(.outbound) }
    }

    /// What this turn had is written: in the turn in which it finished, hangs up unless something still waits.
    func turnWritten() {
        if self.stage == .finishing, self.unwrittenBytes == 0 { self.hangUp() }
        if self.stage == .open, self.batch != nil { self.activateBatch() }
    }

    func enqueue(_ bytes: UnsafeRawBufferPointer) {
        self.isJoining ? self.join(bytes) : self.write(bytes)
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
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
        self.updateDirectWay()
        self.loop.touch()
        // This turn may have more for it: NIO can be done with one stretch before the next comes.
        if self.stage == .finishing { self.loop.shard.tellWhenWritten(self) }
        self.resumeReading(.outbound)
    }

    private func closeIfSlow(limit: Int) {
        // A chunk under way counts in full until it is gone; ask how much of it still is.
        let buffered = try? self.context?.channel.syncOptions?.getOption(.bufferedWritableBytes)
        guard (buffered ?? self.inFlightBytes) + (self.backlog?.readableBytes ?? 0) > limit, self.stage == .open else {
            return
        }
        self.closeAsSlow()
    }

    func closeAsSlow() {
        guard self.stage == .open else { return }
        self.loop.counters.slowSubscribersClosed.add(1)
        self.close(.slowSubscriber)
    }

    /// All is written: the peer hears that nothing more comes, and should hang up too.
    private func hangUp() {
        self.context?.close(mode: .output, promise: nil)
    }
}
