internal import LinkspanWire
internal import Synchronization

/// What a client wants and what it is owed, whichever connection it has: subscriptions, waiting publishes, frames to send.
final class ClientDesk: Sendable {
    typealias Completion = @Sendable (Result<String?, ClientError>) -> Void
    typealias Instant = ContinuousClock.Instant

    /// A text message, or the close frame that ends the connection.
    enum Outgoing: Sendable {
        case text([UInt8])
        case pong([UInt8])
        case close(CloseCode)
    }

    fileprivate struct Waiting {
        var channel: String
        var data: JSONText?
        var deadline: Instant
        var completion: Completion
        var isSent = false
    }

    fileprivate struct State {
        var session: ClientSession?
        var wasOpen = false
        var end: ClientError?
        /// In the order of the calls of ``subscribe(_:)``.
        var channels: [String] = []
        /// By number, which is the order of publishing.
        var waiting: [UInt64: Waiting] = [:]
        var lastNumber: UInt64 = 0
        var outgoing: [Outgoing] = []
        var wake: AsyncStream<Void>.Continuation?
        var isStopped = false
    }

    private let waitingLimit: Int
    private let state = Mutex(State())

    init(waitingLimit: Int) {
        self.waitingLimit = waitingLimit
    }

    // MARK: Asking

    func subscribe(_ channel: String) {
        self.state.withLock { state in
            guard !state.channels.contains(channel) else { return }
            state.channels.append(channel)
            state.perform(state.session?.subscribe(channel) ?? [])
        }
    }

    func unsubscribe(_ channel: String) {
        self.state.withLock { state in
            state.channels.removeAll { $0 == channel }
            state.perform(state.session?.unsubscribe(channel) ?? [])
        }
    }

    func publish(_ channel: String, _ data: JSONText?, deadline: Instant, _ completion: @escaping Completion) {
        let failure = self.state.withLock { state -> ClientError? in
            if state.isStopped { return ClientError(.stopped, "the client was stopped") }
            guard state.waiting.count < self.waitingLimit else {
                return ClientError(.tooMany, "\(self.waitingLimit) publishes wait already")
            }
            state.lastNumber += 1
            let waiting = Waiting(channel: channel, data: data, deadline: deadline, completion: completion)
            state.waiting[state.lastNumber] = waiting
            state.send(state.lastNumber)
            return nil
        }
        if let failure { completion(.failure(failure)) }
    }

    // MARK: The connection

