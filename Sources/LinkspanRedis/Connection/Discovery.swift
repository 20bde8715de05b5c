internal import LinkspanBridgeKit
internal import NIOCore

/// Finds the server to talk to, where the URL names somebody who knows it: a Sentinel, or any node of a cluster.
struct Discovery {
    static let schemes = [
        "redis": 6379, "rediss": 6379, "redis+sentinel": 26_379, "rediss+sentinel": 26_379, "redis+cluster": 6379,
        "rediss+cluster": 6379,
    ]

    let url: UpstreamURL
    let options: RedisOptions
    let eventLoop: any EventLoop

    /// Whether another server may take the place of the one that is found.
    var failsOver: Bool { self.mustBePrimary || self.url.scheme.hasSuffix("+cluster") }

    /// Whether the server must say that it is a primary before it is used: Sentinels may lag behind.
    var mustBePrimary: Bool { self.url.scheme.hasSuffix("+sentinel") }

    /// The server itself; the URL as it is when it names one.
    ///
    /// - Throws: ``UpstreamError``, or `CancellationError` when the task was cancelled.
    func server() async throws -> UpstreamURL {
        switch self.url.scheme.split(separator: "+").last {
        case "sentinel": try await self.primary()
        case "cluster": try await self.node()
        default: self.url
        }
    }

    // MARK: Sentinel

    private func primary() async throws -> UpstreamURL {
        guard let service = self.url.path else {
            throw UpstreamError(.refused, "\(self.url) names no service; write it as its path, such as /mymaster")
        }
        let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]
        let answer: Answer
        do {
            answer = try await self.ask(command, login: self.options.login(withCredentials: false))
        } catch let error as UpstreamError where error.code == .refused && self.options.password != nil {
            // Sentinels have passwords of their own; where they ask for one it is taken to be the same.
            answer = try await self.ask(command, login: self.options.login())
        }
        guard !answer.isError, answer.texts.count == 2, let port = Int(answer.texts[1]) else {
            let reason = answer.isError ? answer.texts.first ?? "" : "it knows no service of that name"
            throw UpstreamError(.unreachable, "the Sentinel at \(self.url) was asked for its primary: \(reason)")
        }
        return self.server(host: answer.texts[0], port: port)
    }

    // MARK: Cluster

    private func node() async throws -> UpstreamURL {
        switch self.options.mode {
        case .pubsub:
            // Redis passes publishes on to all nodes, so any node will do that is part of the whole.
            let answer = try await self.ask(["CLUSTER", "INFO"], login: self.options.login())
            guard answer.texts.first?.contains("cluster_state:ok") == true else {
                let reason = answer.isError ? answer.texts.first ?? "" : "its cluster_state is not ok"
                throw UpstreamError(.unreachable, "\(self.url) cannot be used: \(reason)")
            }
            return self.server(host: self.url.host, port: self.url.port)
        case .streams:
            let answer = try await self.ask(["EXISTS", self.options.stream], login: self.options.login())
            guard answer.isError else { return self.server(host: self.url.host, port: self.url.port) }
            guard let owner = Redirection(answer.texts.first ?? "", from: self.url.host)?.address else {
                throw UpstreamError(
                    .unreachable, "\(self.url) was asked which node has the stream: \(answer.texts.first ?? "")")
            }
            return self.server(host: owner.host, port: owner.port)
        }
    }

    /// Which node has which slot, of a cluster in which all have one.
    ///
    /// - Throws: as ``server()``.
    func slots() async throws -> SlotMap {
        let answer = try await self.ask(["CLUSTER", "SLOTS"], login: self.options.login())
        guard !answer.isError, let map = SlotMap(answer.values, askedAt: self.url.host) else {
            let reason = answer.isError ? answer.texts.first ?? "" : "its answer to CLUSTER SLOTS is not understood"
            throw UpstreamError(.unreachable, "\(self.url) cannot be used: \(reason)")
        }
        guard map.orphanCount == 0 else {
            throw UpstreamError(
                .unreachable, "\(self.url) cannot be used: no node has \(map.orphanCount) slots of its cluster")
        }
        return map
    }

    private func server(host: String, port: Int) -> UpstreamURL {
        UpstreamURL(scheme: self.url.scheme.hasPrefix("rediss") ? "rediss" : "redis", host: host, port: port)
    }

    // MARK: Asking

    struct Answer: Sendable {
        var values: [ReplyValue] = []
        /// What the log-in showed.
        var facts: UpstreamFacts

        var isError: Bool {
            if case .error? = self.values.first { true } else { false }
        }

        /// Strings, statuses and errors in it.
        var texts: [String] {
            self.values.compactMap { value in
                switch value {
                case .text(let text), .error(let text): text
                case .array, .integer, .null: nil
                }
            }
        }
    }

    /// Opens a connection for what a log-in itself asks.
    func facts(login: Login) async throws -> UpstreamFacts {
        try await self.ask([], login: login).facts
    }

    /// Opens a connection for one question.
    /// - Parameter command: empty when the log-in is all.
    private func ask(_ command: [String], login: Login) async throws -> Answer {
        let transport = try Transport(url: self.url, options: self.options, eventLoop: self.eventLoop)
        let answer = self.eventLoop.makePromise(of: Answer.self)
        let handler = try await self.eventLoop.submit {
            NIOLoopBound(self.start(command, login, transport, answer), eventLoop: self.eventLoop)
        }.get()
        return try await withTaskCancellationHandler {
            try await answer.futureResult.get()
        } onCancel: {
            self.eventLoop.execute { handler.value.end(nil) }
        }
    }

    private func start(
        _ command: [String], _ login: Login, _ transport: Transport, _ answer: EventLoopPromise<Answer>
    ) -> ReplyHandler<QuestionRole> {
        let role = QuestionRole(command: command)
        let limit = self.options.connectTimeout
        let handler = ReplyHandler(
            role: role, name: "\(self.url)", login: login,
            liveness: Liveness(interval: self.options.pingInterval, timeout: self.options.pingTimeout, now: .now()),
            isOpen: { [unowned role] in role.ask($0) },
            ended: { error in
                if let given = role.answer { return answer.succeed(given) }
                answer.fail(error ?? CancellationError())
            })
        role.connection = handler
        self.eventLoop.assumeIsolated().scheduleTask(in: limit) { [weak handler] in
            handler?.end(
                UpstreamError(.unreachable, "\(self.url) did not answer within \(Double(limit.nanoseconds) / 1e9) s"))
        }
        transport.connect(handler, name: "\(self.url)")
        return handler
    }
}

/// A connection for one question.
private final class QuestionRole: ConnectionRole {
    weak var connection: (any RedisConnection)?
    private(set) var answer: Discovery.Answer?
    private let command: [String]
    private var facts = UpstreamFacts()

    init(command: [String]) {
        self.command = command
    }

    func ask(_ facts: UpstreamFacts) {
        self.facts = facts
        guard !self.command.isEmpty else {
            self.answer = Discovery.Answer(facts: facts)
            self.connection?.end(nil)
            return
        }
        var buffer = ByteBuffer()
        buffer.writeCommand(self.command)
        self.connection?.write(buffer)
    }

    func replyReceived(_ reader: ReplyReader) throws(UpstreamError) {
        self.answer = Discovery.Answer(values: reader.values, facts: self.facts)
        self.connection?.end(nil)
    }

    func readCompleted(_ reader: ReplyReader) throws(UpstreamError) {}
    func connectionEnded(_ reader: ReplyReader) {}
    func ping() {}
}

@available(*, unavailable)
extension QuestionRole: Sendable {}
