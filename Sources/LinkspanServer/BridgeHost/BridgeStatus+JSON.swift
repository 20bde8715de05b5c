internal import LinkspanCore
internal import LinkspanWire

extension BridgeStatus {
    /// Writes what everybody who reaches the client port may know: state and counts, but neither addresses nor the words of errors.
    func encodePublic(into json: inout [UInt8]) {
        json.put("{\"type\":")
        json.putJSONString(self.kind)
        json.put(",\"state\":")
        json.putJSONString(self.state.rawValue)
        if let probe = self.probe { json.putProof(probe) }
        json.putCounts([("connects", self.connects), ("failures", self.failures)])
        json.put(",\"egress\":{")
        json.putCounts(self.egress.counts, isFirst: true)
        json.putReasons("dropped", self.egress.dropped)
        json.put("},\"ingress\":{")
        json.putCounts(self.ingress.counts, isFirst: true)
        json.putReasons("refused", self.ingress.refused)
        json.put("},\"gaps\":{")
        json.putCounts(self.gaps.counts.counts, isFirst: true)
        json.put("}")
        if let storage = self.storage {
            json.put(",\"buffer\":{\"state\":")
            json.putJSONString(storage.state)
            json.putCounts([
                ("recovered", self.egress.recovered), ("unwritten", UInt64(storage.unwritten)),
                ("failures", storage.problemCount),
            ])
            json.put("}")
        }
        json.put("}")
    }
}

extension EgressLedger {
    fileprivate var counts: [(StaticString, UInt64)] {
        [
            ("accepted", self.accepted), ("confirmed", self.confirmed), ("filtered", self.filtered),
            ("expired", self.expired),
            ("buffered", self.buffered), ("in_flight", self.inFlight),
        ]
    }
}

extension IngressLedger {
    fileprivate var counts: [(StaticString, UInt64)] {
        [
            ("received", self.received), ("delivered", self.delivered), ("late", self.late),
            ("repaired", self.repaired), ("duplicate", self.duplicate),
            ("looped", self.looped), ("held", self.held),
        ]
    }
}

extension GapCounts {
    fileprivate var counts: [(StaticString, UInt64)] {
        [("named", self.named), ("open", self.open), ("closed", self.closed), ("final", self.final)]
    }
}

extension [UInt8] {
    fileprivate mutating func putCounts(_ counts: [(name: StaticString, count: UInt64)], isFirst: Bool = false) {
        for (index, (name, count)) in counts.enumerated() {
            if !isFirst || index > 0 { self.put(",") }
            self.put("\"")
            self.put(name)
            self.put("\":")
            self.put(decimal: Int64(clamping: count))
        }
    }

    /// Whether messages are known to pass, each way that the bridge has.
    fileprivate mutating func putProof(_ report: ProbeReport) {
        let states = [("out", report.egress), ("in", report.ingress)].filter { $0.1 != nil }
        self.put(",\"proof\":{")
        for (index, (direction, state)) in states.enumerated() {
            if index > 0 { self.put(",") }
            self.putJSONString(direction)
            self.put(":")
            self.putJSONString(state?.rawValue ?? "")
        }
        self.put("}")
    }

    /// Every reason of the list, so that a reader need not know which ones there are.
    fileprivate mutating func putReasons<Reason: RawRepresentable<String> & CaseIterable & Hashable & Sendable>(
        _ name: StaticString, _ counts: ReasonCounts<Reason>
    ) {
        self.put(",\"")
        self.put(name)
        self.put("\":{")
        for (index, reason) in Reason.allCases.enumerated() {
            if index > 0 { self.put(",") }
            self.putJSONString(reason.rawValue)
            self.put(":")
            self.put(decimal: Int64(clamping: counts[reason]))
        }
        self.put("}")
    }
}
