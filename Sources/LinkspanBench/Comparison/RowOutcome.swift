/// All values of one row.
struct RowOutcome: Sendable {
    let name: String
    var title: String
    let reference: String
    let contenders: [String]
    let measures: [(measure: Measure, goal: Goal?)]
    /// Whose goals these are.
    let ours: String
    /// By contender, then measure: one value for each run.
    private(set) var values: [String: [[Double]]] = [:]
    private(set) var faults = Faults()
    /// Of ours, the reference, or the whole row.
    var failures: [String] = []
    /// Runs of peers without a result: they cost the peer that run, and say nothing of us.
    private(set) var peerFailures: [String] = []

    init(
        name: String, title: String, reference: String, ours: String, contenders: [String],
        measures: [(measure: Measure, goal: Goal?)]
    ) {
        self.name = name
        self.title = title
        self.reference = reference
        self.ours = ours
        self.contenders = contenders
        self.measures = measures
    }

    init(_ row: Row) {
        let ours: Contender = row.contenders.contains(.linkspanTwoLoops) ? .linkspanTwoLoops : .linkspan
        self.init(
            name: row.name, title: row.title, reference: row.reference.rawValue, ours: ours.rawValue,
            contenders: row.contenders.map(\.rawValue), measures: row.measures)
    }

    mutating func add(_ values: [Double?], _ faults: Faults, of contender: Contender) {
        self.add(values, faults, of: contender.rawValue)
    }

    /// Takes in one run. One without a value for each measure has delivered nothing: that is a failure, and no figure.
    mutating func add(_ values: [Double?], _ faults: Faults, of contender: String) {
        self.faults += faults
        let found = values.compactMap { $0 }
        guard found.count == self.measures.count else {
            return self.failed(contender, "nothing was delivered while it was measured")
        }
        for (index, value) in found.enumerated() {
            self.values[contender, default: self.measures.map { _ in [] }][index].append(value)
        }
    }

    mutating func failed(_ contender: String, _ reason: String) {
        let text = "\(contender): \(reason)"
        if contender == self.ours || contender == self.reference {
            self.failures.append(text)
        } else {
            self.peerFailures.append(text)
        }
    }

    /// Whether every run of ours and of the reference came to its end, and every message arrived once, whole and in order.
    var isClean: Bool { self.faults.isClean && self.failures.isEmpty }

    func median(_ contender: String, _ index: Int) -> Double? {
        self.values[contender].flatMap { LinkspanBench.median($0[index]) }
    }

    /// To the reference; a ratio of medians.
    func ratio(_ contender: String, _ index: Int) -> Double? {
        guard let value = self.median(contender, index), let reference = self.median(self.reference, index),
            reference > 0
        else { return nil }
        return value / reference
    }

    /// Whether our goal is met; nil without goal or value, and when a run of ours or of the reference failed.
    func isGoalMet(_ index: Int) -> Bool? {
        guard self.failures.isEmpty, let goal = self.measures[index].goal, let value = self.median(self.ours, index)
        else { return nil }
        return goal.isMet(value: value, reference: self.median(self.reference, index))
    }
}
