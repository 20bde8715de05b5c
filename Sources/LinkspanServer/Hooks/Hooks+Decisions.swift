internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// Services as middleware: after what the program itself decides, the first that matches is asked.
extension Hooks {
    func extending(_ own: Middleware) -> Middleware {
        let deciding = self.hooks.filter { !$0.client.settings.decides.isEmpty }
        guard !deciding.isEmpty else { return own }
        let kinds = deciding.reduce(into: Set()) { $0.formUnion($1.client.settings.decides) }
        var middleware = own
        middleware.actions = Set(MiddlewareActionType.allCases.filter(own.asks)).union(kinds.map(\.actionType))
        middleware.channels = Self.channels(own, deciding)
        middleware.timeLimit = deciding.map(\.client.settings.longestWait).reduce(own.timeLimit, max)
        if kinds.contains(.handshake) {
            middleware.handshake = { try await self.decide($0, after: own) }
        }
        if kinds.contains(.subscribe) || kinds.contains(.publish) {
            middleware.inbound = { try await self.decide($0, after: own) }
        }
        return middleware
    }

    /// Nil for all.
    private static func channels(_ own: Middleware, _ deciding: [Hook]) -> [Glob]? {
        let asksItself = own.asks(about: .subscribe) || own.asks(about: .publishIn)
        if asksItself, own.channels == nil { return nil }
        return (asksItself ? own.channels ?? [] : []) + deciding.flatMap(\.channels)
    }

    private func decide(_ action: HandshakeAction, after own: Middleware) async throws -> MiddlewareDecision {
        let decision = own.asks(about: action.type) ? try await own.handshake?(action) ?? .allow : .allow
        guard decision.isAllowed, case .handshakeSC(let socket, let token) = action,
            let hook = self.hooks.first(where: { $0.client.settings.decides.contains(.handshake) })
        else { return decision }
        return await hook.client.decide(.handshake(socket.request), socket, claims: token.claims)
    }

    private func decide(_ action: InboundAction, after own: Middleware) async throws -> MiddlewareDecision {
        let decision = own.isAsked(about: action) ? try await own.inbound?(action) ?? .allow : .allow
        guard decision.isAllowed, let (kind, question) = action.question(replacing: decision),
            let hook = self.hook(deciding: kind, about: question.channel)
        else { return decision }
        let further = await hook.client.decide(question, action.socket, claims: action.socket.claims)
        switch further.outcome {
        // What the program put in its place, and how it answers, stays.
        case .allow: return decision
        case .replace: return decision.answer.map(further.answering) ?? further
        case .replaceMessage, .block, .late: return further
        }
    }

    private func hook(deciding kind: HookDecision, about channel: String) -> Hook? {
        self.hooks.first { hook in
            hook.client.settings.decides.contains(kind) && hook.channels.contains { $0.matches(channel) }
        }
    }
}

extension HookClient {
    fileprivate func decide(
        _ question: HookRequest.Question, _ socket: ClientSocket, claims: TokenClaims?
    ) async -> MiddlewareDecision {
        do throws(HookFailure) {
            let answer = try await self.ask(
                HookRequest(hook: self.settings.name, question: question, client: .init(socket, claims: claims)))
            if let error = answer.error { return .block(error) }
            return answer.data.map { .replace(data: $0) } ?? .allow
        } catch {
            return self.presume(after: error) ? .allow : .block(error.error)
        }
    }
}

extension HookSettings {
    /// Longest time that a decision takes: in the queue, for each attempt, and between them.
    var longestWait: Duration {
        self.timeout * (self.retries + 2) + max(HookClient.longestPause, self.backoff) * self.retries + .seconds(1)
    }
}

extension HookDecision {
    fileprivate var actionType: MiddlewareActionType {
        switch self {
        case .handshake: .handshakeSC
        case .subscribe: .subscribe
        case .publish: .publishIn
        }
    }
}

extension Middleware {
    fileprivate func isAsked(about action: InboundAction) -> Bool {
        switch action.kind {
        case .subscribe(let channel, _), .publishIn(let channel, _):
            self.asks(about: action.type) && self.concerns(channel.string)
        case .transmit, .invoke, .authenticate:
            self.asks(about: action.type)
        }
    }
}

extension InboundAction {
    /// Nil for what no service decides.
    fileprivate func question(replacing decision: MiddlewareDecision) -> (HookDecision, HookRequest.Question)? {
        var replaced: JSONText??
        if case .replace(let data) = decision.outcome { replaced = .some(data) }
        switch self.kind {
        case .subscribe(let channel, let data):
            return (.subscribe, .subscribe(channel: channel.string, data: replaced ?? data))
        case .publishIn(let channel, let data):
            return (.publish, .publish(channel: channel.string, data: replaced ?? data))
        case .transmit, .invoke, .authenticate:
            return nil
        }
    }
}

extension MiddlewareDecision {
    fileprivate var isAllowed: Bool {
        switch self.outcome {
        case .allow, .replace, .replaceMessage: true
        case .block, .late: false
        }
    }
}
