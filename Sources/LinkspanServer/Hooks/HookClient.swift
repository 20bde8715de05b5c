internal import AsyncHTTPClient
internal import LinkspanCore
internal import LinkspanWire
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Synchronization

/// Asks one service, within its limits. Safe on any thread.
final class HookClient: Sendable {
    /// Longest answer, in bytes.
    static let answerLimit = 1 << 20
    /// Slowest pace of further attempts.
    static let longestPause = Duration.seconds(2)

    let settings: HookSettings
    private let http: HTTPClient
    private let signature: HookSignature?
    private let gate: HookGate
    private let state: Mutex<State>
    private let clock: @Sendable () -> ContinuousClock.Instant
    private let logger: Logger

    private struct State {
        var breaker: CircuitBreaker
        var asked = 0
        var answered = 0
        var repeated = 0
        var failures: [HookFailure: Int] = [:]
        var presumed: [HookFallback: Int] = [:]
    }

    /// Opens no connection.
    /// - Throws: when the secret cannot sign.
    init(
        settings: HookSettings, logger: Logger,
        clock: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) async throws {
        self.settings = settings
        self.gate = HookGate(concurrency: settings.concurrency, queue: settings.queue)
        self.state = Mutex(
            State(breaker: CircuitBreaker(threshold: settings.breakerFailures, pause: settings.breakerPause)))
        self.clock = clock
        self.logger = logger
        if let secret = settings.secret {
            self.signature = try await HookSignature(secret: secret)
        } else {
            self.signature = nil
        }
        // One for each service, so that one that hangs holds no connection of another.
        self.http = HTTPClient(configuration: Self.configuration(settings))
    }

