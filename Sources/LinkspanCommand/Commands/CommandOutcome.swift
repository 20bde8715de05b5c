/// Runs a client until somebody knows how the command ends.
enum CommandOutcome {
    static func first(_ body: @escaping @Sendable (@escaping @Sendable (ExitStatus) -> Void) async -> Void) async
        -> ExitStatus
    {
        let (outcomes, continuation) = AsyncStream.makeStream(of: ExitStatus.self, bufferingPolicy: .bufferingOldest(1))
        let task = Task {
            await body { continuation.yield($0) }
            continuation.finish()
        }
        var status = ExitStatus.failure
        for await outcome in outcomes {
            status = outcome
            break
        }
        task.cancel()
        return status
    }
}
