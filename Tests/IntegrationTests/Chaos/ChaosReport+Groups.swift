internal import Foundation

/// The second table of `docs/chaos.md`.
extension ChaosReport {
    static func row(_ kind: UpstreamKind, _ fault: GroupFault, _ account: GroupAccount) -> Row {
        var notes: [String] = account.disagreements
        if account.named > 0 { notes.append("\(account.named) unroutable") }
        if account.unanswered > 0 { notes.append("\(account.unanswered) unanswered") }
        if account.doubledAtOne > 0 { notes.append("\(account.doubledAtOne) doubled at one client") }
        let ledger = account.unnamed == 0 ? "yes" : "\(account.unnamed) not named"
        let text = Self.line(
            kind, fault,
            [
                "\(account.sent)", "\(account.received - account.doubled)", "\(account.lost)", "\(account.doubled)",
                "\(account.disordered)", String(format: "%.1f s", Double(account.longestPause) / 1000),
                account.disagreements.isEmpty ? ledger : "no", notes.joined(separator: "; "),
            ])
        let isKept =
            account.disagreements.isEmpty && account.unfinished == 0
            && (account.lost == 0 || fault.mayLose(over: kind))
            && (account.unnamed == 0 || fault.mayLoseSilently(over: kind))
            && (account.doubled == 0 || fault.mayDouble(over: kind))
        return Row(text: text, broken: isKept ? nil : text)
    }

    static func row(_ kind: UpstreamKind, _ fault: GroupFault, failed error: any Error) -> Row {
        let text = Self.line(kind, fault, ["", "", "", "", "", "", "", "did not recover"])
        return Row(text: text, broken: "\(text) \(error)")
    }

    private static func line(_ kind: UpstreamKind, _ fault: GroupFault, _ cells: [String]) -> String {
        "| " + ([ChaosScenario(kind, .kept).broker, fault.rawValue] + cells).joined(separator: " | ") + " |"
    }

    static func groups(_ rows: [Row]) -> String {
        """
        ## Groups

        Three instances share what a fourth publishes (`consume: one_of`, `at_least_once`), a client at each. The publisher's instance has its buffer on disk, and brokers
        that can tell it are asked to (`mandatory: true`) when nobody takes a message. *Received* is what came to any of the three.

        - *Doubled* came to two of the clients, or to one twice: what a member had taken and had not acknowledged when it or its broker went, and what the sender sent
          again because its own connection broke, since the second copy may go to another member.
        - *Out of order* came to a client after a later one of the same channel.
        - *Ledger* says whether what every member delivered is what its client received, and whether what the sender's ledger calls unroutable is what was lost. Of a member that is
          killed it is what it delivered since its next start; its client is there again before it reaches the broker, since a message that is delivered while nobody listens is delivered.
        - mosquitto forgets shared subscriptions whenever it ends, also where it keeps sessions. What is published then before the first member is back is nobody's.

        | broker | fault | sent | received | lost | doubled | out of order | longest pause | ledger equal | notes |
        | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |
        \(rows.map(\.text).joined(separator: "\n"))
        """
    }
}
