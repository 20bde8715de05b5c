internal import Glibc
internal import TestSupport

/// What happens between the publishers and their receivers.
enum ChaosFault: String, CaseIterable, Sendable {
    case brokerKilled = "broker killed (SIGKILL), started again"
    case brokerFrozen = "broker frozen (SIGSTOP)"
    case instanceKilled = "one instance killed (SIGKILL), started again"
    case bothKilled = "both instances killed (SIGKILL), started again"
    case instanceFrozen = "one instance frozen (SIGSTOP)"
    case clockBack = "one instance stopped, started with a clock an hour back"
    case partition = "one instance cut off (firewall drops its packets)"
    case halfOpen = "connections of one instance dead but open, then closed"
    case slowLink = "link of one instance slow (400 ms each way)"
    case connectionsClosed = "connections closed by the broker (CLIENT KILL)"
    case login = "credentials revoked, then given back"
    case memory = "broker's memory limit reached"
    case disk = "broker's disk full"
    case queueLimit = "broker's queues limited to 200 messages while one instance is frozen"
    case queueDeleted = "queues deleted"
    case exchangeDeleted = "exchange deleted"
    case streamTrimmed = "stream trimmed to nothing while one instance is frozen"
    case sessionTaken = "session taken over by a client of the same identifier"
    case failover = "primary killed, replica takes over"

    /// What the fault takes away although everybody keeps their promise.
    private enum Toll {
        case nothing
        /// Messages that only the broker had.
        case brokersMemory
        /// What only an instance had in its memory: messages, and what it knew of those that came.
        case instancesMemory
    }

    private var toll: Toll {
        switch self {
        case .brokerKilled, .brokerFrozen, .instanceFrozen, .partition, .halfOpen, .slowLink, .connectionsClosed,
            .login,
            .memory, .disk:
            .nothing
        case .queueLimit, .queueDeleted, .exchangeDeleted, .streamTrimmed, .sessionTaken: .brokersMemory
        // Replicas of Redis follow a moment behind what was acknowledged.
        case .failover: .brokersMemory
        case .instanceKilled, .bothKilled, .clockBack: .instancesMemory
        }
    }

    func mayLose(_ scenario: ChaosScenario) -> Bool {
        switch scenario.promise {
        case .named: true
        case .repaired: self.toll == .instancesMemory
        // mosquitto writes its memory to its disk now and then, and acknowledges before; without memory it drops what it acknowledged.
        case .kept:
            self.toll == .brokersMemory || (scenario.kind == .mqtt && [.brokerKilled, .memory].contains(self))
        }
    }

    /// Whether messages may be lost that nobody is left to know of.
    func mayLoseSilently(_ promise: ChaosScenario.Promise) -> Bool {
        self.toll == .instancesMemory && promise != .kept
    }

    /// An instance that is started again does not know what its predecessor had delivered before it died.
    var mayDouble: Bool { self.toll == .instancesMemory }

    /// How many numbers each publisher sends at the least meanwhile: for seconds where somebody must find out that nothing comes.
    var count: Int {
        switch self {
        case .brokerFrozen, .instanceFrozen, .partition, .halfOpen, .slowLink, .queueLimit: 600
        case .memory, .disk, .login, .failover: 300
        default: 100
        }
    }

    func canHappen(to scenario: ChaosScenario) -> Bool {
        guard scenario.place == .single else { return self == .failover }
        return switch self {
        case .brokerKilled, .brokerFrozen, .instanceKilled, .bothKilled, .instanceFrozen, .clockBack, .partition,
            .halfOpen,
            .slowLink, .login:
            true
        case .connectionsClosed: scenario.kind == .redis
        case .memory, .disk: scenario.kind != .redis || scenario.promise == .kept
        // Where the broker has no queue for who is away there is none to be limited.
        case .queueLimit: scenario.kind != .redis && scenario.promise == .kept
        case .queueDeleted, .exchangeDeleted: scenario.kind == .amqp
        case .streamTrimmed: scenario.broker == "Redis Streams"
        case .sessionTaken: scenario.kind == .mqtt
        case .failover: false
        }
    }

    /// What this machine lacks for it; nil when nothing.
    var missing: String? {
        switch self {
        case .partition where geteuid() != 0 || ChildProcess.find("iptables") == nil: "needs root and iptables"
        case .disk where geteuid() != 0: "needs root, to mount a small file system"
        case .clockBack where ChildProcess.find("faketime") == nil: "needs faketime"
        default: nil
        }
    }
}
