internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// Why a connection is not read.
struct PauseReasons: OptionSet {
    let rawValue: UInt8

    /// It publishes faster than it may.
    static let rate = PauseReasons(rawValue: 1)
    /// Some loop has too much waiting.
    static let congestion = PauseReasons(rawValue: 2)
    /// It does not take what we send it, answers included.
    static let outbound = PauseReasons(rawValue: 4)

    /// The application has as much of its work as it may have.
    static let application = PauseReasons(rawValue: 8)

    /// The application has yet to decide about what came last.
    static let decision = PauseReasons(rawValue: 16)

    /// A bridge that carries what it publishes is full, and its rule says `block`.
    static let upstream = PauseReasons(rawValue: 32)

    /// As many of its publishes as may wait for their answers.
    static let receipts = PauseReasons(rawValue: 64)

    /// Reasons that are not the peer's: its pong may be waiting unread.
    static let ours: PauseReasons = [.rate, .congestion, .application, .decision, .upstream, .receipts]
    static let all: PauseReasons = [.rate, .congestion, .outbound, .application, .decision, .upstream, .receipts]
    /// Reasons whose end nobody announces.
    static let polled: PauseReasons = [.congestion, .upstream]
}

extension ClientConnection {
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // TLS may bring more of the same read, and wants to be done with it before it is written to.
        guard self.writesDirectly else {
            self.loop.catchUp()
            return self.received(self.unwrapInboundIn(data))
        }
        self.loop.readBegan()
        self.received(self.unwrapInboundIn(data))
        self.loop.readEnded()
    }

    private func received(_ buffer: ByteBuffer) {
        guard self.isListening else { return }
        var buffer = buffer
        if self.unread == nil {
            self.handle(&buffer)
            let isRest = buffer.readableBytes > 0 && self.isListening
            if isRest { self.unread = self.ownCopy(of: buffer) }
            self.loop.spareBuffer.put(buffer)
            guard isRest else { return }
        } else {
            self.unread?.writeBuffer(&buffer)
            self.handleUnread()
        }
        if !self.pauses.isEmpty { self.setAutoRead(false) }
    }

    /// Ends here: passing it on would touch what stands behind us once per read, for nobody.
    func channelReadComplete(context: ChannelHandlerContext) {}

    private var isListening: Bool { self.stage != .finishing && self.stage != .ended }

    func handleUnread() {
        guard var unread = self.unread else { return }
        self.unread = nil
        self.handle(&unread)
        guard unread.readableBytes > 0, self.isListening else { return }
        unread.discardReadBytes()
        self.unread = unread
    }

    /// The receive buffer goes back to NIO's pool; what is left over is small as a rule.
    private func ownCopy(of buffer: ByteBuffer) -> ByteBuffer {
        var copy = ByteBufferAllocator().buffer(capacity: buffer.readableBytes)
        copy.writeImmutableBuffer(buffer)
        return copy
    }

    /// Handles whole frames off the front of `buffer`.
    private func handle(_ buffer: inout ByteBuffer) {
        let consumed = buffer.withUnsafeReadableBytes { readable -> Int in
            // Frames are unmasked where they lie. NIO's pool holds the buffer too and only ever overwrites it, so
            // the uniqueness check of a mutating access would buy nothing but a copy of every read.
            let bytes = UnsafeMutableRawBufferPointer(mutating: readable)
            var consumed = 0
            while consumed < bytes.count, self.pauses.isEmpty {
                let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[consumed...])
                let count = self.isListening ? self.frameReceived(rest) : rest.count
                if count == 0 { break }
                consumed += count
            }
            return consumed
        }
        buffer.moveReaderIndex(forwardBy: consumed)
    }

    /// Handles one frame, and says how many bytes it was; 0 when it is incomplete.
    private func frameReceived(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
        do throws(WebSocketError) {
            switch try self.parser.parse(bytes) {
            case .incomplete: return 0
            case .frame(let event, let consumed):
                if let event { self.eventReceived(event, in: UnsafeRawBufferPointer(bytes)) }
                return consumed
            }
        } catch {
            // What follows a fault cannot be told apart any more.
            self.fail(error.closeCode)
            self.finish()
            return bytes.count
        }
    }

    private func eventReceived(_ event: WebSocketEvent, in bytes: UnsafeRawBufferPointer) {
        switch event {
        case .message(let kind, let payload, let isCompressed):
            let bytes = UnsafeRawBufferPointer(rebasing: bytes[payload])
            isCompressed ? self.compressedReceived(kind, bytes) : self.messageReceived(kind, bytes)
        case .assembled(let kind, let payload, let isCompressed):
            payload.withUnsafeBytes {
                isCompressed ? self.compressedReceived(kind, $0) : self.messageReceived(kind, $0)
            }
        case .ping(let payload):
            guard self.stage == .open else { return }
            self.loop.shard.answer(self, .pong) { $0.put(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[payload])) }
        case .pong:
            break
        case .close(let code, let reason):
            self.closeReceived(code, reason: UnsafeRawBufferPointer(rebasing: bytes[reason]))
        }
    }

    private func compressedReceived(_ kind: WebSocketMessageKind, _ bytes: UnsafeRawBufferPointer) {
        guard self.stage == .open else { return }
        do throws(InflateError) {
            let inflater = try self.loop.madeInflater()
            let message = try inflater.inflate(bytes, limit: self.server.settings.limits.messageBytes)
            self.loop.counters.messagesInflated.add(1)
            self.messageReceived(kind, UnsafeRawBufferPointer(start: message.base, count: message.count))
            inflater.reclaim(message)
        } catch {
            self.fail(error.closeCode)
            self.finish()
        }
    }

    private func messageReceived(_ kind: WebSocketMessageKind, _ text: UnsafeRawBufferPointer) {
        guard self.stage == .open else { return }
        if self.program.middleware.asksMessage, self.askAboutMessage(kind, text) { return }
        self.messageAdmitted(kind, text)
    }

    func messageAdmitted(_ kind: WebSocketMessageKind, _ text: UnsafeRawBufferPointer) {
        guard self.codec == .json else { return self.codedMessageReceived(kind, text) }
        self.textReceived(kind, text)
    }

    /// A message in JSON, or anything that is none.
    func textReceived(_ kind: WebSocketMessageKind, _ text: UnsafeRawBufferPointer) {
        let now = self.loop.turn.now
        let rules = self.listener.rules
        switch self.server.decoder.decode(text.bytes) {
        case .pong(let dialect):
            if self.isTokenOver { self.endToken() }
            self.run(self.machine?.pongReceived(dialect, at: now, rules: rules) ?? .nothing, text: text)
            if let session = self.session { session.update { $0.dialect = self.machine?.liveness.dialect } }
        case .packet(let packet):
            // The decoder vouches for the UTF-8 of what it understands, and of nothing else.
            if kind == .text, case .raw = packet, String(validating: text, as: UTF8.self) == nil {
                self.fail(.invalidPayload)
                self.finish()
                return
            }
            self.packetReceived(packet, text)
        case .batch(var batch):
            self.run(self.machine?.batchReceived(rules: rules) ?? .nothing, text: text)
            self.batchReceived(&batch, text)
        }
    }

    /// Handles packet after packet; those behind one that waits for a decision stay in `batch`.
    func batchReceived(_ batch: inout PacketBatch, _ text: UnsafeRawBufferPointer) {
        while self.stage == .open, let packet = self.server.decoder.next(&batch, in: text.bytes) {
            self.packetReceived(packet, text)
            if self.question != nil { return self.keep(batch) }
        }
    }

    func packetReceived(_ packet: ClientPacket, _ text: UnsafeRawBufferPointer) {
        if self.isTokenOver {
            if self.tokenEnded(before: packet) { return }
            defer { self.tokenEnded = nil }
            return self.carryOut(packet, text)
        }
        self.carryOut(packet, text)
    }

    private func carryOut(_ packet: ClientPacket, _ text: UnsafeRawBufferPointer) {
        let action = self.machine?.packetReceived(
            packet, in: text.bytes, at: self.loop.turn.now, rules: self.listener.rules)
        self.run(action ?? .nothing, text: text)
    }

    // MARK: Pausing

    func pauseReading(_ reason: PauseReasons) {
        self.pauses.insert(reason)
        // Most decisions are there before the client has said anything else, which costs the socket nothing then.
        if reason != .decision { self.setAutoRead(false) }
    }

    func resumeReading(_ reason: PauseReasons) {
        guard !self.pauses.isDisjoint(with: reason) else { return }
        self.pauses.subtract(reason)
        guard self.pauses.isEmpty else { return }
        if !self.isReading { self.machine?.readingResumed(at: self.loop.turn.now, rules: self.listener.rules) }
        self.handleUnread()
        if self.pauses.isEmpty, self.stage != .ended { self.setAutoRead(true) }
    }

    /// After a publish: whether the next one has to wait.
    func applyRate() {
        guard let ready = self.rate?.published(at: self.loop.turn.now), self.stage == .open else { return }
        self.loop.counters.ratePauses.add(1)
        self.rateEnds = ready
        self.pauseReading(.rate)
        self.reschedule()
    }

    func applyCongestion() {
        guard !self.pauses.contains(.congestion), self.stage == .open else { return }
        self.loop.counters.congestionPauses.add(1)
        self.pauseReading(.congestion)
        self.reschedule()
    }

    /// After a publish while some bridge is full: whether the next one has to wait for room there.
    func applyBackPressure(_ channel: StringSlice, text: UnsafeRawBufferPointer) {
        let bridges = self.withName(channel, in: text) { self.loop.pressingBridges(on: $0) }
        guard bridges != 0, self.stage == .open else { return }
        self.blockedBy |= bridges
        guard !self.pauses.contains(.upstream) else { return }
        self.loop.counters.upstreamPauses.add(1)
        self.pauseReading(.upstream)
        self.reschedule()
    }

    func endBackPressure() {
        self.blockedBy = 0
        self.resumeReading(.upstream)
    }

    private func setAutoRead(_ isOn: Bool) {
        guard isOn != self.isReading else { return }
        self.isReading = isOn
        // The option cannot fail on an open channel, and a closed one is read no more.
        try? self.context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }
}