    private static func configuration(_ settings: HookSettings) -> HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        // A signature is for one place.
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = TimeAmount(settings.timeout)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = settings.concurrency
        if let authorities = settings.authorities {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(authorities)
            configuration.tlsConfiguration = tls
        }
        // Many services close what was idle for five seconds; a request must not meet that.
        configuration.connectionPool.idleTimeout = .seconds(4)
        // Attempts are counted, and their pace is ours.
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }

    deinit {
        // Nobody asks any more. The client insists on being shut down before it goes.
        Task { [http = self.http] in try? await http.shutdown() }
    }

    /// Questions under way fail.
    func stop() async {
        try? await self.http.shutdown()
    }

    var status: HookStatus {
        var status = HookStatus(name: self.settings.name)
        let counts = self.gate.counts
        self.state.withLock { state in
            if case .closed = state.breaker.state {} else { status.isLeftAlone = true }
            status.asked = state.asked
            status.answered = state.answered
            status.repeated = state.repeated
            status.failures = state.failures
            status.presumed = state.presumed
        }
        status.waiting = counts.waiting
        status.underWay = counts.running
        return status
    }

    func ask(_ request: HookRequest) async throws(HookFailure) -> HookAnswer {
        self.state.withLock { $0.asked += 1 }
        guard await self.gate.enter(within: self.settings.timeout) else {
            self.state.withLock { $0.failures[.queueFull, default: 0] += 1 }
            throw .queueFull
        }
        let result = await self.askAdmitted(request)
        self.gate.leave()
        return try result.get()
    }

    private func askAdmitted(_ request: HookRequest) async -> Result<HookAnswer, HookFailure> {
        let admission = self.state.withLock { state in
            let admission = state.breaker.admit(at: self.clock())
            if admission == nil { state.failures[.breakerOpen, default: 0] += 1 }
            return admission
        }
        guard let admission else { return .failure(.breakerOpen) }
        do throws(HookFailure) {
            let answer = try await self.attempts(request.body, id: request.id)
            guard request.question.admits(answer, givesTokens: self.settings.givesTokens) else { throw .malformed }
            self.note(nil, admission)
            return .success(answer)
        } catch {
            self.note(error, admission)
            return .failure(error)
        }
    }

    private func note(_ failure: HookFailure?, _ admission: CircuitBreaker.Admission) {
        let (hasOpened, hasClosed) = self.state.withLock { state in
            if let failure { state.failures[failure, default: 0] += 1 } else { state.answered += 1 }
            // A service that answers is there; what it refuses to one client must not close it to the others.
            if failure == .abandoned {
                state.breaker.abandoned(admission, at: self.clock())
                return (false, false)
            }
            if failure?.isOutage == true { return (state.breaker.failed(admission, at: self.clock()), false) }
            return (false, state.breaker.succeeded(admission))
        }
        if hasOpened {
            self.logger.warning(
                "Hook is left alone",
                metadata: [
                    LogKey.hook: "\(self.settings.name)", LogKey.code: "\(failure?.rawValue ?? "")",
                    LogKey.retryIn: "\(self.settings.breakerPause)",
                ])
        }
        if hasClosed { self.logger.notice("Hook answers again", metadata: [LogKey.hook: "\(self.settings.name)"]) }
    }

    /// Whether what the service was to decide is allowed without it; counted.
    func presume(after failure: HookFailure) -> Bool {
        let isAllowed = failure.isAbsence && self.settings.unavailable == .allow
        if failure.isAbsence {
            self.state.withLock { $0.presumed[self.settings.unavailable, default: 0] += 1 }
        }
        return isAllowed
    }

    // MARK: Attempts

    private func attempts(_ body: [UInt8], id: String) async throws(HookFailure) -> HookAnswer {
        var schedule = ReconnectSchedule(
            initial: self.settings.backoff, maximum: max(Self.longestPause, self.settings.backoff))
        var random = SystemRandomNumberGenerator()
        var left = self.settings.retries
        while true {
            do throws(AttemptFailure) {
                return try await self.attempt(body, id: id)
            } catch {
                if Task.isCancelled { throw .abandoned }
                guard error.isPassing, left > 0 else { throw error.failure }
            }
            left -= 1
            self.state.withLock { $0.repeated += 1 }
            let retry = schedule.failed(upstream: 0, code: nil, uptime: nil, using: &random)
            // Where the call was cancelled the next attempt ends at once.
            try? await Task.sleep(for: retry.delay)
        }
    }

    private struct AttemptFailure: Error {
        var failure: HookFailure
        /// Whether another attempt may go better.
        var isPassing = false
    }

    private func attempt(_ body: [UInt8], id: String) async throws(AttemptFailure) -> HookAnswer {
        let (status, bytes) = try await self.exchange(body, id: id)
        switch status {
        case 200:
            do throws(HookFailure) {
                return try HookAnswer(body: bytes)
            } catch {
                throw AttemptFailure(failure: error)
            }
        case 204:
            return HookAnswer()
        case 500...:
            throw AttemptFailure(failure: .serverError, isPassing: (502...504).contains(status))
        default:
            throw AttemptFailure(failure: .rejected)
        }
    }

    private func exchange(_ body: [UInt8], id: String) async throws(AttemptFailure) -> (UInt, [UInt8]) {
        do {
            let request = try self.request(body, id: id)
            let response = try await self.http.execute(request, timeout: TimeAmount(self.settings.timeout))
            let answer = try await response.body.collect(upTo: Self.answerLimit)
            return (response.status.code, Array(answer.readableBytesView))
        } catch is NIOTooManyBytesError {
            throw AttemptFailure(failure: .malformed)
        } catch let error as HTTPClientError where Self.timeouts.contains(error) {
            throw AttemptFailure(failure: .timedOut, isPassing: error == .connectTimeout)
        } catch {
            throw AttemptFailure(failure: .unreachable, isPassing: true)
        }
    }

    private static let timeouts: [HTTPClientError] = [
        .readTimeout, .connectTimeout, .deadlineExceeded, .getConnectionFromPoolTimeout, .tlsHandshakeTimeout,
    ]

    private func request(_ body: [UInt8], id: String) throws -> HTTPClientRequest {
        var request = HTTPClientRequest(url: self.settings.url)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "Linkspan-Request", value: id)
        if let signature = self.signature {
            let timestamp = Int64(WallClock.milliseconds() / 1000)
            request.headers.add(name: HookSignature.timestampField, value: "\(timestamp)")
            request.headers.add(
                name: HookSignature.signatureField, value: try signature.sign(body, timestamp: timestamp))
        }
        request.body = .bytes(ByteBuffer(bytes: body))
        return request
    }
}
