import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import Synchronization
import TestSupport

/// A bridge that does what its test says: each run is handed to the test through ``ScriptedUpstream/runs``.
struct ScriptedBridge: Bridge {
    static let kind = "scripted"
    static let schemes = ["scripted": 1]
    static let options = [
        OptionDeclaration("header", .boolean, default: "true", "Whether it carries headers."),
        OptionDeclaration("stubborn", .boolean, default: "false", "Whether it ignores being cancelled."),
    ]
    static let defaultNameTemplate = "sc/{channel}"
    static let nameRules = NameRules(reserved: Set("#".utf8), escapesControls: true, lengthLimit: 64)

    let settings: BridgeSettings
    var carriesHeader: Bool { self.settings.boolean("header") }
    var takesPrefixes: Bool { self.settings.username != "exact" }
    var groupSupport: GroupSupport {
        switch self.settings.username {
        case "alone": .none
        case "whole": .whole
        default: .byName
        }
    }

    init(settings: BridgeSettings) throws(ConfigurationError) {
        if settings.username == "nobody" {
            throw ConfigurationError([
                .init(path: "\(settings.optionsPath).header", message: "first fault"),
                .init(path: "\(settings.optionsPath).stubborn", message: "second fault"),
            ])
        }
        self.settings = settings
    }

    func run(on link: BridgeLink) async throws {
        let run = ScriptedRun(link: link, settings: self.settings)
        ScriptedUpstream.named(link.upstream.host).runs.append(run)
        if self.settings.boolean("stubborn") {
            try await Task { try await run.ended() }.value
        } else {
            try await run.ended()
        }
        run.farewells.append(Task.isCancelled)
    }
}

/// One call of ``ScriptedBridge/run(on:)``.
final class ScriptedRun: Sendable {
    let link: BridgeLink
    let settings: BridgeSettings
    /// Whether the run had been cancelled when it returned.
    let farewells = EventLog<Bool>()
    private let ending = AsyncThrowingStream.makeStream(of: Void.self, throwing: (any Error).self)

    init(link: BridgeLink, settings: BridgeSettings) {
        self.link = link
        self.settings = settings
    }

    func fail(_ code: UpstreamError.Code, _ message: String) {
        self.ending.continuation.finish(throwing: UpstreamError(code, message))
    }

    fileprivate func ended() async throws {
        for try await _ in self.ending.stream {}
    }
}

/// The runs of all scripted bridges with one host name in their URL.
final class ScriptedUpstream: Sendable {
    private static let all = Mutex<[String: ScriptedUpstream]>([:])
    let runs = EventLog<ScriptedRun>()

    static func named(_ name: String) -> ScriptedUpstream {
        self.all.withLock { all in
            let upstream = all[name] ?? ScriptedUpstream()
            all[name] = upstream
            return upstream
        }
    }

    func run(_ index: Int) async throws -> ScriptedRun {
        try await self.runs.first(from: index, "a run").event
    }
}

/// Stands for the channel owners: judges as they do, keeps what they would fan out, and takes batches at once or when told.
final class RecordingAcceptor: IngressAcceptor {
    private struct State {
        var windows: [ChannelName: OriginWindows] = [:]
        var held: [@Sendable () -> Void] = []
    }

    let delivered = EventLog<Envelope>()
    let hopLimits = EventLog<Int>()
    let marks = EventLog<SequenceMark>()
    private let hopGuard: HopGuard
    private let holds: Bool
    private let state = Mutex(State())

    init(instance: InstanceID, holds: Bool = false) {
        self.hopGuard = HopGuard(instance: instance)
        self.holds = holds
    }

