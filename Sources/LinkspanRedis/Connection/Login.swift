internal import LinkspanBridgeKit

/// What is said on a new connection before it is used: who we are, which database, and a first question to prove that we may ask.
struct Login: Equatable {
    enum Step: Equatable {
        case authenticate, select, setName, ping, info, role, shards
        case setting(String)
    }

    private(set) var steps: [Step] = []
    private(set) var commands: [[String]] = []
    private var answered = 0
    private var product: String?
    private var promises: StreamPromises?

    var looksAtPromises: Bool { self.promises != nil }

    /// - Parameters:
    ///   - username: nil for the default user.
    ///   - clientName: as `CLIENT LIST` shows it.
    ///   - mustBePrimary: whether a replica will not do.
    ///   - mustHaveShards: whether a server without sharded Pub/Sub will not do.
    ///   - promises: what is to be found out about the server; nil for nothing.
    init(
        username: String?, password: Secret?, database: Int, clientName: String, mustBePrimary: Bool = false,
        mustHaveShards: Bool = false, promises: StreamPromises? = nil
    ) {
        self.promises = promises
        if let password {
            self.add(.authenticate, ["AUTH"] + [username, password.value].compactMap { $0 })
        }
        if database != 0 { self.add(.select, ["SELECT", "\(database)"]) }
        self.add(.setName, ["CLIENT", "SETNAME", clientName])
        self.add(.ping, ["PING"])
        if mustBePrimary { self.add(.role, ["ROLE"]) }
        // Without its arguments: any server answers with an error, which says whether it knows the command.
        if mustHaveShards { self.add(.shards, ["SPUBLISH"]) }
        if promises != nil {
            for name in StreamPromises.settings { self.add(.setting(name), ["CONFIG", "GET", name]) }
        }
        self.add(.info, promises == nil ? ["INFO", "server"] : ["INFO"])
    }

    /// - Parameter texts: of the reply, or of the elements of an array.
    /// - Returns: what the upstream is, once all is answered.
    /// - Throws: ``UpstreamError`` when we were not let in.
    mutating func replyReceived(isError: Bool, texts: [String]) throws(UpstreamError) -> UpstreamFacts? {
        let step = self.steps[self.answered]
        let text = texts.first ?? ""
        self.answered += 1
        if isError { try self.errorReceived(ErrorReply(text: text), at: step) }
        if step == .role, !isError, text != "master" {
            throw UpstreamError(.lost, "it is a replica (role \(text)), and messages must go to a primary")
        }
        if step == .info, !isError {
            self.product = Self.product(in: text)
            self.promises?.infoReceived(text)
        }
        // An empty array says that this server has no such setting.
        if case .setting(let name) = step, !isError, texts.count == 2 { self.promises?.settingReceived(name, texts[1]) }
        guard self.answered == self.steps.count else { return nil }
        return UpstreamFacts(product: self.product, promises: self.promises?.findings ?? [])
    }

    private func errorReceived(_ error: ErrorReply, at step: Step) throws(UpstreamError) {
        switch (step, error.word) {
        case (.authenticate, _), (.select, _), (_, "NOAUTH"), (_, "LOADING"), (_, "MASTERDOWN"), (_, "DENIED"):
            throw UpstreamError(error.loginError, "Redis answered: \(error.text)")
        case (_, "ERR") where error.text.contains("max number of clients"):
            throw UpstreamError(error.loginError, "Redis answered: \(error.text)")
        case (.role, _):
            throw UpstreamError(.refused, "whether it is a primary cannot be asked; Redis answered: \(error.text)")
        case (.shards, _) where error.text.contains("unknown command"):
            throw UpstreamError(
                .refused, "it has no sharded Pub/Sub, which came with Redis 7.0; Redis answered: \(error.text)")
        case (.setName, _), (.ping, _), (.info, _), (.setting, _), (.shards, _):
            // May be forbidden to this user, or fail while Redis cannot write its disk; any answer means that it is alive and knows us.
            break
        }
    }

    private mutating func add(_ step: Step, _ command: [String]) {
        self.steps.append(step)
        self.commands.append(command)
    }

    private static func product(in info: String) -> String? {
        for line in info.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, parts[0] == "redis_version" { return "Redis \(parts[1])" }
        }
        return nil
    }
}
