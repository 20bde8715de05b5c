internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore
internal import Synchronization

typealias LoopAction = @Sendable (ClientConnection) -> Void

/// The way to a connection from any thread, which leads nowhere once that has ended.
struct ConnectionAddress: Sendable {
    let inbox: LoopInbox
    let slot: Int
    let generation: UInt32

    /// Runs `body` on the loop of the connection, unless that has ended.
    func post(byteCount: Int = 0, _ body: @escaping LoopAction) {
        let (slot, generation) = (self.slot, self.generation)
        self.inbox.post(
            .control { loop in
                guard let connection = loop.shard.connection(slot, generation: generation) else { return }
                body(connection)
            }, byteCount: byteCount)
    }

    func ask<Answer: Sendable>(
        default fallback: Answer, _ body: @escaping @Sendable (ClientConnection) -> Answer
    ) async -> Answer {
        let (slot, generation) = (self.slot, self.generation)
        return await self.inbox.ask(default: fallback) { loop in
            loop.shard.connection(slot, generation: generation).map(body) ?? fallback
        }
    }
}

/// What a connection and the application share: facts about the client, the way to its loop, and the work that it has given the application.
final class ClientSession: Sendable {
    struct Snapshot {
        var claims: TokenClaims?
        var dialect: Dialect?
        var isOpen = false
    }

    private struct State {
        var snapshot = Snapshot()
        var lanes: [String: [@Sendable () async -> Void]] = [:]
        var workCount = 0
        var isHeld = false
    }

    let id: String
    let request: ClientRequest
    let remoteAddress: SocketAddress?
    let ackTimeout: Duration
    let exchange: Exchange
    private let address: ConnectionAddress
    private let tokens: TokenJudge
    private let workLimit: Int
    private let state: Mutex<State>

    init(
        id: String, request: ClientRequest, remoteAddress: SocketAddress?, context: ServerContext,
        address: ConnectionAddress, workLimit: Int
    ) {
        self.id = id
        self.request = request
        self.remoteAddress = remoteAddress
        self.ackTimeout = context.settings.timing.ackTimeout
        self.exchange = context.exchange
        self.address = address
        self.tokens = context.tokens
        self.workLimit = max(1, workLimit)
        self.state = Mutex(State())
    }

    var snapshot: Snapshot { self.state.withLock { $0.snapshot } }

    /// Only the loop changes it.
    func update(_ change: (inout Snapshot) -> Void) {
        self.state.withLock { change(&$0.snapshot) }
    }

    // MARK: To the loop

    /// Runs `body` on the loop of the connection, unless that has ended.
    func post(byteCount: Int = 0, _ body: @escaping LoopAction) {
        self.address.post(byteCount: byteCount, body)
    }

    func ask<Answer: Sendable>(
        default fallback: Answer, _ body: @escaping @Sendable (ClientConnection) -> Answer
    ) async -> Answer {
        await self.address.ask(default: fallback, body)
    }

    func issue(_ claims: TokenClaims) throws -> IssuedToken {
        let text = try self.tokens.sign(claims, now: Int64(WallClock.milliseconds() / 1000))
        return IssuedToken(text: text, claims: try CompactToken(parsing: text).claims)
    }

    // MARK: Work

    /// Runs `job` when those before it under the same name are done.
    /// - Returns: false when that was the last that may wait: read no further until ``resume`` comes.
    func enqueue(_ name: String, _ job: @escaping @Sendable () async -> Void) -> Bool {
        let (isFirst, hasRoom) = self.state.withLock { state in
            state.workCount += 1
            if state.workCount >= self.workLimit { state.isHeld = true }
            let isFirst = state.lanes[name] == nil
            state.lanes[name, default: []].append(job)
            return (isFirst, !state.isHeld)
        }
        if isFirst { Task { await self.runLane(name) } }
        return hasRoom
    }

    private func runLane(_ name: String) async {
        while let job = self.firstJob(of: name) {
            await job()
            self.jobDone(of: name)
        }
    }

    private func firstJob(of name: String) -> (@Sendable () async -> Void)? {
        self.state.withLock { state in
            guard let job = state.lanes[name]?.first else {
                state.lanes[name] = nil
                return nil
            }
            return job
        }
    }

    private func jobDone(of name: String) {
        let isReleased = self.state.withLock { state in
            state.lanes[name]?.removeFirst()
            state.workCount -= 1
            guard state.isHeld, state.workCount <= self.workLimit / 2 else { return false }
            state.isHeld = false
            return true
        }
        if isReleased { self.post { $0.resumeReading(.application) } }
    }
}

struct IssuedToken: Sendable {
    var text: String
    /// What the token says, `iat` and `exp` included.
    var claims: TokenClaims
}

/// Holds back the token that a procedure sets until the answer goes out, so that both leave in one write.
final class CallScope: Sendable {
    private struct State {
        var staged: [LoopAction] = []
        var isAnswered = false
    }

    private let state = Mutex(State())

    /// False once the call is answered.
    func stage(_ action: @escaping LoopAction) -> Bool {
        self.state.withLock { state in
            guard !state.isAnswered else { return false }
            state.staged.append(action)
            return true
        }
    }

    func takeStaged() -> [LoopAction] {
        self.state.withLock { state in
            defer { state.staged = [] }
            return state.staged
        }
    }

    func answered() -> [LoopAction] {
        self.state.withLock { state in
            state.isAnswered = true
            defer { state.staged = [] }
            return state.staged
        }
    }
}

/// A call of ours on its way: whoever waits is told that the connection is bad when this is forgotten unanswered.
final class CallTicket: Sendable {
    private let event: String
    private let answer: CallAnswer

    init(event: String, answer: CallAnswer) {
        self.event = event
        self.answer = answer
    }

    deinit {
        self.answer.settle(.failure(ProtocolError.badConnection(event: self.event, isAbort: false)))
    }

    func settle(_ result: Result<JSONText?, any Error>) {
        self.answer.settle(result)
    }
}

/// Whoever waits for the answer to a call of ours; told once.
final class CallAnswer: Sendable {
    private struct State {
        var continuation: CheckedContinuation<JSONText?, any Error>?
        var result: Result<JSONText?, any Error>?
    }

    private let state = Mutex(State())

    func wait(_ continuation: CheckedContinuation<JSONText?, any Error>) {
        let known = self.state.withLock { state in
            if state.result == nil { state.continuation = continuation }
            return state.result
        }
        if let known { continuation.resume(with: known) }
    }

    func settle(_ result: Result<JSONText?, any Error>) {
        let continuation = self.state.withLock { state in
            guard state.result == nil else { return nil as CheckedContinuation<JSONText?, any Error>? }
            state.result = result
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume(with: result)
    }
}
