/// One line of the comparison of bridges: an instance between client and broker, beside a bare loop over the same C library.
struct BridgeRow: Sendable {
    enum Way: String, Sendable, CaseIterable {
        /// From a client of an instance to the broker.
        case egress
        /// From the broker to a client of an instance.
        case ingress
        /// From a client of one instance to a client of another.
        case across
    }

    var upstream: Upstream
    var way: Way

    static let all: [BridgeRow] = Way.allCases.flatMap { way in
        Upstream.allCases.map { BridgeRow(upstream: $0, way: way) }
    }

    static let ours = "linkspan"
    static let bare = "bare loop"
    /// The bare loop with the bytes that identify a message beside its payload, as a bridge sends them.
    static let bareWithHeader = "bare loop with header"

    var name: String { "\(self.way.rawValue)-\(self.upstream.rawValue)" }

    var title: String {
        switch self.way {
        case .egress: "\(self.upstream.words): client to instance to broker"
        case .ingress: "\(self.upstream.words): broker to instance to client"
        case .across: "\(self.upstream.words): client to instance to broker to instance to client"
        }
    }

    /// Who takes part; the reference first.
    var contenders: [String] {
        // In Redis what identifies a message is part of the payload; at half the rate its bytes are not to be seen in the latency.
        let isBeside = self.upstream != .redis
        return [Self.bare, Self.ours] + (isBeside && self.way == .egress ? [Self.bareWithHeader] : [])
    }

    var measures: [(measure: Measure, goal: Goal?)] {
        switch self.way {
        case .egress, .ingress: [(.messagesPerSecond, .atLeastTimes(0.85))]
        case .across: [(.latency99Microseconds, .atMostTimes(1.5)), (.latencyMedianMicroseconds, nil)]
        }
    }

    var emptyOutcome: RowOutcome {
        RowOutcome(
            name: self.name, title: self.title, reference: Self.bare, ours: Self.ours, contenders: self.contenders,
            measures: self.measures)
    }
}
