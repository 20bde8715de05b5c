internal import CLinkspanFloor
internal import Foundation

/// What ``LedgerPieces`` cost: time here, and instructions in a second process under callgrind.
struct LedgerBenchmark: Sendable {
    /// For each piece.
    let span: Duration
    /// This program, and where it may leave files; nil counts no instructions.
    var counting: (program: String, folder: ScratchFolder)?

    /// Calls of each piece under callgrind, before it counts and while it does.
    private static let warmUp = 200
    private static let counted = 1000

    func run() -> (costs: [LedgerCost], absence: String?) {
        var instructions: [String: Double] = [:]
        var absence: String?
        if let (program, folder) = self.counting {
            do {
                instructions = try Self.instructions(program, folder)
            } catch {
                absence = "\(error)"
            }
        }
        let stopwatch = Stopwatch(span: self.span)
        let costs = LedgerPieces().all.map { piece in
            LedgerCost(
                name: piece.name, title: piece.title, place: piece.place,
                nanoseconds: stopwatch.nanoseconds(of: piece.name, piece.body) / Double(piece.operations),
                instructions: instructions[piece.name])
        }
        return (costs, absence)
    }

    /// What callgrind runs: each piece between two calls of a mark, with the calls that warm it up before the first.
    static func runMarked() {
        var keep = 0
        for piece in LedgerPieces().all {
            for _ in 0..<Self.warmUp { piece.body(&keep) }
            linkspan_mark()
            for _ in 0..<Self.counted { piece.body(&keep) }
            linkspan_mark()
        }
        precondition(keep > 0, "the pieces did nothing")
    }

    /// By piece, for each message.
    private static func instructions(_ program: String, _ folder: ScratchFolder) throws -> [String: Double] {
        guard ServerProcess.find("valgrind") != nil else { throw BenchError("valgrind is not installed") }
        // Debian's valgrind does not understand what compilers of today say for debuggers.
        let stripped = folder.file("stripped")
        try Shell.run(["strip", "--strip-debug", "-o", stripped, program])
        let out = folder.file("callgrind")
        try Shell.run([
            "valgrind", "--tool=callgrind", "--dump-before=linkspan_mark", "--callgrind-out-file=\(out)", stripped,
            "ledger", "--marked",
        ])
        var counts: [String: Double] = [:]
        for (index, piece) in LedgerPieces().all.enumerated() {
            // The first file is of what comes before the first mark, the second of the first piece.
            let count = try self.total(of: "\(out).\(2 * index + 2)")
            counts[piece.name] = count / Double(self.counted * piece.operations)
        }
        return counts
    }

    private static func total(of file: String) throws -> Double {
        let line = ProcessMeter.text(file).split(separator: "\n").first { $0.hasPrefix("summary: ") }
        guard let count = line.flatMap({ Double($0.dropFirst("summary: ".count)) }) else {
            throw BenchError("callgrind left no count in \(file)")
        }
        return count
    }
}

extension [LedgerCost] {
    /// What every message pays at one place.
    func sum(_ place: LedgerPiece.Place) -> (nanoseconds: Double, instructions: Double?) {
        let parts = self.filter { $0.place == place }
        let instructions = parts.compactMap(\.instructions)
        return (
            parts.reduce(0) { $0 + $1.nanoseconds },
            instructions.count == parts.count ? instructions.reduce(0, +) : nil
        )
    }

    /// For a terminal.
    var text: String {
        var lines: [String] = []
        for cost in self {
            let name = cost.name + String(repeating: " ", count: Swift.max(0, 18 - cost.name.count))
            let instructions = cost.instructions.map { ", \($0.short) instructions" } ?? ""
            lines.append("\(name)\(cost.nanoseconds.short) ns\(instructions)  \(cost.title)")
        }
        for place in [LedgerPiece.Place.egress, .ingress] {
            let sum = self.sum(place)
            let instructions = sum.instructions.map { ", \($0.short) instructions" } ?? ""
            lines.append("every message \(place.rawValue): \(sum.nanoseconds.short) ns\(instructions)")
        }
        return lines.joined(separator: "\n")
    }
}
