internal import ArgumentParser

struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Load a server that runs already, and judge what it delivers.",
        discussion: "Exit status 1 when a message was lost, repeated, reordered or damaged.")

    @Option(help: "Port of 127.0.0.1.")
    var port: UInt16

    @Option(help: "Port for subscribers, where it is another instance.")
    var subscriberPort: UInt16?

    @Option(help: "How the server is spoken to: \(Dialect.allCases.map(\.rawValue).joined(separator: ", ")).")
    var dialect = Dialect.socketCluster

    @Option(help: "Channels, each with a publisher.")
    var channels = 1

    @Option(help: "Subscribers of each channel; none asks for acknowledgements instead.")
    var subscribers = 1

    @Option(help: "Messages under way on each channel.")
    var window = 1

    @Option(help: "Messages per second in all, instead of a window.")
    var rate: Double?

    @Option(help: "Bytes of a payload.")
    var size = 128

    @Option(help: "Seconds measured.")
    var seconds = 2.0

    @Option(help: "Threads of the generator.")
    var threads = 2

    @Option(help: "Process whose CPU time is counted.")
    var pid: Int32?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard self.size >= Stamp.smallestPayload else {
            throw ValidationError("a payload has at least \(Stamp.smallestPayload) bytes")
        }
        guard self.channels > 0, self.subscribers >= 0, self.window > 0, self.threads > 0 else {
            throw ValidationError("channels, window and threads are at least 1, subscribers at least 0")
        }
    }

    func run() async throws {
        var plan = LoadPlan(dialect: self.dialect, port: self.port)
        plan.subscribePort = self.subscriberPort ?? self.port
        plan.channels = self.channels
        plan.subscribersPerChannel = self.subscribers
        plan.pace = self.rate.map { .perSecond($0) } ?? .window(self.window)
        if self.subscribers == 0 { plan.completion = .acknowledgement(every: 1) }
        plan.payloadSize = self.size
        plan.threads = self.threads
        plan.measured = .seconds(self.seconds)
        OpenFiles.raiseLimit()
        let result = try await LoadGenerator(plan).measure(self.pid.map { ProcessMeter(process: $0) })
        print(self.json ? try result.json() : result.text)
        if !result.faults.isClean { throw ExitCode(1) }
    }
}

extension Dialect: ExpressibleByArgument {}
