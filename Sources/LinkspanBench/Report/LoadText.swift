internal import Foundation

extension LoadResult {
    /// For a terminal.
    var text: String {
        var lines = [
            "published   \(self.published.grouped) in \(self.seconds.short) s",
            "delivered   \(self.delivered.grouped) (\((Double(self.delivered) / self.seconds).short) per second)",
        ]
        if self.acknowledged > 0 { lines.append("acknowledged \(self.acknowledged.grouped)") }
        if let median = self.latencyMedian, let high = self.latency99 {
            lines.append("latency     p50 \((median / 1000).short) µs, p99 \((high / 1000).short) µs")
        }
        if self.serverNanoseconds > 0, let cost = self.microsecondsPerMessage {
            lines.append("server CPU  \(cost.short) µs per message")
        }
        lines.append("faults      \(self.faults.isClean ? "none" : self.faults.words)")
        return lines.joined(separator: "\n")
    }

    func json() throws -> String {
        struct Document: Encodable {
            var seconds: Double
            var published, delivered, acknowledged: UInt64
            var p50Microseconds, p99Microseconds, serverMicrosecondsPerMessage: Double?
            var generatorMicroseconds: Double
            var lost, repeated, reordered, damaged: UInt64
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let document = Document(
            seconds: self.seconds, published: self.published, delivered: self.delivered,
            acknowledged: self.acknowledged, p50Microseconds: self.latencyMedian.map { $0 / 1000 },
            p99Microseconds: self.latency99.map { $0 / 1000 },
            serverMicrosecondsPerMessage: self.serverNanoseconds > 0 ? self.microsecondsPerMessage : nil,
            generatorMicroseconds: Double(self.generatorNanoseconds) / 1000, lost: self.faults.lost,
            repeated: self.faults.repeated, reordered: self.faults.reordered, damaged: self.faults.damaged)
        return String(decoding: try encoder.encode(document), as: UTF8.self)
    }
}
