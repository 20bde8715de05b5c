internal import Glibc
internal import TestSupport

/// What happens to instances that share what one publishes, or to their broker.
enum GroupFault: String, CaseIterable, Sendable {
    case memberKilled = "one member killed (SIGKILL), started again"
    case memberFrozen = "one member frozen (SIGSTOP)"
    case brokerKilled = "broker killed (SIGKILL), started again"
    case brokerRestarted = "broker stopped, started again"
    case brokerFrozen = "broker frozen (SIGSTOP)"

    /// How many numbers are sent at the least meanwhile: for seconds where somebody must find out that nothing comes.
    var count: Int {
        switch self {
        case .memberFrozen, .brokerFrozen: 600
        case .memberKilled, .brokerKilled, .brokerRestarted: 100
        }
    }

    /// mosquitto forgets shared subscriptions whenever it ends. What is published before a member is back finds nobody, and is named.
    func mayLose(over kind: UpstreamKind) -> Bool { kind == .mqtt && [.brokerKilled, .brokerRestarted].contains(self) }

    /// mosquitto writes its memory to its disk now and then, and acknowledges before.
    func mayLoseSilently(over kind: UpstreamKind) -> Bool { kind == .mqtt && self == .brokerKilled }

    /// What the sender sends again after its own connection broke may go to another member than the first copy. What a member had taken and
    /// had not acknowledged is given out again: by RabbitMQ to another, by the others to the same, which knows what it has unless it was killed.
    func mayDouble(over kind: UpstreamKind) -> Bool { kind == .amqp || self != .memberFrozen }

    /// Returns when what was hurt is there again.
    func happen(to run: GroupRun) async throws {
        let server = run.upstream.server
        switch self {
        case .memberKilled:
            try await run.killOne()
            try await run.send(further: run.count)
            try await run.restartOne()
        case .memberFrozen:
            run.members[2].instance.process.signal(SIGSTOP)
            try await run.send(further: run.count)
            run.members[2].instance.process.signal(SIGCONT)
        case .brokerKilled:
            try await server.kill()
            try await run.send(further: run.count)
            try await server.restart()
        case .brokerRestarted:
            try await server.stop()
            try await run.send(further: run.count)
            try await server.restart()
        case .brokerFrozen:
            server.pause()
            try await run.send(further: run.count)
            server.resume()
        }
    }
}
