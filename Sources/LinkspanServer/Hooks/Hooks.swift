internal import LinkspanCore
internal import LinkspanWire
internal import Logging
internal import NIOCore

/// The services of ``ServerSettings/hooks``, while a server runs.
final class Hooks: Sendable {
    struct Hook {
        var client: HookClient
        var procedures: [Glob]
        var channels: [Glob]
    }

    /// In the order of the settings.
    let hooks: [Hook]

    /// Opens no connection.
    /// - Parameter old: what is to be replaced; services with the same settings go on.
    /// - Throws: `GlobError` for a procedure or channel that is no pattern.
    init(_ settings: [HookSettings], keeping old: Hooks? = nil, logger: Logger) async throws {
        let procedures = try settings.map { try $0.procedures.map(Glob.init) }
        let channels = try settings.map { try $0.channels.map(Glob.init) }
        var hooks: [Hook] = []
        for (index, settings) in settings.enumerated() {
            let known = old?.hooks.first { $0.client.settings == settings }?.client
            let client = if let known { known } else { try await HookClient(settings: settings, logger: logger) }
            hooks.append(Hook(client: client, procedures: procedures[index], channels: channels[index]))
        }
        self.hooks = hooks
    }

    var statuses: [HookStatus] { self.hooks.map(\.client.status) }

    /// `application` with what the services answer; what it serves itself comes first. Nil when there is neither.
    func extending(_ application: Application?) -> Application? {
        guard !self.hooks.isEmpty else { return application }
        var application = application ?? Application()
        for hook in self.hooks {
            for pattern in hook.procedures {
                application.procedures(matching: pattern) { try await hook.client.serve($0) }
            }
        }
        application.middleware = self.extending(application.middleware)
        return application
    }

    /// Ends questions under way. Without it services end with the last question that they were asked.
    func stop() async {
        for hook in self.hooks { await hook.client.stop() }
    }
}

extension HookClient {
    /// Answers a call with what the service says.
    fileprivate func serve(_ call: ProcedureCall) async throws -> JSONText? {
        let answer = try await self.askAbout(.procedure(name: call.name, data: call.data), call.socket)
        if let claims = answer.token { try await call.socket.setAuthToken(claims) }
        return answer.data
    }

    /// - Throws: ``ProtocolError``, that of the service or one that says that it gave no answer.
    private func askAbout(_ question: HookRequest.Question, _ socket: ClientSocket) async throws -> HookAnswer {
        let answer: HookAnswer
        do throws(HookFailure) {
            answer = try await self.ask(
                HookRequest(
                    hook: self.settings.name, question: question, client: .init(socket, claims: socket.claims)))
        } catch {
            throw error.error
        }
        if let error = answer.error { throw error }
        return answer
    }
}
