internal import ArgumentParser

struct CodecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec", abstract: "Measure parsing and writing of messages, without a network.")

    @Option(help: "Seconds for each line.")
    var seconds = 0.5

    func run() {
        for line in CodecBenchmark(span: .seconds(self.seconds)).run() { print(line.text) }
    }
}
