/// Something that a test waited for did not happen.
public struct TimedOut: Error, CustomStringConvertible {
    public var what: String
    /// Nil when it can no longer happen.
    public var limit: Duration?
    public var seen: String

    public init(what: String, limit: Duration?, seen: String = "") {
        self.what = what
        self.limit = limit
        self.seen = seen
    }

    public var description: String {
        let reason = self.limit.map { "did not happen within \($0)" } ?? "can no longer happen"
        return "\(self.what): \(reason)" + (self.seen.isEmpty ? "" : "; seen: \(self.seen)")
    }
}

/// Runs `body`, cancels it at the limit, and then fails with what was waited for.
/// - Throws: ``TimedOut``, or what `body` threw.
public func within<Result: Sendable>(
    _ limit: Duration, _ what: String, seen: @escaping @Sendable () -> String = { "" },
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let result = first else {
            throw TimedOut(what: what, limit: limit, seen: seen())
        }
        return result
    }
}

/// Asks `probe` again and again until it answers, for things outside this process that announce nothing: a broker's own tables.
/// - Throws: ``TimedOut``, or what `probe` threw.
@discardableResult
public func eventually<Result: Sendable>(
    within limit: Duration = .seconds(60), every pause: Duration = .milliseconds(50), _ what: String,
    _ probe: () async throws -> Result?
) async throws -> Result {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while true {
        if let result = try await probe() { return result }
        guard clock.now < end else { throw TimedOut(what: what, limit: limit) }
        try await Task.sleep(for: pause)
    }
}