    /// A WebSocket is open; the stream tells when there is something to send.
    func connect(_ settings: ClientSettings, now: Instant) -> AsyncStream<Void> {
        let (signals, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.state.withLock { state in
            var session = ClientSession(openedAt: now, connectTimeout: settings.connectTimeout)
            let actions = session.start(authToken: settings.authToken)
            state.session = session
            state.wasOpen = false
            state.end = nil
            state.outgoing = []
            state.wake = wake
            state.perform(actions)
        }
        return signals
    }

    /// Feeds what was received to the session and returns what the application must hear.
    func received(_ text: [UInt8], now: Instant) -> [ClientEvent] {
        self.settled { state in
            let actions = state.session?.received(text.span.bytes, at: now) ?? []
            return state.perform(actions, text: text)
        }
    }

    func timePassed(to now: Instant) {
        self.expire(now: now)
        _ = self.settled { state in state.perform(state.session?.timePassed(to: now) ?? [], text: []) }
    }

    func sendPong(_ payload: [UInt8]) {
        self.state.withLock { state in state.enqueue(.pong(payload)) }
    }

    func takeOutgoing() -> [Outgoing] {
        self.state.withLock { state in
            defer { state.outgoing.removeAll(keepingCapacity: true) }
            return state.outgoing
        }
    }

    /// Ends the connection; the first cause given is the one that is told. Publishes that were sent and not answered are lost.
    @discardableResult
    func disconnect(_ cause: ClientError) -> (wasOpen: Bool, ClientError) {
        let (result, lost) = self.state.withLock { state in
            let end = state.end ?? cause
            state.end = end
            state.session = nil
            state.wake?.finish()
            state.wake = nil
            let sent = state.waiting.filter { $0.value.isSent }
            for number in sent.keys { state.waiting[number] = nil }
            return ((state.wasOpen, end), sent.sorted { $0.key < $1.key }.map(\.value.completion))
        }
        for completion in lost {
            completion(
                .failure(ClientError(.lost, "the connection ended before the answer; the server may have taken it")))
        }
        return result
    }

    /// Fails the publishes whose time is over.
    func expire(now: Instant) {
        let late = self.state.withLock { state in
            let late = state.waiting.filter { $0.value.deadline <= now }
            for number in late.keys { state.waiting[number] = nil }
            return late.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiting in late {
            let what =
                waiting.isSent
                ? "the server did not answer in time; it may have taken the publish" : "no connection in time"
            waiting.completion(.failure(ClientError(.timedOut, what)))
        }
    }

    func stop() {
        let left = self.state.withLock { state in
            state.isStopped = true
            state.wake?.finish()
            defer { state.waiting = [:] }
            return state.waiting.sorted { $0.key < $1.key }.map(\.value.completion)
        }
        for completion in left { completion(.failure(ClientError(.stopped, "the client was stopped"))) }
    }

    /// Runs completions after the lock is free: they belong to the caller.
    private func settled(_ body: (inout State) -> Outcome) -> [ClientEvent] {
        let outcome = self.state.withLock { body(&$0) }
        for (completion, data) in outcome.acked { completion(.success(data)) }
        for (completion, reason) in outcome.refused { completion(.failure(ClientError(.refused, reason))) }
        return outcome.events
    }

    fileprivate struct Outcome {
        var events: [ClientEvent] = []
        var acked: [(Completion, String?)] = []
        var refused: [(Completion, String)] = []
    }
}

extension ClientDesk.State {
    /// For what we asked ourselves, which leads to sending and to nothing else.
    fileprivate mutating func perform(_ actions: [ClientSession.Action]) {
        _ = self.perform(actions, text: [])
    }

    /// - Parameter text: what was received, for the ranges in `actions`.
    fileprivate mutating func perform(_ actions: [ClientSession.Action], text: [UInt8]) -> ClientDesk.Outcome {
        var outcome = ClientDesk.Outcome()
        for action in actions {
            switch action {
            case .send(let packet, let dialect): self.enqueue(packet, dialect)
            case .opened(let isAuthenticated, let authError):
                outcome.events.append(.connected(isAuthenticated: isAuthenticated, authError: authError))
                self.opened()
            case .subscribed(let channel): outcome.events.append(.subscribed(channel))
            case .subscribeRefused(let channel, let reason):
                outcome.events.append(.subscribeRefused(channel, reason: reason))
            case .kickedOut(let channel, let reason):
                self.channels.removeAll { $0 == channel }
                outcome.events.append(.kickedOut(channel, reason: reason))
            case .deliver(let channel, let data):
                outcome.events.append(.message(ChannelMessage(channel: channel, data: data.map { Array(text[$0]) })))
            case .acked(let number, let data):
                if let waiting = self.waiting.removeValue(forKey: number) {
                    outcome.acked.append((waiting.completion, data.map { String(decoding: text[$0], as: UTF8.self) }))
                }
            case .publishRefused(let number, let reason):
                if let waiting = self.waiting.removeValue(forKey: number) {
                    outcome.refused.append((waiting.completion, reason))
                }
            case .close(let code, let cause):
                if self.end == nil { self.end = cause }
                self.enqueue(.close(code))
            }
        }
        return outcome
    }

    /// Subscriptions first, so that a client sees what it publishes itself; then whatever waited for a connection, in order.
    private mutating func opened() {
        self.wasOpen = true
        for channel in self.channels { self.perform(self.session?.subscribe(channel) ?? []) }
        for number in self.waiting.keys.sorted() { self.send(number) }
    }

    /// Sends a publish if there is an open connection; else it waits.
    fileprivate mutating func send(_ number: UInt64) {
        guard let waiting = self.waiting[number], !waiting.isSent else { return }
        let actions = self.session?.publish(waiting.channel, waiting.data, number: number) ?? []
        if !actions.isEmpty { self.waiting[number]?.isSent = true }
        self.perform(actions)
    }

    private mutating func enqueue(_ packet: PacketToServer, _ dialect: Dialect) {
        var text: [UInt8] = []
        packet.encode(dialect: dialect, into: &text)
        self.enqueue(.text(text))
    }

    fileprivate mutating func enqueue(_ outgoing: ClientDesk.Outgoing) {
        self.outgoing.append(outgoing)
        self.wake?.yield()
    }
}
