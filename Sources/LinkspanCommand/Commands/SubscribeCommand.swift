internal import ArgumentParser
internal import LinkspanClient
internal import LinkspanWire
internal import Synchronization

struct SubscribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "subscribe", abstract: "Print what is published to channels, one line of JSON each.",
        discussion: """
            Reconnects for ever. With several channels each line begins with the channel and a tab.
            Exit status 0 after --count messages, 77 when the server refused every channel.
            """)

    @OptionGroup var client: ClientOptions

    @Argument(help: "The channels.")
    var channels: [String]

    @Option(name: .shortAndLong, help: "Exit after this many messages.")
    var count: Int?

    @Flag(help: "Print {\"channel\":...,\"data\":...} for each message.")
    var json = false

    func validate() throws {
        guard !self.channels.isEmpty else { throw ValidationError("name at least one channel") }
        if let count = self.count, count < 1 { throw ValidationError("--count: at least 1") }
    }

    func run() async throws {
        let settings = try self.client.settings()
        let printer = MessagePrinter(
            form: self.json ? .object : self.channels.count > 1 ? .labelled : .data, limit: self.count)
        let client = SocketClusterClient(settings: settings, logger: ClientOptions.logger)
        for channel in self.channels { client.subscribe(channel) }
        let options = self.client
        let refused = RefusedChannels(self.channels)
        let status = await CommandOutcome.first { finish in
            do throws(ClientError) {
                try await client.run { event in
                    if let text = event.description(url: settings.url) { options.tell(text) }
                    if case .subscribeRefused(let channel, _) = event, refused.areAll(with: channel) {
                        finish(.refused)
                    }
                    if case .kickedOut(let channel, _) = event, refused.areAll(with: channel) { finish(.refused) }
                    if case .message(let message) = event, printer.print(message) == .finished { finish(.success) }
                }
            } catch {
                Terminal.printError(error.message)
                finish(error.exitStatus)
            }
        }
        throw status.exitCode
    }
}

/// Channels that the server does not let us hear.
private final class RefusedChannels: Sendable {
    private let left: Mutex<Set<String>>

    init(_ channels: [String]) {
        self.left = Mutex(Set(channels))
    }

    func areAll(with channel: String) -> Bool {
        self.left.withLock { left in
            left.remove(channel)
            return left.isEmpty
        }
    }
}
