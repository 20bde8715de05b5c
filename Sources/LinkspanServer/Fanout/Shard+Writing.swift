internal import Glibc

/// The end of a turn: each connection that it has something for is written to once.
///
/// Many are written to together, by a ``SocketRing``, where the kernel has one for us; a few, or all where it has not, one after the other.
extension Shard {
    /// A connection's list of segments that went to the kernel with others.
    struct WriteInRing {
        var slot: Int32
        var generation: UInt32
        var first: Int32
        var byteCount: Int
    }

    /// Connections that this turn has something for.
    var writeCount: Int { self.touched.count }

    func endTurn() {
        if !self.joining.isEmpty { self.answerJoined() }
        // Writing may end a connection, and so gather a last answer for it or another one.
        var index = 0
        while index < self.touched.count {
            let slot = Int(self.touched[index])
            if self.touched.count - index >= self.fewestWritesInRing, self.connections.descriptor(of: slot) >= 0,
                let ring = self.openRing()
            {
                index = self.write(from: index, by: ring)
            } else {
                index += 1
                let first = self.connections.takeSegments(of: slot)
                if first >= 0 { self.write(from: first, to: slot) }
            }
        }
        self.touched.removeAll(keepingCapacity: true)
        self.segments.removeAll(keepingCapacity: true)
        self.answers.clear()
        for connection in self.listening { connection.turnWritten() }
        self.listening.removeAll(keepingCapacity: true)
        for staged in self.staged where staged.isOwners { self.loop.owner.reclaim(staged.frames) }
        self.staged.removeAll(keepingCapacity: true)
    }

    private func answerJoined() {
        for connection in self.joining { connection.answerJoined() }
        self.joining.removeAll(keepingCapacity: true)
    }

    // MARK: One after the other

    private func write(from first: Int32, to slot: Int) {
        let segment = self.segments[Int(first)]
        let descriptor = self.connections.descriptor(of: slot)
        var sent = 0
        if descriptor >= 0 {
            if segment.next < 0 {
                sent = SocketWriter.write(self.bytes(segment), to: descriptor)
                if sent == segment.count { return }
            } else {
                let byteCount = self.gatherVectors(from: first)
                sent = SocketWriter.write(self.vectors, to: descriptor)
                if sent == byteCount { return }
            }
        }
        self.leaveRest(from: first, after: sent, to: self.connections[slot])
    }

    /// Bytes in all.
    private func gatherVectors(from first: Int32) -> Int {
        self.vectors.removeAll(keepingCapacity: true)
        var byteCount = 0
        var next = first
        while next >= 0 {
            let segment = self.segments[Int(next)]
            let start = UnsafeMutableRawPointer(mutating: self.bytes(segment).baseAddress)
            self.vectors.append(iovec(iov_base: start, iov_len: segment.count))
            byteCount += segment.count
            next = segment.next
        }
        return byteCount
    }

    /// Hands over what the socket did not take.
    private func leaveRest(from first: Int32, after sent: Int, to connection: ClientConnection?) {
        connection?.takeRest(after: sent) { connection in
            var skip = sent
            var next = first
            while next >= 0 {
                let segment = self.segments[Int(next)]
                if skip < segment.count {
                    connection.enqueue(UnsafeRawBufferPointer(rebasing: self.bytes(segment)[skip...]))
                }
                skip = max(0, skip - segment.count)
                next = segment.next
            }
        }
    }

    @inline(__always)
    private func bytes(_ segment: Segment) -> UnsafeRawBufferPointer {
        let block = segment.block < 0 ? self.answers : self.staged[Int(segment.block)].frames
        return UnsafeRawBufferPointer(start: block.base + segment.start, count: segment.count)
    }

    // MARK: Together

    /// Nil where there is none.
    private func openRing() -> SocketRing? {
        if let ring = self.ring { return ring }
        do throws(SocketRing.Refusal) {
            self.ring = try self.context.rings.make()
        } catch {
            self.loseRing(error)
        }
        return self.ring
    }

    private func loseRing(_ refusal: SocketRing.Refusal) {
        self.ring = nil
        self.fewestWritesInRing = .max
        self.counters.ringRefusals.add(1)
        self.context.rings.refused(refusal)
    }

    /// Writes to as many connections as the ring has room for, from the one at `start`, and returns where the others begin.
    private func write(from start: Int, by ring: SocketRing) -> Int {
        let next = self.fill(ring, from: start)
        self.counters.ringCalls.add(1)
        self.counters.ringWrites.add(ring.queuedCount)
        do throws(SocketRing.Refusal) {
            try ring.submit()
        } catch {
            self.loseRing(error)
        }
        for index in self.writesInRing.indices {
            let write = self.writesInRing[index]
            let sent = ring.written(index)
            if sent == write.byteCount { continue }
            let connection = self.connection(Int(write.slot), generation: write.generation)
            self.leaveRest(from: write.first, after: sent, to: connection)
        }
        self.writesInRing.removeAll(keepingCapacity: true)
        ring.clear()
        return next
    }

    /// Does nothing that could gather more, or close a socket: what one connection is sent must not be in the ring twice, nor its number belong to another.
    private func fill(_ ring: SocketRing, from start: Int) -> Int {
        var index = start
        while index < self.touched.count, !ring.isFull {
            let slot = Int(self.touched[index])
            let first = self.connections.firstSegment(of: slot)
            if first >= 0 {
                guard let byteCount = self.add(first, to: ring, slot: slot) else { break }
                self.writesInRing.append(
                    WriteInRing(
                        slot: Int32(slot), generation: self.connections.generation(of: slot), first: first,
                        byteCount: byteCount))
                _ = self.connections.takeSegments(of: slot)
            }
            index += 1
        }
        return index
    }

    /// Bytes; nil when the ring has no room for so many segments.
    @inline(__always)
    private func add(_ first: Int32, to ring: SocketRing, slot: Int) -> Int? {
        let segment = self.segments[Int(first)]
        let descriptor = self.connections.descriptor(of: slot)
        if segment.next < 0 {
            ring.add(self.bytes(segment), to: descriptor)
            return segment.count
        }
        let byteCount = self.gatherVectors(from: first)
        return ring.add(self.vectors, to: descriptor) ? byteCount : nil
    }
}
