internal import LinkspanBridgeKit
internal import LinkspanCore
internal import Logging
internal import NIOCore
internal import Synchronization

extension BridgeRunner {
    /// Converses with the upstream, again and again, until the task is cancelled; then counts what is left as dropped.
    func supervise(acceptor: any IngressAcceptor) async {
        var schedule = ReconnectSchedule(
            initial: self.plan.rule.retryInitial, maximum: self.plan.rule.retryMaximum,
            upstreamCount: self.plan.urls.count)
        var random = SystemRandomNumberGenerator()
        var upstream = 0
        var logged: Failure?
        var isMute = false
        var preferred = PreferredReturn(pause: self.plan.rule.retryReturn)
        while !Task.isCancelled {
            let watch = self.watch(forPreferredOver: upstream, every: preferred.pause)
            let failure = await self.converse(upstream: upstream, isMute: isMute, acceptor: acceptor)
            watch?.cancel()
            if Task.isCancelled { break }
            if let next = failure.returnsTo {
                preferred.returning()
                upstream = next
                continue
            }
            if upstream == 0 { preferred.ended(uptime: failure.uptime) }
            if failure.code == .refused, self.plan.mute != nil {
                isMute.toggle()
                // An upstream that lets nobody publish refuses our probes; whoever only listens can do without.
                if isMute { continue }
            }
            let retry = schedule.failed(upstream: upstream, code: failure.code, uptime: failure.uptime, using: &random)
            self.enterWaiting(failure, retry: retry)
            // The same failure at every attempt is news only once.
            if failure.uptime != nil || failure.text != logged?.text { self.logLost(failure, retry: retry) }
            logged = failure
            try? await self.clock.sleep(retry.delay)
            upstream = retry.upstream
        }
        self.stopped()
    }

    /// Why one run ended.
    private struct Failure {
        var upstream: UpstreamURL
        var code: UpstreamError.Code?
        var text: String
        /// Nil when it never was up.
        var uptime: Duration?
        /// The preferred URL for which we ended it ourselves.
        var returnsTo: Int?
    }

    private func converse(upstream: Int, isMute: Bool, acceptor: any IngressAcceptor) async -> Failure {
        let wallNow = self.clock.wallMilliseconds()
        let number = self.update { state in
            state.link.upstream = upstream
            state.link.enter(.connecting, at: wallNow)
            state.link.promises.attemptBegan()
            return state.conversation
        }
        let bridge = isMute ? self.plan.mute ?? self.plan.bridge : self.plan.bridge
        let lease = acceptor.leaseEventLoop()
        defer { withExtendedLifetime(lease) {} }
        let link = BridgeLink(
            logger: self.logger, upstream: self.plan.urls[upstream], eventLoop: lease?.eventLoop,
            host: Conversation(
                runner: self, acceptor: acceptor, number: number,
                abilities: self.plan.abilities(bridge, isMute: isMute)))
        var failure = Failure(upstream: self.plan.urls[upstream], text: "the conversation ended without a reason")
        let running = Task { try await bridge.run(on: link) }
        let isCut = self.update { state in
            state.cut = { running.cancel() }
            return state.brokenPromise != nil
        }
        if isCut { running.cancel() }
        do {
            try await withTaskCancellationHandler {
                try await running.value
            } onCancel: {
                running.cancel()
            }
        } catch let error as UpstreamError {
            failure.code = error.code
            failure.text = error.message
        } catch {
            failure.text = "\(error)"
        }
        if let verdict = self.takeVerdict() {
            failure.code = .unproven
            failure.text = "nothing came back for \(verdict.silence.rounded)"
        }
        if let promise = self.egress.withLock({ $0.brokenPromise }) {
            failure.code = .promise
            failure.text = "\(promise.name): \(promise.reason)"
        }
        failure.returnsTo = self.egress.withLock { $0.returnsTo }
        failure.uptime = self.endConversation()
        return failure
    }

    private func endConversation() -> Duration? {
        let now = self.clock.now()
        return self.update { state in
            state.conversationEnded()
            state.occupancy?.linkDown(at: now)
            defer { state.link.upSince = nil }
            return state.link.upSince.map { .nanoseconds((now - $0).nanoseconds) }
        }
    }

