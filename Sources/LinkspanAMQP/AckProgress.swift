/// Which deliveries the server has taken, so that the upstream may forget them. Pure.
///
/// Batches may be taken in any order; an acknowledgement covers everything up to a tag, so it waits for the oldest batch.
struct AckProgress {
    private struct Batch {
        var lastTag: UInt64
        var isTaken = false
    }

    private var batches: [Batch] = []
    /// Number of the oldest batch in `batches`.
    private var firstNumber = 0
    private var acknowledgeable: UInt64?

    /// Batches handed over and not yet taken, counting those that wait for an older one.
    var underWay: Int { self.batches.count }

    /// - Returns: the number of the batch, for ``taken(_:)``.
    mutating func handedOver(upTo lastTag: UInt64) -> Int {
        self.batches.append(Batch(lastTag: lastTag))
        return self.firstNumber + self.batches.count - 1
    }

    mutating func taken(_ number: Int) {
        let index = number - self.firstNumber
        guard self.batches.indices.contains(index) else { return }
        self.batches[index].isTaken = true
        let done = self.batches.prefix { $0.isTaken }
        guard let last = done.last else { return }
        self.acknowledgeable = last.lastTag
        self.firstNumber += done.count
        self.batches.removeFirst(done.count)
    }

    /// The tag up to which to acknowledge, once.
    mutating func takeAcknowledgeable() -> UInt64? {
        defer { self.acknowledgeable = nil }
        return self.acknowledgeable
    }
}
