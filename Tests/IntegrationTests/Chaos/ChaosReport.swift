internal import Foundation

/// The table of `docs/chaos.md`.
struct ChaosReport {
    /// One line of it: a fault in one scenario, both directions added up.
    struct Row: Sendable {
        var text: String
        /// What was promised and not kept.
        var broken: String?
    }

    /// Nil unless `CHAOS_REPORT` names the file.
    static let file = ProcessInfo.processInfo.environment["CHAOS_REPORT"]
    /// Whether only faults and brokers whose names contain this are tried.
    static let only = ProcessInfo.processInfo.environment["CHAOS_ONLY"]

    static func row(_ scenario: ChaosScenario, _ fault: ChaosFault, _ accounts: [ChaosAccount]) -> Row {
        func sum(_ part: (ChaosAccount) -> Int) -> Int { accounts.map(part).reduce(0, +) }
        let (lost, doubled, unnamed, overnamed) = (
            sum(\.lost), sum(\.doubled), sum(\.unnamed), sum(\.overnamed)
        )
        let ledger =
            switch (unnamed, overnamed) {
            case (0, 0): "yes"
            case (_, 0): "\(unnamed) not named"
            default: "\(unnamed) not named, \(overnamed) named wrongly"
            }
        var notes: [String] = []
        if sum(\.away) > 0 { notes.append("\(sum(\.away)) while the client was away") }
        if sum(\.doubtful) > 0 { notes.append("\(sum(\.doubtful)) unanswered, \(sum(\.doubtfulReceived)) came") }
        let pause = Double(accounts.map(\.longestPause).max() ?? 0) / 1000
        let delivered = sum(\.received) - doubled - sum(\.doubtfulReceived)
        let text = Self.line(
            scenario, fault,
            [
                "\(sum(\.sent))", "\(delivered)", "\(lost)", "\(doubled)", "\(sum(\.disordered))",
                String(format: "%.1f s", pause), ledger, notes.joined(separator: "; "),
            ])
        let isKept =
            (lost == 0 || fault.mayLose(scenario)) && (doubled == 0 || fault.mayDouble) && overnamed == 0
            && (unnamed == 0 || fault.mayLoseSilently(scenario.promise))
        return Row(text: text, broken: isKept ? nil : text)
    }

    static func row(_ scenario: ChaosScenario, _ fault: ChaosFault, failed error: any Error) -> Row {
        let text = Self.line(scenario, fault, ["", "", "", "", "", "", "", "did not recover"])
        return Row(text: text, broken: "\(text) \(error)")
    }

    static func row(_ scenario: ChaosScenario, _ fault: ChaosFault, notDone reason: String) -> Row {
        Row(text: Self.line(scenario, fault, ["", "", "", "", "", "", "", "not done: \(reason)"]))
    }

    private static func line(_ scenario: ChaosScenario, _ fault: ChaosFault, _ cells: [String]) -> String {
        "| " + ([scenario.broker, scenario.promise.rawValue, fault.rawValue] + cells).joined(separator: " | ") + " |"
    }

    static func write(_ rows: [Row], groups: [Row], to file: String) throws {
        let day = Date().formatted(.iso8601.year().month().day())
        let text = """
            # What faults cost

            Written by `make chaos` on \(day), against the real brokers on one machine. `make chaos ONLY=mosquitto` runs the lines that contain a word. What is
            not done says why.

            Two instances share four channels over one broker. A publisher at each numbers its messages, up to a hundred a second in each channel, and goes on through the
            fault; a receiver at the other checks. Both directions are added up.

            - *Sent* is what was published and answered. With `at_least_once` the rule says `ack: buffered`: what is answered is on the disk.
            - *Lost* was sent and did not come. Not counted is what passed while the receiver's own connection was gone with its instance (*while the client was away*), and
              what was not answered because the publisher's was (*unanswered*).
            - *Doubled* came twice at a client, and *out of order* came after a later one.
            - The *longest pause* is between two messages at a receiver. With the broker away it includes the time of the fault, of the broker's own start, and of the next attempt.
            - *Ledger* says whether the gaps that the receiving instance names are exactly what its client did not receive, by channel and number. What an instance held in its
              memory only, when it was killed, nobody is left to name: that is what `at_least_once` with a buffer on disk is for. A client may get a message again when its
              instance is killed, since what the dead one had delivered is not known to the next.

            Not tried: a memory limit and a full disk under Pub/Sub, which keeps nothing that they could take; the clock of the whole machine, of which only one
            instance's is turned back. The ring of three sites whose links are cut at random is in `make test`, for a minute, and `make chaos RING=3600` cuts for an hour.

            | broker | guarantee | fault | sent | delivered | lost | doubled | out of order | longest pause | ledger equal | notes |
            | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |
            \(rows.map(\.text).joined(separator: "\n"))

            \(Self.groups(groups))

            """
        try text.write(toFile: file, atomically: true, encoding: .utf8)
    }
}
