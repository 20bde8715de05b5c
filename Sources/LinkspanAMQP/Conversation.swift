internal import LinkspanBridgeKit
internal import Logging
internal import Synchronization

/// One conversation with the upstream: a connection to publish, one to consume, and what they share.
final class Conversation: Sendable {
    let link: BridgeLink
    let options: AMQPOptions
    private let settings: BridgeSettings
    private let publishing = LinkControl()
    private let consuming = LinkControl()
    private let meeting: Mutex<Meeting>
    private let interest = Mutex<[InterestChange]>([])
    private let connected = Atomic<Bool>(false)
    /// When the end was asked for; zero before.
    private let stoppedAt = Atomic<UInt64>(0)

    private struct Meeting {
        var awaited: Int
        var facts = UpstreamFacts()
    }

    /// The library reads tables recursively: the deepest that fits into a frame of 128 KiB needs some megabytes.
    private static let stackSize = 16 << 20

    init(link: BridgeLink, settings: BridgeSettings, options: AMQPOptions) {
        self.link = link
        self.settings = settings
        self.options = options
        self.meeting = Mutex(Meeting(awaited: (settings.sends ? 1 : 0) + (settings.receives ? 1 : 0)))
    }

    /// Converses until the upstream is lost or the task is cancelled.
    func run() async throws {
        let watch = Task { await self.watch() }
        defer { watch.cancel() }
        try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Void.self) { links in
                if self.settings.receives { links.addTask { try await self.consume() } }
                if self.settings.sends { links.addTask { try await self.publish() } }
                do {
                    while try await links.next() != nil {}
                } catch {
                    self.stop()
                    throw error
                }
            }
        } onCancel: {
            self.stop()
        }
    }

    private func consume() async throws {
        try await LinkThread.run(name: "amqp-consume", stackSize: Self.stackSize) { signal in
            let control = self.consuming
            control.started(signal)
            defer { control.detach() }
            guard let connection = try RabbitConnection.open(self.plan("consume"), signal: signal, control: control)
            else {
                return
            }
            var link = ConsumeLink(
                connection, conversation: self, signal: signal, control: control, takesWork: !self.settings.sends)
            try link.run()
        }
    }

    private func publish() async throws {
        try await LinkThread.run(name: "amqp-publish", stackSize: Self.stackSize) { signal in
            let control = self.publishing
            control.started(signal)
            defer { control.detach() }
            guard let connection = try RabbitConnection.open(self.plan("publish"), signal: signal, control: control)
            else {
                return
            }
            var link = PublishLink(connection, conversation: self, signal: signal, control: control)
            try link.run()
        }
    }

    private func plan(_ purpose: String) -> ConnectionPlan {
        ConnectionPlan(
            upstream: self.link.upstream, username: self.settings.username, password: self.settings.password,
            tls: self.settings.tls, options: self.options,
            connectionName: "linkspan \(self.settings.instance) \(self.settings.name) \(purpose)")
    }

    /// One connection is ready. With the last one the host is told, and work begins.
    func ready(product: String?, resumed: Bool, promises: [UpstreamPromise]) {
        let facts = self.meeting.withLock { meeting -> UpstreamFacts? in
            meeting.awaited -= 1
            for promise in promises { meeting.facts.promises.note(promise) }
            meeting.facts.product = meeting.facts.product ?? product
            meeting.facts.resumedSession = meeting.facts.resumedSession || resumed
            return meeting.awaited == 0 ? meeting.facts : nil
        }
        guard let facts else { return }
        let taker = self.settings.sends ? self.publishing : self.consuming
        self.link.connected(facts)
        self.link.onWork { taker.raise() }
        self.connected.store(true, ordering: .releasing)
        taker.raise()
    }

    /// Declares the exchange that all instances share.
    ///
    /// - Returns: what that shows of it.
    func declare(
        _ exchange: borrowing PinnedText, on connection: inout RabbitConnection
    ) throws(UpstreamError) -> [UpstreamPromise] {
        let options = self.options
        do throws(UpstreamError) {
            let isDeclared = try connection.declareExchange(
                exchange, isDurable: options.isExchangeDurable, isPromised: options.guarantee == .atLeastOnce)
            return BrokerPromises(options).exchange(isDeclared: isDeclared)
        } catch {
            throw self.noting(error, of: BrokerPromises.exchange)
        }
    }

    /// Notes a broken promise before it ends the conversation.
    func noting(_ error: UpstreamError, of promise: String) -> UpstreamError {
        if error.code == .promise { self.link.noted(UpstreamPromise(promise, .broken, error.message)) }
        return error
    }

    /// Binding keys of what a group does not share.
    var unsharedKeys: Set<RoutingKey> { Set(self.settings.unsharedNames.map(RoutingKey.init)) }

    /// Whether all connections are up, so that work may be taken.
    var isConnected: Bool { self.connected.load(ordering: .acquiring) }

    /// Passes interest from the connection that takes work to the one that consumes.
    func post(_ changes: [InterestChange]) {
        guard !changes.isEmpty else { return }
        self.interest.withLock { $0.append(contentsOf: changes) }
        self.consuming.raise()
    }

    func takeInterest() -> [InterestChange] {
        self.interest.withLock { interest in
            guard !interest.isEmpty else { return [] }
            defer { interest = [] }
            return interest
        }
    }

    private func stop() {
        _ = self.stoppedAt.compareExchange(expected: 0, desired: Clock.now, ordering: .relaxed)
    }

    /// Frees threads that are stuck inside the library: `amqp_basic_publish` of librabbitmq before 0.14 waits for ever on a
    /// socket that takes nothing, heartbeats notwithstanding (rabbitmq-c issue 780).
    private func watch() async {
        let patience = max(Duration.seconds(10), self.options.heartbeat * 2)
        let farewell = Duration.seconds(2).nanoseconds
        while (try? await Task.sleep(for: .milliseconds(500))) != nil {
            let now = Clock.now
            let stoppedAt = self.stoppedAt.load(ordering: .relaxed)
            for control in [self.publishing, self.consuming] {
                if stoppedAt != 0, now > stoppedAt + farewell {
                    control.cut(because: "stopped")
                } else if control.isStuck(for: patience.nanoseconds, now: now) {
                    control.cut(because: "no progress inside librabbitmq for \(patience)")
                }
            }
        }
    }
}
