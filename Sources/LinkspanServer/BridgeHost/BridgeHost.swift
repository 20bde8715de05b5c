public import LinkspanBridgeKit
public import LinkspanCore
public import Logging
internal import NIOCore
public import ServiceLifecycle
internal import Synchronization

/// Runs the bridges of one instance: one conversation per rule, supervised.
///
/// Make it first, give it to the server as its ``BridgePlane``, ``attach(_:)`` the server's broker, then run both; in a `ServiceGroup` list the host before the
/// server, so that it stops after it and still sends what the last clients published. `server.listen(after: host.untilOpen)` lets no client in when the host
/// refuses to start.
public final class BridgeHost: BridgePlane, Service {
    /// How long an orderly stop waits for upstreams to take what is buffered.
    public static let defaultDrainLimit = Duration.seconds(5)

    /// How long a bridge may take to say good-bye before it is left behind.
    private static let farewellLimit = Duration.seconds(3)

    let runners: [BridgeRunner]
    private let pressure = BackPressure()
    private let clock: HostClock
    private let logger: Logger
    private let drainLimit: Duration
    private let acceptor = Mutex<(any IngressAcceptor)?>(nil)
    private let opening = Settlement<Void>()

    /// Constructs every bridge; touches no network.
    ///
    /// - Parameter bridges: the kinds that rules may name.
    /// - Throws: ``ConfigurationError`` with everything that is wrong with the rules, their upstreams and their templates.
    public convenience init(
        settings: LinkspanSettings, bridges: [any Bridge.Type], drainLimit: Duration = BridgeHost.defaultDrainLimit,
        logger: Logger
    ) throws(ConfigurationError) {
        try self.init(settings: settings, bridges: bridges, drainLimit: drainLimit, clock: .system, logger: logger)
    }

    package init(
        settings: LinkspanSettings, bridges: [any Bridge.Type], drainLimit: Duration, clock: HostClock,
        reach: @escaping @Sendable (UpstreamURL) async -> Bool = { await TCPReach.accepts($0) }, logger: Logger
    ) throws(ConfigurationError) {
        let life = InstanceLife(
            instance: settings.instance.id, epoch: clock.wallMilliseconds(), nonce: .random(in: 1 ... .max))
        self.runners = try BridgePlanner.plans(for: settings, bridges: bridges).map { [pressure] plan in
            BridgeRunner(
                plan: plan, settings: settings, life: life, pressure: pressure, clock: clock, reach: reach,
                logger: logger)
        }
        self.clock = clock
        self.logger = logger
        self.drainLimit = drainLimit
        for runner in self.runners {
            runner.ways.withLock {
                $0 = RepairWays(
                    ask: { [weak self] in self?.ask($0, for: $1) },
                    answer: { [weak self] in self?.answer($0, heardBy: $1) })
            }
        }
    }

    /// Finds everything that is wrong with the bridges of `settings`, offline.
    public static func check(_ settings: LinkspanSettings, bridges: [any Bridge.Type]) throws(ConfigurationError) {
        _ = try BridgePlanner.plans(for: settings, bridges: bridges)
    }

    /// Says who takes what the bridges receive; call it once, before ``run()``.
    public func attach(_ acceptor: any IngressAcceptor) {
        self.acceptor.withLock { $0 = acceptor }
    }

    /// All bridges in the order of the settings, at this moment.
    public var statuses: [BridgeStatus] { self.runners.map(\.status) }

    /// Returns when ``run()`` has all that it can refuse to start without: the disk buffers.
    /// - Throws: what ``run()`` throws, or `CancellationError` when the task is cancelled.
    public func untilOpen() async throws { try await self.opening.value }

    // MARK: BridgePlane

    public var backPressure: BackPressure? { self.pressure }

    public var hasReceipts: Bool { self.runners.contains { $0.plan.rule.ack != .local } }

    public func awaitedBridges(of channel: ChannelName) -> [AwaitedBridge] {
        guard !channel.isReserved else { return [] }
        return self.runners.map(\.plan).filter { $0.rule.ack != .local && $0.carriesOut(channel) }.map { plan in
            AwaitedBridge(index: plan.index, name: plan.rule.name, level: plan.rule.ack)
        }
    }

    public func blockers(of channel: ChannelName) -> UInt64 {
        guard !channel.isReserved else { return 0 }
        return self.runners.lazy.map(\.plan).filter { $0.rule.buffer.whenFull == .block && $0.carriesOut(channel) }
            .reduce(0) { $0 | $1.index.bit }
    }

    public func egressRoutes(for channel: ChannelName) -> [EgressRoute] {
        guard !channel.isReserved else { return [] }
        return self.runners.lazy.map(\.plan).filter { $0.carriesOut(channel) }.map { plan in
            EgressRoute(bridge: plan.index, name: plan.template.encode(channel), transit: plan.transit)
        }
    }

