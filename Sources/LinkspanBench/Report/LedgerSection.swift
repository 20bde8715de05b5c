/// What the page says about the price of knowing what came.
struct LedgerSection {
    let report: BenchmarkReport

    /// Nil when nothing of it was measured.
    var markdown: String? {
        let parts = [self.goals, self.pieces].compactMap(\.self)
        guard !parts.isEmpty else { return nil }
        return (["## What the ledger costs"] + parts).joined(separator: "\n\n")
    }

    private static let bridged = Contender.linkspanBridged.rawValue

    /// The rows of clients, with a bridge beside them.
    private var goals: String? {
        let rows = self.report.rows.filter { $0.values[Self.bridged] != nil }
        guard !rows.isEmpty else { return nil }
        var lines = [
            "The same rows once more with a bridge that sends every publish to Redis, hears it again and drops it, with probes, ledger, windows and",
            "`repair`: `\(Self.bridged)`. The goals are those without a bridge.",
            "",
            "| row | measure | reference | ours | ratio | with a bridge | ratio | goal | |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
        ]
        for row in rows {
            for index in row.measures.indices {
                let cells = [
                    "[`\(row.name)`](#\(row.name))", row.measures[index].measure.words,
                    row.median(row.reference, index)?.short ?? "-", row.median(row.ours, index)?.short ?? "-",
                    row.ratio(row.ours, index)?.short ?? "-", row.median(Self.bridged, index)?.short ?? "-",
                    row.ratio(Self.bridged, index)?.short ?? "-", row.measures[index].goal?.words ?? "",
                    BenchmarkReport.verdict(row, index, by: Self.bridged) ?? "",
                ]
                lines.append("| " + cells.joined(separator: " | ") + " |")
            }
        }
        return lines.joined(separator: "\n")
    }

    /// Piece by piece.
    private var pieces: String? {
        let costs = self.report.ledger
        guard !costs.isEmpty else { return nil }
        var lines = [
            "Piece by piece, for each message, on one thread, without a network; instructions as callgrind counts them. Repeat with",
            "`linkspan-bench ledger --instructions`. What choices cost a whole server is in the rows "
                + ChoiceRow.all.map { "[`\($0.name)`](#\($0.name))" }.joined(separator: ", ") + ".",
            "",
            "| | piece | ns | instructions |",
            "| --- | --- | ---: | ---: |",
        ]
        for place in LedgerPiece.Place.allCases {
            for cost in costs where cost.place == place {
                lines.append(self.line(place.rawValue, cost.title, cost.nanoseconds, cost.instructions))
            }
            guard place == .egress || place == .ingress else { continue }
            let sum = costs.sum(place)
            lines.append(self.line(place.rawValue, "**every message**", sum.nanoseconds, sum.instructions))
        }
        return lines.joined(separator: "\n")
    }

    private func line(_ place: String, _ title: String, _ nanoseconds: Double, _ instructions: Double?) -> String {
        "| \(place) | \(title) | \(nanoseconds.short) | \(instructions?.short ?? "-") |"
    }
}
