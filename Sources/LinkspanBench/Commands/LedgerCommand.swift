internal import ArgumentParser

struct LedgerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ledger",
        abstract: "Measure what identity, ledger, window and repair cost each message, without a network.")

    @Option(help: "Seconds for each line.")
    var seconds = 0.5

    @Flag(help: "Count instructions as well; takes valgrind.")
    var instructions = false

    /// For callgrind: a fixed number of calls of each piece, with marks between them.
    @Flag(help: .hidden)
    var marked = false

    func run() throws {
        if self.marked { return LedgerBenchmark.runMarked() }
        var benchmark = LedgerBenchmark(span: .seconds(self.seconds))
        if self.instructions { benchmark.counting = (Tools.thisProgram, try ScratchFolder()) }
        let (costs, absence) = benchmark.run()
        print(costs.text)
        if let absence { throw BenchError(absence) }
    }
}