    private func enterWaiting(_ failure: Failure, retry: ReconnectSchedule.Retry) {
        let wallNow = self.clock.wallMilliseconds()
        self.update { state in
            state.link.enter(.waiting, at: wallNow)
            state.link.lastError = failure.text
            state.link.retryDelay = retry.delay
            state.link.failures += 1
        }
    }

    /// Accounts for what the upstream did not take.
    private func stopped() {
        let wallNow = self.clock.wallMilliseconds()
        let dropped = self.update { state -> UInt64 in
            let before = state.buffer.ledger.dropped[.stopped]
            state.isStopped = true
            state.buffer.stop()
            state.link.enter(.stopped, at: wallNow)
            state.link.retryDelay = nil
            state.whenIdle?.fire()
            return state.buffer.ledger.dropped[.stopped] - before
        }
        if dropped > 0 {
            self.logger.warning("Bridge stopped with messages left", metadata: [LogKey.dropped: "\(dropped)"])
        }
    }

    /// Closes the books although the conversation goes on: whatever it still says changes nothing.
    func leaveBehind() {
        _ = self.endConversation()
        self.stopped()
        self.logger.error("Bridge left behind: it did not stop when it was asked to")
    }

    /// Whether the upstream may still take something: it is up or about to be.
    var mayDrain: Bool {
        self.egress.withLock { $0.link.state == .up || $0.link.state == .connecting }
    }

    /// Returns when nothing is left to send, when the link breaks, or when the task is cancelled.
    func drain() async {
        let idle = OneShot()
        self.update { state in
            state.whenIdle = idle
            state.noteIfIdle()
        }
        await idle.wait()
    }

    func logConnected(_ facts: UpstreamFacts) {
        let upstream = self.egress.withLock { $0.link.upstream }
        var metadata: Logger.Metadata = [LogKey.upstream: "\(self.plan.urls[upstream])"]
        if let product = facts.product { metadata[LogKey.product] = "\(product)" }
        self.logger.notice("Upstream connected", metadata: metadata)
    }

    private func logLost(_ failure: Failure, retry: ReconnectSchedule.Retry) {
        let message: Logger.Message = failure.uptime == nil ? "Upstream not reached" : "Upstream lost"
        var metadata: Logger.Metadata = [
            LogKey.upstream: "\(failure.upstream)", LogKey.retryIn: "\(retry.delay.rounded)",
            LogKey.reason: "\(failure.text)",
        ]
        if let code = failure.code { metadata[LogKey.code] = "\(code)" }
        self.logger.warning(message, metadata: metadata)
    }
}

// MARK: Return to a preferred URL

extension BridgeRunner {
    /// How long messages under way may take when the bridge changes its URL by its own will.
    private static let quietLimit = Duration.seconds(5)

    /// While the bridge serves from a less preferred URL: looks for a preferred one, and ends the conversation when one is there.
    private func watch(forPreferredOver upstream: Int, every pause: Duration) -> Task<Void, Never>? {
        guard upstream > 0 else { return nil }
        return Task {
            while (try? await self.clock.sleep(pause)) != nil {
                for index in 0..<upstream where await self.reach(self.plan.urls[index]) {
                    return await self.makeWay(for: index)
                }
            }
        }
    }

    private func makeWay(for index: Int) async {
        let quiet = OneShot()
        let isUp = self.update { state -> Bool in
            guard state.link.state == .up else { return false }
            state.returnsTo = index
            state.whenQuiet = quiet
            state.noteIfIdle()
            return true
        }
        guard isUp else { return }
        self.logger.notice(
            "Returning to a preferred upstream", metadata: [LogKey.upstream: "\(self.plan.urls[index])"])
        let limit = Task {
            try? await self.clock.sleep(Self.quietLimit)
            quiet.fire()
        }
        await quiet.wait()
        limit.cancel()
        self.egress.withLock { $0.cut }?()
    }
}

extension Duration {
    /// For people: seconds with one decimal.
    var rounded: String {
        let tenths = self.components.seconds * 10 + self.components.attoseconds / 100_000_000_000_000_000
        return "\(tenths / 10).\(tenths % 10) s"
    }
}
