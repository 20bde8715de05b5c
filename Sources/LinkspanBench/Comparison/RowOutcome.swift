/// All values of one row.
struct RowOutcome: Sendable {
    let name: String
    var title: String
    let reference: String
    let contenders: [String]
    let measures: [(measure: Measure, goal: Goal?)]
    /// Whose goals these are.
    let ours: String
    /// Whose runs have to come to their end; what becomes of others says nothing of us.
    private let mustSucceed: Set<String>
    /// By contender, then measure: one value for each run.
    private(set) var values: [String: [[Double]]] = [:]
    /// By contender: which run of all each of these was.
    private var places: [String: [Int]] = [:]
    private var runCount = 0
    private(set) var faults = Faults()
    /// Of ours, the reference, or the whole row: of those that have to succeed.
    var failures: [String] = []
    /// Runs of peers without a result: they cost the peer that run, and say nothing of us.
    private(set) var peerFailures: [String] = []

    init(
        name: String, title: String, reference: String, ours: String, contenders: [String],
        mustSucceed: Set<String>? = nil, measures: [(measure: Measure, goal: Goal?)]
    ) {
        self.name = name
        self.title = title
        self.reference = reference
        self.ours = ours
        self.contenders = contenders
        self.mustSucceed = mustSucceed ?? [ours, reference]
        self.measures = measures
    }

    init(_ row: Row) {
        let ours = row.contenders.first { $0 == .linkspanTwoLoops || $0 == .linkspanOutbound } ?? .linkspan
        self.init(
            name: row.name, title: row.title, reference: row.reference.rawValue, ours: ours.rawValue,
            contenders: row.contenders.map(\.rawValue),
            mustSucceed: Set(row.contenders.filter { !$0.isPeer }.map(\.rawValue)), measures: row.measures)
    }

    mutating func add(_ values: [Double?], _ faults: Faults, of contender: Contender) {
        self.add(values, faults, of: contender.rawValue)
    }

    /// Takes in one run. One without a value for each measure has delivered nothing: that is a failure, and no figure.
    mutating func add(_ values: [Double?], _ faults: Faults, of contender: String) {
        self.faults += faults
        self.runCount += 1
        let found = values.compactMap { $0 }
        guard found.count == self.measures.count else {
            return self.failed(contender, "nothing was delivered while it was measured")
        }
        self.places[contender, default: []].append(self.runCount)
        for (index, value) in found.enumerated() {
            self.values[contender, default: self.measures.map { _ in [] }][index].append(value)
        }
    }

    mutating func failed(_ contender: String, _ reason: String) {
        let text = "\(contender): \(reason)"
        if self.mustSucceed.contains(contender) {
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

    /// To the reference: the median over the runs, each beside that run of the reference which stood next to it. What changes on the machine
    /// within seconds is in both.
    func ratio(_ contender: String, _ index: Int) -> Double? {
        guard let values = self.values[contender]?[index], let references = self.values[self.reference]?[index],
            let places = self.places[contender], let referencePlaces = self.places[self.reference]
        else { return nil }
        let ratios = zip(values, places).compactMap { value, place -> Double? in
            let nearest = zip(references, referencePlaces).min { abs($0.1 - place) < abs($1.1 - place) }
            return nearest.flatMap { $0.0 > 0 ? value / $0.0 : nil }
        }
        return LinkspanBench.median(ratios)
    }

    /// Whether a goal is met, by ours unless somebody else is meant; nil without goal or value, and when a run that matters failed.
    func isGoalMet(_ index: Int, by contender: String? = nil) -> Bool? {
        guard self.failures.isEmpty, let goal = self.measures[index].goal,
            let value = self.median(contender ?? self.ours, index)
        else { return nil }
        return goal.isMet(value: value, ratio: self.ratio(contender ?? self.ours, index))
    }
}
