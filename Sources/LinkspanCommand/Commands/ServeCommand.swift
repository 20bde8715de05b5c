internal import ArgumentParser
internal import LinkspanAdmin
internal import LinkspanConfig
internal import LinkspanServer
internal import Logging

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serve clients and run the bridges.",
        discussion: """
            Starts and serves also when no broker is reachable. SIGTERM and SIGINT end it in order;
            SIGHUP reads the keys, permissions, hooks and certificates of the configuration again.
            Exit status 71 when it cannot listen, 73 when a disk buffer cannot be used, 78 when the configuration is wrong.
            """)

    @OptionGroup var source: ConfigurationOptions

    @Option(help: "Address to listen on, instead of server.clients.host.")
    var host: String?

    @Option(name: .shortAndLong, help: "Port to listen on, instead of server.clients.port.")
    var port: String?

    @Option(help: "Port for operators, instead of server.operator.port.")
    var operatorPort: String?

    @Option(help: "Id of this instance, instead of instance.id; unique among those that share a broker.")
    var instance: String?

    @Option(help: "How log lines look; human on a terminal, else logfmt.")
    var logFormat: LogFormat?

    @Option(help: "Least level to log.")
    var logLevel = LogLevel.info

    @Flag(inversion: .prefixedNo, help: "Tell what to try next; default on a terminal.")
    var hints: Bool?

    func run() async throws {
        let configuration = try self.source.load(flags: self.flags)
        let format = self.logFormat ?? (Terminal.errorsAreRead ? .human : .logfmt)
        let level = self.logLevel.level
        let logger = Logger(label: "linkspan") { _ in LineLogHandler(logLevel: level, format: format) }
        let tellsHints = self.hints ?? Terminal.errorsAreRead
        do {
            let loader = ConfigurationOptions.loader(flags: self.flags)
            let path = self.source.path
            try await Instance(
                settings: configuration.settings, bridges: BridgeKinds.known, logger: logger,
                load: { () throws(ConfigurationRejected) in try loader.load(file: path).settings }
            ).run { settings, port in
                if tellsHints { Terminal.printError(ServeHints(settings: settings, port: port).text) }
            }
        } catch let error as ListenError {
            Terminal.printError(ListenProblem.describe(error))
            throw ExitStatus.cannotListen.exitCode
        } catch let error as BufferFolderError {
            let hint = error.isLocked ? "\n    stop it, or give this instance a folder of its own: server.data" : ""
            Terminal.printError(error.description + hint)
            throw ExitStatus.cannotStore.exitCode
        } catch let error as OperatorListenError {
            Terminal.printError(ListenProblem.describe(error))
            throw ExitStatus.cannotListen.exitCode
        }
    }

    private var flags: [String: FlagOverride] {
        let flags = [
            ("server.clients.host", "--host", self.host), ("server.clients.port", "--port", self.port),
            ("server.operator.port", "--operator-port", self.operatorPort),
            ("instance.id", "--instance", self.instance),
        ]
        return Dictionary(
            flags.compactMap { path, name, text in text.map { (path, FlagOverride(name: name, text: $0)) } },
            uniquingKeysWith: { first, _ in first })
    }
}

extension LogFormat: ExpressibleByArgument {}

/// The levels of the logger, as a flag.
enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case trace, debug, info, notice, warning, error, critical

    var level: Logger.Level { Logger.Level(rawValue: self.rawValue) ?? .info }
}
