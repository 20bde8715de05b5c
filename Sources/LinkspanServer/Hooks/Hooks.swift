internal import LinkspanCore
internal import LinkspanWire
internal import Logging
internal import NIOCore

/// The services of ``ServerSettings/hooks``, while a server runs.
final class Hooks: Sendable {
    private struct Hook {
        var client: HookClient
        var procedures: [Glob]
    }

    private let hooks: [Hook]

    /// Opens no connection; to be followed by ``stop()``.
    /// - Throws: `GlobError` for a procedure that is no pattern.
    init(_ settings: [HookSettings], logger: Logger) async throws {
        let patterns = try settings.map { try $0.procedures.map(Glob.init) }
        var hooks: [Hook] = []
        for (settings, procedures) in zip(settings, patterns) {
            hooks.append(
                Hook(client: try await HookClient(settings: settings, logger: logger), procedures: procedures))
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
        return application
    }

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
        let client = HookRequest.Client(
            id: socket.id, address: socket.remoteAddress?.ipAddress, claims: socket.claims?.json)
        let answer: HookAnswer
        do throws(HookFailure) {
            answer = try await self.ask(HookRequest(hook: self.settings.name, question: question, client: client))
        } catch {
            throw error.error
        }
        if let error = answer.error { throw error }
        return answer
    }
}
