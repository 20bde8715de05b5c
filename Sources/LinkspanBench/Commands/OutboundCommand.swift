internal import ArgumentParser
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer
internal import Logging

/// A program around the library, as small as can be, for what only programs can ask of a server.
struct OutboundCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "outbound", abstract: "Serve with outbound middleware that allows everything.",
        shouldDisplay: false)

    @Option(help: "Port of 127.0.0.1.")
    var port: UInt16

    func run() async throws {
        guard let instance = InstanceID("bench") else { return }
        var settings = ServerSettings()
        settings.host = "127.0.0.1"
        settings.port = Int(self.port)
        settings.eventLoops = 1
        let application = Application { app in app.middleware.outbound = { _ in .allow } }
        let server = LinkspanServer(
            settings: settings, instance: instance, application: application, logger: Logger(label: "outbound"))
        try await server.run()
    }
}
