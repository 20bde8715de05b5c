internal import ArgumentParser
internal import LinkspanAdmin
internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Tell why messages of a channel go where they go.",
        discussion: """
            For every bridge: whether it carries the channel, each way, under which name and with which guarantee, and why not where it does not.
            Reads the configuration only; with --live it asks the running instance, as status does and with the same exit status.
            """)

    @OptionGroup var source: ConfigurationOptions

    @Argument(help: "The channel.")
    var channel: String

    @Flag(help: "Ask the running instance, which also tells how each bridge stands.")
    var live = false

    @Option(help: "Port for operators, instead of server.operator.port.")
    var operatorPort: String?

    @Flag(help: "Print the report as JSON.")
    var json = false

    func run() async throws {
        let configuration = try self.source.load(operatorPort: self.operatorPort)
        let answer = self.live ? try await self.ask(configuration) : try self.read(configuration)
        if self.json {
            try? Terminal.writeOutput(answer + [UInt8(ascii: "\n")])
        } else {
            Terminal.printOutput(try ExplainReport(json: answer).text)
        }
    }

    private func read(_ configuration: Configuration) throws -> [UInt8] {
        let channel = ChannelName(self.channel)
        let routes = try BridgeHost.routes(of: channel, in: configuration.settings, bridges: BridgeKinds.known)
        return try ExplainReport(channel, routes).json()
    }

    private func ask(_ configuration: Configuration) async throws -> [UInt8] {
        let settings = try self.source.operatorSettings(of: configuration)
        do throws(StatusQuestion.Failure) {
            return try await StatusQuestion(settings).explain(ChannelName(self.channel))
        } catch {
            Terminal.printError(error.message)
            throw error.exitStatus.exitCode
        }
    }
}
