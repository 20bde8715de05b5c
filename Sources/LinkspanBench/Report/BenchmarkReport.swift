internal import Foundation

/// What one comparison found, for people, for a page and for programs.
struct BenchmarkReport: Sendable {
    var machine: MachineFacts
    /// Name and version of everybody who took part.
    var versions: [String]
    /// Who could not take part, and why.
    var absences: [String]
    var rounds: Int
    var measured: Duration
    var cores: Cores
    var rows: [RowOutcome]
    /// Empty when nobody asked for it.
    var ledger: [LedgerCost] = []

    /// Whether every message of every run arrived once, whole and in order, and every run came to its end.
    var isClean: Bool { self.rows.allSatisfy(\.isClean) }

    /// One row, for a terminal.
    static func text(_ row: RowOutcome) -> String {
        var lines: [String] = []
        for index in row.measures.indices {
            let (measure, goal) = row.measures[index]
            lines.append("\(row.name): \(row.title): \(measure.words)")
            for contender in row.contenders {
                guard let value = row.median(contender, index) else { continue }
                let ratio = row.ratio(contender, index).map { "  \($0.short) ×" } ?? ""
                let isOurs = contender == row.ours
                let verdict = isOurs ? Self.verdict(row, index).map { "  \($0)" } ?? "" : ""
                let aim = isOurs ? goal.map { "  (goal \($0.words))" } ?? "" : ""
                let name = contender + String(repeating: " ", count: max(0, 18 - contender.count))
                lines.append("    \(name)\(value.short)\(ratio)\(aim)\(verdict)")
            }
        }
        if !row.faults.isClean { lines.append("    NOT CLEAN: \(row.faults.words)") }
        for failure in row.failures { lines.append("    failed: \(failure)") }
        for failure in row.peerFailures { lines.append("    without a result: \(failure)") }
        return lines.joined(separator: "\n")
    }

    static func verdict(_ row: RowOutcome, _ index: Int, by contender: String? = nil) -> String? {
        row.failures.isEmpty ? row.isGoalMet(index, by: contender).map { $0 ? "met" : "missed" } : "failed"
    }

    // MARK: JSON

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(Document(self)), as: UTF8.self) + "\n"
    }

    private struct Document: Encodable {
        struct Result: Encodable {
            var contender: String
            var median: Double
            var ratio: Double?
            var runs: [Double]
        }

        struct Measurement: Encodable {
            var measure: String
            var goal: String?
            var isGoalMet: Bool?
            var results: [Result]
        }

        struct Row: Encodable {
            var name: String
            var title: String
            var reference: String
            var measurements: [Measurement]
            var lost: UInt64
            var repeated: UInt64
            var reordered: UInt64
            var damaged: UInt64
            var isClean: Bool
            var failures: [String]
            var peerFailures: [String]
        }

        var processor: String
        var cores: Int
        var system: String
        var kernel: String
        var congestionControl: String
        var busyCoresBefore: Double
        var versions: [String]
        var absences: [String]
        var rounds: Int
        var secondsPerRun: Double
        var rows: [Row]
        var ledger: [Piece]

        struct Piece: Encodable {
            var name: String
            var place: String
            var nanoseconds: Double
            var instructions: Double?
        }

        init(_ report: BenchmarkReport) {
            self.processor = report.machine.processor
            self.cores = report.machine.cores
            self.system = report.machine.system
            self.kernel = report.machine.kernel
            self.congestionControl = report.machine.congestionControl
            self.busyCoresBefore = report.machine.busyCores
            self.versions = report.versions
            self.absences = report.absences
            self.rounds = report.rounds
            self.secondsPerRun = report.measured.seconds
            self.ledger = report.ledger.map {
                Piece(
                    name: $0.name, place: $0.place.rawValue, nanoseconds: $0.nanoseconds, instructions: $0.instructions)
            }
            self.rows = report.rows.map { row in
                Row(
                    name: row.name, title: row.title, reference: row.reference,
                    measurements: row.measures.indices.map { index in
                        Measurement(
                            measure: row.measures[index].measure.rawValue, goal: row.measures[index].goal?.words,
                            isGoalMet: row.isGoalMet(index),
                            results: row.contenders.compactMap { contender in
                                guard let median = row.median(contender, index) else { return nil }
                                return Result(
                                    contender: contender, median: median, ratio: row.ratio(contender, index),
                                    runs: row.values[contender]?[index] ?? [])
                            })
                    },
                    lost: row.faults.lost, repeated: row.faults.repeated, reordered: row.faults.reordered,
                    damaged: row.faults.damaged, isClean: row.isClean, failures: row.failures,
                    peerFailures: row.peerFailures)
            }
        }
    }
}

extension Faults {
    var words: String {
        "\(self.lost) lost, \(self.repeated) repeated, \(self.reordered) reordered, \(self.damaged) damaged"
    }
}