    func accept(
        _ batch: [IngressEnvelope], from bridge: BridgeIndex, hopLimit: Int,
        taken: @escaping @Sendable (IngressTally) -> Void
    ) {
        self.hopLimits.append(hopLimit)
        // One lock from verdict to delivery, as an owner has one loop: bridges with the same channels arrive on threads of their own.
        let tally = self.state.withLock { state in
            var tally = IngressTally()
            for envelope in batch.map(\.envelope) { self.judge(envelope, hopLimit: hopLimit, &state, &tally) }
            if self.holds { state.held.append { [tally] in taken(tally) } }
            return tally
        }
        if !self.holds { taken(tally) }
    }

    func accept(_ marks: [SequenceMark], sender: InstanceID, from bridge: BridgeIndex) {
        for mark in marks { self.marks.append(mark) }
    }

    /// Takes all batches that were held back.
    func takeAll() {
        for taken in self.state.withLock({ state in
            defer { state.held = [] }
            return state.held
        }) { taken() }
    }

    private func judge(_ envelope: Envelope, hopLimit: Int, _ state: inout State, _ tally: inout IngressTally) {
        guard let header = envelope.header else { return self.deliver(envelope, &tally) }
        switch self.hopGuard.judge(header, limit: hopLimit) {
        case .looped: tally.looped += 1
        case .tooManyHops: tally.tooManyHops += 1
        case .passes:
            switch state.windows[envelope.channel, default: OriginWindows()].judge(
                header.origin, at: .uptimeNanoseconds(0))
            {
            case .duplicate: tally.duplicate += 1
            case .late:
                tally.late += 1
                self.deliver(envelope, &tally)
            case .fresh: self.deliver(envelope, &tally)
            }
        }
    }

    private func deliver(_ envelope: Envelope, _ tally: inout IngressTally) {
        tally.delivered += 1
        self.delivered.append(envelope)
    }
}

/// Time that the test moves; every sleep is announced once it can be ended by moving the clock.
final class HostTime: Sendable {
    let sleeps = EventLog<Duration>()
    private let clock = ManualClock()

    var hostClock: HostClock {
        HostClock(
            now: { .uptimeNanoseconds(0) + TimeAmount(self.clock.now.offset) }, wallMilliseconds: { 1_795_216_176_123 },
            sleep: { duration in
                let deadline = self.clock.now.advanced(by: duration)
                self.sleeps.append(duration)
                try await self.clock.sleep(until: deadline, tolerance: nil)
            })
    }

    func advance(by duration: Duration) {
        self.clock.advance(by: duration)
    }

    /// Ends the next retry pause after the sleep with `index`, and says how long it was and where the search goes on.
    func skipRetry(from index: Int = 0) async throws -> (delay: Duration, next: Int) {
        let found = try await self.sleeps.first(from: index, "a retry pause") {
            $0 != Self.tick && $0 != Self.look
        }
        self.advance(by: found.event)
        return (found.event, found.index + 1)
    }

    /// Runs `body` when the host's own timer has come round.
    func afterTick(_ body: () -> Void) async throws {
        _ = try await self.sleeps.first("a pause of the host's timer") { $0 == Self.tick }
        let count = self.sleeps.events.count { $0 == Self.tick }
        self.advance(by: Self.tick)
        _ = try await eventually("a tick") { self.sleeps.events.count { $0 == Self.tick } > count ? true : nil }
        body()
    }

    /// Pauses of the host's own timer with the settings' default linger.
    static let tick = Duration.seconds(1)
    /// Pauses between looks for a preferred URL with the rule's default.
    static let look = Duration.seconds(30)
}

extension InstanceID {
    static let own = InstanceID("own-1")!
    static let other = InstanceID("other-1")!
}

extension EnvelopeHeader {
    static func test(
        _ instance: InstanceID = .own, sequence: UInt64 = 1, hops: [InstanceID]? = nil
    ) -> EnvelopeHeader {
        EnvelopeHeader(
            origin: Origin(instance: instance, epoch: 1, sequence: sequence), hops: hops ?? [instance], acceptedAt: 7)
    }
}

