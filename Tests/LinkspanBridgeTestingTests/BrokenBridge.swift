import LinkspanBridgeKit
import LinkspanBridgeTesting
import NIOCore
import Synchronization

/// One way to break the contract of a bridge, and the check that must find it.
enum Fault: String, CaseIterable, Sendable {
    case connectsTwice, takesWorkBeforeConnecting, duplicates, reorders, losesEveryHundredth, manglesPayload,
        dropsHeader
    case inventsHeader, dropsEmptyPayload, cutsNames, confirmsWhatItNeverSent, confirmsTwice, neverConfirms,
        losesUnsubscribes
    case doublesOverlaps, receivesNeighbours, ignoresPrefixes, neverSettles, losesWakeUps, readsOnWithoutBackpressure
    case sharesNothing, sharesEverything, staysInGroup
    case hangsOnCancel, throwsOnCancel, diesOnRestart, claimsToResume, acceptsAnyPassword, hangsWhenUnreachable,
        saysLostWhenUnreachable

    var expectedCheck: BridgeCheck {
        switch self {
        case .connectsTwice, .takesWorkBeforeConnecting: .connects
        case .duplicates, .reorders, .losesEveryHundredth: .delivers
        case .manglesPayload, .dropsEmptyPayload: .payloads
        case .dropsHeader, .inventsHeader: .header
        case .cutsNames: .names
        case .confirmsWhatItNeverSent, .confirmsTwice, .neverConfirms: .confirms
        case .losesUnsubscribes: .unsubscribes
        case .doublesOverlaps: .overlappingFilters
        case .receivesNeighbours, .neverSettles: .exactFilter
        case .ignoresPrefixes: .prefixFilter
        case .losesWakeUps: .wakes
        case .readsOnWithoutBackpressure: .backpressure
        case .sharesNothing, .sharesEverything, .staysInGroup: .shares
        case .hangsOnCancel, .throwsOnCancel: .cancels
        case .diesOnRestart: .restarts
        case .claimsToResume: .resumes
        case .acceptsAnyPassword: .wrongPassword
        case .hangsWhenUnreachable, .saysLostWhenUnreachable: .unreachable
        }
    }

    /// Part of the finding, so that a check that fails for another reason is seen.
    var expectedWords: String {
        switch self {
        case .connectsTwice: "2 times"
        case .takesWorkBeforeConnecting: "before connected"
        case .duplicates: "2002 arrived"
        case .reorders: "out of order"
        case .losesEveryHundredth: "did not arrive"
        case .manglesPayload: "and received"
        case .dropsEmptyPayload: "arrived"
        case .dropsHeader: "received none"
        case .inventsHeader: "sent no header"
        case .cutsNames: "under the name"
        case .confirmsWhatItNeverSent: "and 1 of them arrived"
        case .confirmsTwice: "confirmed before"
        case .neverConfirms: "in flight"
        case .losesUnsubscribes: "not expected"
        case .doublesOverlaps: "sent once"
        case .receivesNeighbours: "to which nothing was subscribed"
        case .ignoresPrefixes: "below the prefix"
        case .neverSettles: "to settle"
        case .losesWakeUps: "not taken"
        case .readsOnWithoutBackpressure: "were under way"
        case .hangsOnCancel: "had not returned"
        case .throwsOnCancel: "threw"
        case .sharesNothing: "were sent once"
        case .sharesEverything: "every member has to hear"
        case .staysInGroup: "did not arrive"
        case .diesOnRestart: "further connection"
        case .claimsToResume: "did not arrive"
        case .acceptsAnyPassword: "neither returned nor threw"
        case .hangsWhenUnreachable: "neither returned nor threw"
        case .saysLostWhenUnreachable: "expected unreachable"
        }
    }
}

/// A loopback bridge whose link is tampered with.
final class BrokenBridge: Bridge {
    static let kind = LoopbackBridge.kind
    static let schemes = LoopbackBridge.schemes
    static let options = LoopbackBridge.options
    static let defaultNameTemplate = LoopbackBridge.defaultNameTemplate
    static let nameRules = LoopbackBridge.nameRules

    let carriesHeader = true
    private let bridge: LoopbackBridge
    private let fault: Fault
    private let hasRun = Atomic<Bool>(false)
    fileprivate let hasLeft = Atomic<Bool>(false)

    let groupSupport = GroupSupport.byName

    init(_ settings: BridgeSettings, fault: Fault) throws(ConfigurationError) {
        var settings = settings
        if fault == .sharesNothing { settings.consumerGroup = nil }
        if fault == .sharesEverything { settings.unsharedNames = [] }
        self.bridge = try LoopbackBridge(settings: settings)
        self.fault = fault
    }

    init(settings: BridgeSettings) throws(ConfigurationError) {
        self.bridge = try LoopbackBridge(settings: settings)
        self.fault = .duplicates
    }

    func run(on link: BridgeLink) async throws {
        let isRestart = self.hasRun.exchange(true, ordering: .relaxed)
        if self.fault == .diesOnRestart, isRestart { throw UpstreamError(.lost, "never again") }
        if self.fault == .takesWorkBeforeConnecting { _ = link.takeWork(upTo: 1) }
        let tampered = BridgeLink(
            logger: link.logger, upstream: link.upstream, host: TamperedLink(link, fault: self.fault, bridge: self))
        if self.fault == .staysInGroup {
            Task.detached { try await self.bridge.run(on: tampered) }
            await untilCancelled()
            self.hasLeft.store(true, ordering: .relaxed)
            return
        }
        do {
            try await self.bridge.run(on: tampered)
        } catch {
            if self.fault == .hangsWhenUnreachable { await forever() }
            if self.fault == .saysLostWhenUnreachable { throw UpstreamError(.lost, "gone") }
            throw error
        }
        if self.fault == .hangsOnCancel { await forever() }
        if self.fault == .throwsOnCancel { throw UpstreamError(.lost, "left") }
    }
}

