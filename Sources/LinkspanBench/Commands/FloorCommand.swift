internal import ArgumentParser
internal import CLinkspanFloor
internal import Glibc

struct FloorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "floor", abstract: "Serve as the yardstick: the least that a SocketCluster server can do.",
        discussion: """
            Trusts its input and knows channels c0, c1, ... only. The faults are for seeing that `load` notices them.
            """)

    @Option(help: "Port of 127.0.0.1.")
    var port: UInt16

    @Flag(help: "One send for each subscriber and turn of the loop, instead of one for each message.")
    var batch = false

    @Option(help: "Lose each Nth message of the last subscriber.")
    var dropEvery: UInt32 = 0

    @Option(help: "Send each Nth message to the last subscriber twice.")
    var repeatEvery: UInt32 = 0

    @Option(help: "Send each Nth message to the last subscriber after its successor.")
    var swapEvery: UInt32 = 0

    @Option(help: "Damage each Nth message of the last subscriber.")
    var corruptEvery: UInt32 = 0

    func run() throws {
        var options = linkspan_floor_options(
            port: self.port, gathers: self.batch ? 1 : 0, drop_every: self.dropEvery, repeat_every: self.repeatEvery,
            swap_every: self.swapEvery, corrupt_every: self.corruptEvery)
        let code = linkspan_floor_serve(&options)
        throw BenchError("cannot listen on port \(self.port): \(String(cString: strerror(code)))")
    }
}
