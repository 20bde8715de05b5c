/// The report as a page of the documentation.
struct BenchmarkPage {
    let report: BenchmarkReport
    /// How the run was asked for, such as `make bench`.
    let command: String

    var markdown: String {
        let ledger = LedgerSection(report: self.report).markdown
        return ([self.head, self.summary, ledger].compactMap(\.self) + self.sections + [self.tail])
            .joined(separator: "\n\n") + "\n"
    }

    private var head: String {
        let machine = self.report.machine
        var lines = [
            "# Benchmarks",
            "",
            "Written by `\(self.command)`; do not edit. Repeat it, and compare ratios: absolute figures belong to one machine "
                + "at one time.",
            "",
            "| | |", "| --- | --- |",
            "| machine | \(machine.processor), \(machine.cores) cores, \(machine.memoryGigabytes) GiB |",
            "| system | \(machine.system), Linux \(machine.kernel) |",
        ]
        lines.append("| TCP | \(machine.congestionControl) |")
        let warning = machine.isBusy ? ": **other work ran, and takes part in every figure**" : ""
        lines.append("| cores busy before the runs | \(machine.busyCores.short)\(warning) |")
        for version in self.report.versions { lines.append("| | \(version) |") }
        let runs =
            "\(self.report.rounds) of each, forwards and backwards in turns, "
            + "\(self.report.measured.seconds.short) s measured in each"
        lines.append("| runs | \(runs) |")
        lines.append("| cores | \(self.coresText) |")
        if !self.report.absences.isEmpty {
            lines += ["", "Missing from this comparison: " + self.report.absences.joined(separator: "; ") + "."]
        }
        return lines.joined(separator: "\n")
    }

    private var coresText: String {
        let cores = self.report.cores
        guard !cores.server.isEmpty else { return "one for everything" }
        let list = { (numbers: [Int]) in numbers.map(String.init).joined(separator: " and ") }
        return "server \(list(cores.server)), load generator \(list(cores.generator)), outside brokers "
            + list(cores.broker)
    }

    private var summary: String {
        var lines = [
            "## Goals", "",
            "| row | scenario | measure | reference | ours | ratio | goal | |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in self.report.rows where row.reference != row.ours || row.measures.contains(where: { $0.goal != nil })
        {
            for index in row.measures.indices {
                let ratio = row.reference == row.ours ? nil : row.ratio(row.ours, index)
                let cells = [
                    "[`\(row.name)`](#\(row.name))", row.title, row.measures[index].measure.words,
                    row.reference == row.ours
                        ? "" : "\(row.median(row.reference, index)?.short ?? "-") (\(row.reference))",
                    row.median(row.ours, index)?.short ?? "-", ratio?.short ?? "",
                    row.measures[index].goal?.words ?? "", BenchmarkReport.verdict(row, index) ?? "",
                ]
                lines.append("| " + cells.joined(separator: " | ") + " |")
            }
        }
        lines += ["", self.deliverySentence]
        return lines.joined(separator: "\n")
    }

    private var deliverySentence: String {
        if self.report.isClean {
            return "Every message of every run arrived once, undamaged and in order: the generator checks each."
        }
        let faults = self.report.rows.reduce(into: Faults()) { $0 += $1.faults }
        let failures = self.report.rows.reduce(0) { $0 + $1.failures.count }
        return "**Not clean**: \(faults.words), \(failures) runs without a result; the rows below say where."
    }

    private var sections: [String] {
        self.report.rows.map { row in
            let repetition = "Repeat with `linkspan-bench compare --rows \(row.name)`."
            var lines = ["## \(row.name)", "", "\(row.title). \(repetition)", ""]
            var header = "| |"
            var rule = "| --- |"
            for (measure, _) in row.measures {
                header += " \(measure.words) | ratio |"
                rule += " ---: | ---: |"
            }
            lines += [header, rule]
            for contender in row.contenders where row.values[contender] != nil {
                var line = "| \(contender) |"
                for index in row.measures.indices {
                    let ratio = row.ratio(contender, index)?.short ?? "-"
                    line += " \(row.median(contender, index)?.short ?? "-") | \(ratio) |"
                }
                lines.append(line)
            }
            if !row.faults.isClean { lines += ["", "Not clean: \(row.faults.words)."] }
            for failure in row.failures { lines += ["", "Failed: \(failure)."] }
            for failure in row.peerFailures { lines += ["", "Without a result: \(failure)."] }
            return lines.joined(separator: "\n")
        }
    }

    private var tail: String {
        """
        ## How it is measured

        - `floor-each` and `floor-batch` are the yardstick: an epoll loop in C that writes frames it was given, without limits, tokens, pings or checks, one
          `send` for each message and subscriber, or one for each subscriber and turn of the loop. What it costs is the kernel's TCP.
        - Peers speak their own protocols: redis-server RESP, nats-server its text protocol, mosquitto MQTT 3.1.1 with QoS 0, all three over TCP, nginx
          with nchan text over WebSocket. Each runs as Debian ships it, with one thread for its clients and persistence off.
        - CPU is the time on a core of all threads of the server and of what it started (`/proc/PID/task/*/schedstat`), divided by the messages that
          arrived at subscribers within the measured span, or by the publishes where there are no subscribers.
        - Latency counts from when a message was due to when it was read. At a fixed rate the due times are laid down in advance, so a server
          that pauses is charged for every message that was due meanwhile.
        - The rows `across` send at half of what one instance passes to the broker, or of what two pass from client to client where that is less; both
          are measured first, on the same cores, and the bare pair sends at that rate, too. They are measured twice as long as other rows, two seconds at
          most. Source and sink are one thread each for everybody, and nothing is kept on a core: broker, instances and both ends share all. Messages are
          due in bursts, every 0.1 ms, and sent at once.
        - "Under way" bounds the messages of a stream that not every subscriber has yet. One at a time shows what a single send costs; more show
          what joining them saves.
        - A ratio is the median over the runs, each beside that run of the row's reference which stood next to it: what changes on the machine within
          seconds is in both. So it need not be the ratio of the two medians shown. Payloads have 128 bytes unless a row says otherwise. Rows that take long run three times
          at most; in the rows `fan-out`, `steady`, `ping-pong` and `across` the floor and Linkspan run two to four times as often as the others, because
          what the kernel costs wavers there by more than what sets them apart.
        - `linkspan-bridged` is Linkspan with a bridge to a Redis on the core of outside brokers, both ways, with `repair`: every publish leaves, comes
          back and is recognised. In the rows `choices` an instance has a core to itself, and so has its broker.
        - Each payload names its stream and number. A message that is lost, repeated, out of order or damaged is counted, and makes the command fail.
        """
    }
}