private func untilCancelled() async {
    let (stream, continuation) = AsyncStream.makeStream(of: Never.self)
    for await _ in stream {}
    continuation.finish()
}

private func forever() async {
    // A detached task does not see the cancellation.
    await Task.detached { await untilCancelled() }.value
}

/// Stands between a bridge and its host and breaks one thing.
private final class TamperedLink: BridgeLinkHost {
    private struct State {
        var wakes = 0
        var delivered = 0
        var withheld: IngressMessage?
    }

    private let link: BridgeLink
    private let fault: Fault
    private let state = Mutex(State())
    private let bridge: BrokenBridge

    init(_ link: BridgeLink, fault: Fault, bridge: BrokenBridge) {
        self.link = link
        self.fault = fault
        self.bridge = bridge
    }

    func connected(_ facts: UpstreamFacts) {
        var facts = facts
        if self.fault == .claimsToResume { facts.resumedSession = true }
        self.link.connected(facts)
        if self.fault == .connectsTwice { self.link.connected(facts) }
    }

    func noted(_ promise: UpstreamPromise) { self.link.noted(promise) }

    func reviewed(_ promises: [UpstreamPromise]) { self.link.reviewed(promises) }

    func onWork(_ wake: @escaping @Sendable () -> Void) {
        self.link.onWork {
            let count = self.state.withLock { state in
                state.wakes += 1
                return state.wakes
            }
            if self.fault == .losesWakeUps, count % 5 == 0 { return }
            wake()
        }
    }

    func takeWork(upTo limit: Int) -> LinkWork {
        var work = self.link.takeWork(upTo: limit)
        work.interest = work.interest.compactMap { change in
            switch (self.fault, change) {
            case (.losesUnsubscribes, .unsubscribe(.exact(let name))) where name.hasSuffix("left"): nil
            case (.receivesNeighbours, .subscribe(.exact(let name))): .subscribe(.prefix(name))
            case (.ignoresPrefixes, .subscribe(.prefix(let name))): .subscribe(.exact(name))
            default: change
            }
        }
        if self.fault == .neverSettles { work.interest = [] }
        if self.fault == .confirmsWhatItNeverSent {
            let sent = work.egress.filter { String(buffer: $0.payload) == "\"end\"" }
            let lost = work.egress.filter { String(buffer: $0.payload) != "\"end\"" }
            for message in lost { self.link.confirm(message.ticket...message.ticket) }
            work.egress = sent
        }
        return work
    }

    func confirm(_ tickets: ClosedRange<UInt64>) {
        if self.fault == .neverConfirms { return }
        self.link.confirm(tickets)
        if self.fault == .confirmsTwice { self.link.confirm(tickets) }
    }

    func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {
        self.link.refuse(ticket, reason)
    }

    func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void) {
        if self.fault == .staysInGroup, self.bridge.hasLeft.load(ordering: .relaxed) { return whenTaken() }
        let messages = self.tamper(messages)
        if self.fault == .readsOnWithoutBackpressure {
            self.link.deliver(messages) {}
            whenTaken()
        } else {
            self.link.deliver(messages, whenTaken: whenTaken)
        }
    }

    func interestSettled(_ filter: UpstreamFilter, accepted: Bool) {
        let asked: UpstreamFilter =
            switch (self.fault, filter) {
            case (.receivesNeighbours, .prefix(let name)): .exact(name)
            case (.ignoresPrefixes, .exact(let name)): .prefix(name)
            default: filter
            }
        self.link.interestSettled(asked, accepted: accepted)
        if self.fault == .ignoresPrefixes { self.link.interestSettled(filter, accepted: accepted) }
    }

    private func tamper(_ messages: [IngressMessage]) -> [IngressMessage] {
        switch self.fault {
        case .duplicates:
            messages.flatMap { [$0, $0] }
        case .doublesOverlaps:
            messages.flatMap { $0.name.contains("deep") ? [$0, $0] : [$0] }
        case .reorders:
            messages.count > 1 ? messages.reversed() : messages
        case .losesEveryHundredth:
            self.state.withLock { state in
                messages.filter { _ in
                    state.delivered += 1
                    return state.delivered % 100 != 0
                }
            }
        case .manglesPayload:
            messages.map { message in
                var message = message
                message.payload = ByteBuffer(string: String(buffer: message.payload))
                return message
            }
        case .dropsEmptyPayload:
            messages.filter { $0.payload.readableBytes > 0 }
        case .dropsHeader:
            messages.map { IngressMessage(name: $0.name, payload: $0.payload) }
        case .inventsHeader:
            messages.map { message in
                let origin = Origin(instance: InstanceID("invented")!, epoch: 1, sequence: 1)
                let header = message.header ?? EnvelopeHeader(origin: origin, hops: [], acceptedAt: 0)
                return IngressMessage(name: message.name, payload: message.payload, header: header)
            }
        case .cutsNames:
            messages.map { message in
                IngressMessage(
                    name: String(decoding: message.name.utf8.prefix(200), as: UTF8.self), payload: message.payload,
                    header: message.header)
            }
        default:
            messages
        }
    }
}
