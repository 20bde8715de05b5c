internal import LinkspanBridgeKit

/// What `at_least_once` rests on at an AMQP broker, as far as the broker shows it. A declaration that it accepts is its word: it refuses
/// one that differs from what is there (AMQP 0-9-1, 1.7.2.1 and 1.6.2.1).
struct BrokerPromises {
    static let exchange = "exchange"
    static let queue = "queue"

    private let options: AMQPOptions

    init(_ options: AMQPOptions) {
        self.options = options
    }

    private var isNeeded: Bool { self.options.guarantee == .atLeastOnce }

    /// - Parameter isDeclared: false when we may not declare it and only looked whether it is there.
    func exchange(isDeclared: Bool) -> [UpstreamPromise] {
        guard self.isNeeded else { return [] }
        return [
            isDeclared
                ? UpstreamPromise(Self.exchange, .kept, "the broker took its declaration as durable")
                : UpstreamPromise(
                    Self.exchange, .assumed,
                    "it is there, but we may not declare it, which would show whether it is durable")
        ]
    }

    func consuming() -> [UpstreamPromise] {
        guard self.isNeeded else { return [] }
        let type = self.options.isQuorum ? "quorum" : "classic"
        let consumers =
            self.options.groupQueue.map { "the instances that name the group share it: \($0)" }
            ?? "nobody else consumes it"
        return [
            UpstreamPromise(
                Self.queue, .kept, "the broker took its declaration as durable (\(type)), and \(consumers)"),
            UpstreamPromise(
                "queue_limits", .assumed,
                "a policy of the broker that bounds queues or messages cannot be seen over AMQP"),
        ]
    }

    func publishing() -> [UpstreamPromise] {
        guard self.isNeeded else { return [] }
        return [
            UpstreamPromise("confirms", .kept, "the broker answers each publish when its queues have it"),
            self.options.isMandatory
                ? UpstreamPromise(
                    "routing", .kept, "what no queue is bound for comes back, and is counted as unroutable")
                : UpstreamPromise(
                    "routing", .assumed, "the broker confirms what no queue is bound for too; mandatory: true tells it"),
        ]
    }
}
