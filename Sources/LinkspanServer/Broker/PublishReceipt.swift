public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanWire

/// What became of a publish at the bridges that its answer waited for: `{"id":"fra-1/1795216176123/7","bridges":{"hub":"confirmed"}}`.
public struct PublishReceipt: Sendable, Hashable {
    /// The identity of the message in its channel; nil while it had none.
    public var origin: Origin?
    /// By the name of the bridge: `confirmed`, `buffered`, `pending` while nothing was known, `filtered`, `expired`, or the reason why it was dropped.
    public var bridges: [(name: String, outcome: String)]

    public init(_ account: EgressReceipt.Account) {
        self.origin = account.origin
        self.bridges = account.entries.map { ($0.bridge.name, $0.outcome?.word ?? "pending") }
    }

    public static func == (one: PublishReceipt, other: PublishReceipt) -> Bool { one.json == other.json }

    public func hash(into hasher: inout Hasher) { hasher.combine(self.json) }

    public var json: JSONText {
        var json: [UInt8] = []
        json.put("{\"id\":")
        if let origin = self.origin {
            json.putJSONString("\(origin.instance)/\(origin.epoch)/\(origin.sequence)")
        } else {
            json.put("null")
        }
        json.put(",\"bridges\":{")
        for (index, bridge) in self.bridges.enumerated() {
            if index > 0 { json.put(",") }
            json.putJSONString(bridge.name)
            json.put(":")
            json.putJSONString(bridge.outcome)
        }
        json.put("}}")
        return JSONText(alreadyValid: json)
    }
}

extension ProtocolError {
    /// A publish that did not come as far as the rules of its bridges say, or not in time. It carries the receipt.
    static func notAcknowledged(
        _ receipt: PublishReceipt, _ account: EgressReceipt.Account, isLate: Bool
    ) -> ProtocolError {
        let missing = account.entries.filter { !$0.isReached }
        let words = missing.map { entry in
            isLate && entry.outcome?.isLost != true
                ? "bridge \"\(entry.bridge.name)\" had not \(entry.bridge.level.rawValue) it in time"
                : "bridge \"\(entry.bridge.name)\" gave it up (\(entry.outcome?.word ?? "pending"))"
        }
        return ProtocolError(
            name: isLate ? "ReceiptTimeoutError" : "ReceiptError",
            message: "The message was published, but \(words.joined(separator: ", "))",
            fields: [Field("receipt", .json(receipt.json))])
    }
}
