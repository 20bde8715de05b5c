internal import ArgumentParser
internal import Glibc

/// The program `linkspan-bench`, as a library.
public enum LinkspanBenchmark {
    /// Runs the command that the arguments of the process name, and exits with its status.
    public static func run() -> Never {
        signal(SIGPIPE, SIG_IGN)
        // Not asynchronous itself: the main thread of such a program ends in a wait that callgrind cannot follow.
        Task.detached {
            await BenchCommand.main()
            exit(0)
        }
        while true { pause() }
    }
}

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "linkspan-bench",
        abstract: "Measures a Linkspan server beside the least that can be done, and beside other servers.",
        subcommands: [
            CompareCommand.self, LoadCommand.self, FloorCommand.self, CodecCommand.self, LedgerCommand.self,
            OutboundCommand.self,
        ],
        defaultSubcommand: CompareCommand.self)
}
