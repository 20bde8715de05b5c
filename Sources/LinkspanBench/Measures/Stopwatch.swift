/// Times what takes less than a microsecond.
struct Stopwatch: Sendable {
    /// For one call of ``nanoseconds(of:)``.
    let span: Duration

    /// Most calls in one batch.
    private static let batch = 1000

    /// The fastest of many batches: what disturbs a batch only ever adds to it.
    ///
    /// - Parameter body: adds to its argument what must not be optimised away.
    func nanoseconds(of name: String, _ body: (inout Int) -> Void) -> Double {
        let end = MonotonicClock.nanoseconds() + self.span.nanoseconds
        var best = UInt64.max
        var keep = 0
        repeat {
            let start = MonotonicClock.nanoseconds()
            for _ in 0..<Self.batch { body(&keep) }
            best = min(best, MonotonicClock.nanoseconds() - start)
        } while MonotonicClock.nanoseconds() < end
        precondition(keep > 0, "\(name) did nothing")
        return Double(best) / Double(Self.batch)
    }
}
