internal import ArgumentParser
internal import Glibc
public import LinkspanBridgeKit
internal import LinkspanServer

/// The program `linkspan`, as a library: a binary with bridges of its own is three lines.
///
/// ```swift
/// import LinkspanCommand
///
/// await LinkspanApp.run(bridges: .builtIn + [NATSBridge.self])
/// ```
public enum LinkspanApp {
    /// Runs the command that the arguments of the process name, and exits with its status.
    ///
    /// - Parameter bridges: the kinds that `bridges.yaml` may name; each ``Bridge/kind`` once.
    public static func run(bridges: [any Bridge.Type] = .builtIn) async -> Never {
        // A peer or a pipe that went away is an error of that write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        await BridgeKinds.$known.withValue(bridges) {
            await LinkspanCommand.main()
        }
        exit(ExitStatus.success.rawValue)
    }
}

/// The kinds of bridges that the commands of this process know; argument parsers make commands without parameters of ours.
enum BridgeKinds {
    @TaskLocal static var known: [any Bridge.Type] = []
}

/// What `linkspan` does at all.
struct LinkspanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "linkspan",
        abstract:
            "A channel server for SocketCluster clients that shares its channels through MQTT, Redis and AMQP brokers.",
        version: LinkspanVersion.current,
        subcommands: [
            ServeCommand.self, CheckCommand.self, PublishCommand.self, SubscribeCommand.self, StatusCommand.self,
            ExplainCommand.self,
            TokenCommand.self, VersionCommand.self,
        ])
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    func run() {
        Terminal.printOutput(LinkspanVersion.current)
    }
}
