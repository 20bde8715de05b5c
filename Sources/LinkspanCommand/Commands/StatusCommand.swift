internal import ArgumentParser
internal import LinkspanAdmin
internal import LinkspanConfig
internal import LinkspanCore

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Tell where a running instance stands.",
        discussion: """
            Asks the operator port that the configuration names, with the key that it gives.
            Exit status 69 when nobody answers, 75 when not in time, 77 when the key is refused, 78 when the configuration is wrong.
            """)

    @OptionGroup var source: ConfigurationOptions

    @Option(help: "Port for operators, instead of server.operator.port.")
    var operatorPort: String?

    @Flag(help: "Print the report as JSON.")
    var json = false

    @Flag(help: "Ask again every two seconds, until interrupted.")
    var watch = false

    private static let watchInterval = Duration.seconds(2)

    func run() async throws {
        let configuration = try self.source.load(operatorPort: self.operatorPort)
        let question = StatusQuestion(try self.source.operatorSettings(of: configuration))
        do {
            var answer = try await question.ask()
            try self.show(answer)
            while self.watch {
                try? await Task.sleep(for: Self.watchInterval)
                answer = try await question.ask()
                try self.show(answer)
            }
        } catch is Terminal.OutputClosed {
            // Whoever read it has seen enough.
        } catch let error as StatusQuestion.Failure {
            Terminal.printError(error.message)
            throw error.exitStatus.exitCode
        }
    }

    private func show(_ answer: [UInt8]) throws {
        if self.json { return try Terminal.writeOutput(answer) }
        guard let report = try? StatusReport(json: answer) else {
            throw StatusQuestion.Failure(
                reason: .notUnderstood, message: "what answered is no operator port of this version")
        }
        let isTerminal = Terminal.outputIsRead
        let clear = self.watch && isTerminal ? "\u{1B}[H\u{1B}[2J" : ""
        try Terminal.writeOutput(Array((clear + StatusText(report, isColoured: isTerminal).text + "\n").utf8))
    }
}

extension ConfigurationOptions {
    /// - Parameter operatorPort: what a flag says instead of `server.operator.port`.
    func load(operatorPort: String?) throws -> Configuration {
        let flags = operatorPort.map { ["server.operator.port": FlagOverride(name: "--operator-port", text: $0)] }
        return try self.load(flags: flags ?? [:])
    }

    /// Whom to ask; tells when there is nobody.
    func operatorSettings(of configuration: Configuration) throws -> OperatorSettings {
        guard let settings = configuration.settings.server.operatorPort else {
            Terminal.printError("\(self.path): server.operator is not given, so there is no port to ask")
            throw ExitStatus.configuration.exitCode
        }
        return settings
    }
}

extension StatusQuestion.Failure {
    var exitStatus: ExitStatus {
        switch self.reason {
        case .unreachable: .unreachable
        case .timedOut: .timedOut
        case .refused: .refused
        case .notUnderstood: .failure
        }
    }
}