    public func offer(_ batch: [EgressOffer], to bridge: BridgeIndex) -> (@Sendable () -> Void)? {
        self.runners[bridge.value].offer(batch)
    }

    public func channelSubscribed(_ channel: ChannelName) {
        guard !channel.isReserved else { return }
        for runner in self.runners where runner.plan.selector.contains(channel) {
            runner.channelSubscribed(channel)
        }
    }

    public func channelUnsubscribed(_ channel: ChannelName) {
        guard !channel.isReserved else { return }
        for runner in self.runners where runner.plan.selector.contains(channel) {
            runner.channelUnsubscribed(channel)
        }
    }

    public func gapTerms(for bridge: BridgeIndex) -> GapTerms { self.runners[bridge.value].plan.gapTerms }

    public func noteGaps(_ events: [GapEvent], of bridge: BridgeIndex) {
        self.runners[bridge.value].noteGaps(events)
    }

    public func settleHeld(_ tally: IngressTally, of bridge: BridgeIndex) {
        self.runners[bridge.value].settleHeld(tally)
    }

    public func channelsQuiet(_ marks: [SequenceMark], on bridge: BridgeIndex) {
        self.runners[bridge.value].channelsQuiet(marks)
    }

    // MARK: Service

    /// Runs all bridges until graceful shutdown or cancellation, then stops them in order and within bounds: buffers drain for up to the drain limit, then every
    /// conversation says good-bye.
    /// - Precondition: ``attach(_:)`` was called.
    /// - Throws: ``BufferFolderError`` when a disk buffer cannot be used: its folder, or another process that has it.
    public func run() async throws {
        guard let acceptor = self.acceptor.withLock({ $0 }) else {
            preconditionFailure("attach an IngressAcceptor before running the bridge host")
        }
        let storages = try await self.openStorages()
        for runner in self.runners { await runner.openJournal() }
        let bridges = self.runners.map { SupervisedBridge($0, acceptor: acceptor) }
        let ticker = Task { await self.tick() }
        do {
            try await gracefulShutdown()
            await self.drain()
        } catch {
            self.logger.debug("Bridges are cancelled; buffers do not drain")
        }
        ticker.cancel()
        // Its own task: it must end in order even when this one is cancelled.
        await Task {
            await self.stop(bridges)
            await self.close(storages)
            for runner in self.runners { await runner.closeJournal() }
        }.value
    }

    private func openStorages() async throws -> [RunningStorage] {
        let storages = self.runners.compactMap { $0.startStorage() }
        do {
            for storage in storages { try await storage.untilOpen() }
        } catch {
            await self.close(storages)
            self.opening.settle(.failure(error))
            throw error
        }
        self.opening.settle(.success(()))
        return storages
    }

    private func close(_ storages: [RunningStorage]) async {
        await self.within(Self.farewellLimit) {
            for storage in storages { await storage.close() }
        }
    }

    private func drain() async {
        let draining = self.runners.filter(\.mayDrain)
        await self.within(self.drainLimit) {
            await withTaskGroup(of: Void.self) { group in
                for runner in draining { group.addTask { await runner.drain() } }
            }
        }
    }

    private func stop(_ bridges: [SupervisedBridge]) async {
        for bridge in bridges { bridge.task.cancel() }
        await self.within(Self.farewellLimit) {
            for bridge in bridges { await bridge.ended.wait() }
        }
        for bridge in bridges where bridge.runner.status.state != .stopped {
            bridge.runner.leaveBehind()
        }
    }

    private func within(_ limit: Duration, _ body: @escaping @Sendable () async -> Void) async {
        let clock = self.clock
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await body() }
            group.addTask { try? await clock.sleep(limit) }
            await group.next()
            group.cancelAll()
        }
    }

    /// One timer for all that is due by the clock, at a quarter of the shortest linger, age or time between probes.
    private func tick() async {
        let spans = self.runners.map(\.plan.rule).flatMap { rule in
            [rule.linger, rule.buffer.age ?? .seconds(4), rule.probe?.every ?? .seconds(4)]
        }
        let pause = min(max((spans.min() ?? .seconds(4)) / 4, .milliseconds(10)), .seconds(1))
        while !Task.isCancelled {
            try? await self.clock.sleep(pause)
            for runner in self.runners { runner.tick() }
        }
    }
}

/// One bridge under way. Its task is not a child of the host's: a bridge that ignores cancellation must not keep the host from stopping.
private struct SupervisedBridge: Sendable {
    let runner: BridgeRunner
    let task: Task<Void, Never>
    let ended: OneShot

    init(_ runner: BridgeRunner, acceptor: any IngressAcceptor) {
        let ended = OneShot()
        self.runner = runner
        self.ended = ended
        self.task = Task {
            await runner.supervise(acceptor: acceptor)
            ended.fire()
        }
    }
}