extension EgressOffer {
    static func test(
        _ data: String, name: String? = "sc/a", sequence: UInt64 = 1, hops: [InstanceID]? = nil
    ) -> EgressOffer {
        EgressOffer(name: name, data: ByteBuffer(string: data), header: .test(sequence: sequence, hops: hops))
    }
}

extension LinkspanSettings {
    /// One scripted bridge `b` per host name; each takes and sends everything.
    static func scripted(_ hosts: String..., options: [String: Bool] = [:], rule: (inout BridgeRule) -> Void = { _ in })
        -> LinkspanSettings
    {
        var upstream = UpstreamSettings(
            type: "scripted", urls: hosts.map { UpstreamURL(scheme: "scripted", host: $0, port: 1) },
            optionsPath: "brokers.u.scripted")
        for option in ["header", "stubborn"] {
            upstream.options[option] = .boolean(options[option] ?? (option == "header"))
        }
        var bridge = BridgeRule(name: "b", upstream: "u")
        bridge.probe = nil
        rule(&bridge)
        return LinkspanSettings(
            instance: InstanceSettings(id: .own), upstreams: ["u": upstream], bridges: [bridge])
    }
}

/// A host under way, with everything around it in the test's hand.
struct HostUnderTest {
    let host: BridgeHost
    let time = HostTime()
    let acceptor: RecordingAcceptor
    let upstream: ScriptedUpstream
    /// Hosts of URLs whose addresses accept connections.
    let reachable = EventLog<String>()

    init(_ settings: LinkspanSettings, upstream: String, holds: Bool = false, drainLimit: Duration = .seconds(5)) throws
    {
        self.host = try BridgeHost(
            settings: settings, bridges: [ScriptedBridge.self], drainLimit: drainLimit, clock: self.time.hostClock,
            reach: { [reachable] url in reachable.events.contains(url.host) },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        self.acceptor = RecordingAcceptor(instance: .own, holds: holds)
        self.upstream = .named(upstream)
        self.host.attach(self.acceptor)
    }

    var status: BridgeStatus { self.host.statuses[0] }
    var isBalanced: Bool { self.status.egress.isBalanced && self.status.ingress.isBalanced }

    /// Runs the host while `body` runs, then cancels it and waits for its end.
    func running(_ body: @Sendable (HostUnderTest) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.host.run() }
            defer { group.cancelAll() }
            try await body(self)
        }
    }

    /// A run that the upstream accepted.
    func connected(_ index: Int = 0) async throws -> ScriptedRun {
        let run = try await self.upstream.run(index)
        run.link.connected(UpstreamFacts(product: "script"))
        return run
    }

    /// What a bridge finds to send, once there is something.
    func work(of run: ScriptedRun) async throws -> [EgressMessage] {
        let work = EventLog<[EgressMessage]>()
        run.link.onWork {
            // Not inside the call that wakes: that must not call back.
            Task {
                let messages = run.link.takeWork(upTo: 100).egress
                if !messages.isEmpty { work.append(messages) }
            }
        }
        return try await work.first("work for the upstream").event
    }

    func offer(_ offers: EgressOffer...) {
        self.host.offer(offers, to: BridgeIndex(0))?()
    }
}

extension [InterestChange] {
    /// Without what every bridge that receives subscribes to for itself.
    var ofChannels: [InterestChange] {
        self.filter { change in
            switch change {
            case .subscribe(let filter), .unsubscribe(let filter): filter != .exact("sc/$linkspan/marks")
            }
        }
    }
}

extension LinkWork {
    /// Without what instances tell each other: when that comes is a matter of time.
    var messages: [EgressMessage] { self.egress.filter { !$0.name.hasPrefix("sc/$linkspan/") } }

    var texts: [String] { self.egress.map { String(buffer: $0.payload) } }
}

/// A name of its own for each test, since upstreams live as long as the process.
func uniqueUpstream(_ test: String = #function) -> String {
    "\(test.utf8.reduce(UInt64(5381)) { $0 &* 33 &+ UInt64($1) })-\(UInt64.random(in: 0 ... .max))"
}
