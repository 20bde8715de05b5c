internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// Packets for one client on their way into arrays.
struct OutboundBatch {
    var joiner = FrameJoiner()
    var interval: TimeAmount
    /// When packets go out one by one again.
    var ends: NIODeadline
    /// False until what the turn that began it has for the client is written.
    var isActive = false
    /// Whether a timer is running that sends the array.
    var isTimed = false
}

/// Arrays for clients that can read them: what follows a handshake, what the application wants joined, and answers to subscriptions that
/// ask for it.
///
/// A connection with a batch has no direct way to its socket, so all it is sent comes by ``enqueue(_:)``, in the frames that others get as
/// well. Connections without one pay nothing.
extension ClientConnection {
    private var settings: BatchingSettings { self.server.settings.batching }

    var isJoining: Bool { self.batch?.isActive ?? false }

    /// The handshake's answer leaves alone.
    func startBatchOnHandshake() {
        let duration = TimeAmount(self.settings.handshakeDuration)
        self.startBatching(interval: nil, until: self.loop.turn.now + duration)
        self.schedule(in: duration) { connection in
            if let batch = connection.batch, batch.ends <= .now() { connection.stopBatching() }
        }
    }

    /// Joins what the turns after this one send.
    /// - Parameter interval: longest wait of a packet for others; that of the settings unless given.
    func startBatching(interval: TimeAmount?, until end: NIODeadline = .distantFuture) {
        guard self.stage == .open else { return }
        var batch = self.batch ?? OutboundBatch(interval: .zero, ends: end)
        batch.interval = interval ?? TimeAmount(self.settings.interval)
        batch.ends = max(batch.ends, end)
        self.batch = batch
        self.loop.shard.tellWhenWritten(self)
    }

    func activateBatch() {
        self.batch?.isActive = true
        self.updateDirectWay()
    }

    /// Sends what waits, and what comes after it one by one.
    func stopBatching() {
        guard self.batch != nil else { return }
        self.sendArray()
        self.batch = nil
        self.updateDirectWay()
    }

    func join(_ frames: UnsafeRawBufferPointer) {
        guard var batch = self.batch else { return }
        // Taken out, so that it grows where it is.
        self.batch = nil
        batch.joiner.join(frames) { self.write($0) }
        let count = batch.joiner.byteCount
        let needsTimer = count > 0 && !batch.isTimed
        if needsTimer { batch.isTimed = true }
        self.batch = batch
        if count >= self.arrayByteLimit { return self.sendArray() }
        guard needsTimer else { return }
        self.schedule(in: batch.interval) { connection in
            connection.batch?.isTimed = false
            connection.sendArray()
        }
    }

    /// Well below where a client counts as slow.
    private var arrayByteLimit: Int { min(self.settings.bytes, self.server.settings.limits.outboundBytes / 4) }

    private func sendArray() {
        guard let array = self.batch?.joiner.takeArray() else { return }
        self.loop.counters.batchesSent.add(1)
        array.withUnsafeBytes { self.write($0) }
    }

    // MARK: Answers to subscriptions

    private static let joinedAnswerLimit = 1000

    func joinAnswer(_ callID: CallID?) {
        guard let callID else { return }
        self.joinedAnswers.append(callID)
        if self.joinedAnswers.count >= Self.joinedAnswerLimit { return self.answerJoined() }
        guard self.joinedAnswers.count == 1 else { return }
        if self.settings.subscribeWindow > .zero {
            self.schedule(in: TimeAmount(self.settings.subscribeWindow)) { $0.answerJoined() }
        } else {
            self.loop.shard.answerJoinedAfterTurn(self)
        }
    }

    func answerJoined() {
        guard self.stage == .open, !self.joinedAnswers.isEmpty else { return }
        let packets = self.joinedAnswers.map { PacketToClient.success($0) }
        self.joinedAnswers.removeAll()
        self.loop.counters.batchesSent.add(1)
        let dialect = self.machine?.dialect ?? .v2
        self.loop.shard.answer(self) { PacketToClient.encodeBatch(packets, dialect: dialect, into: &$0) }
    }

    private func schedule(in delay: TimeAmount, _ body: @escaping (ClientConnection) -> Void) {
        self.context?.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            guard self.stage == .open else { return }
            body(self)
        }
    }
}
