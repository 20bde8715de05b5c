internal import LinkspanServer

extension StatusReport {
    /// A service that answers over HTTP.
    public struct Hook: Codable, Hashable, Sendable {
        public var name: String
        /// Whether it is asked nothing for a while, after failures in a row.
        public var isLeftAlone: Bool
        public var asked, answered: Int
        /// Every reason, also those that did not occur.
        public var failures: [String: Int]
        public var waiting, underWay: Int

        enum CodingKeys: String, CodingKey {
            case name, asked, answered, failures, waiting
            case isLeftAlone = "left_alone"
            case underWay = "under_way"
        }
    }
}

extension StatusReport.Hook {
    init(_ status: HookStatus) {
        let failures = HookFailure.allCases.map { ($0.rawValue, status.failures[$0] ?? 0) }
        self.init(
            name: status.name, isLeftAlone: status.isLeftAlone, asked: status.asked, answered: status.answered,
            failures: Dictionary(failures, uniquingKeysWith: { first, _ in first }), waiting: status.waiting,
            underWay: status.underWay)
    }
}
