import LinkspanBridgeKit
import Logging
import NIOCore
import Synchronization
import TestSupport

@testable import LinkspanMQTT

/// What a bridge told its host, in order.
enum HostEvent: Sendable {
    case connected(UpstreamFacts)
    case noted(UpstreamPromise)
    case confirmed(ClosedRange<UInt64>)
    case refused(UInt64, EgressRefusal)
    case arrived(IngressMessage)
    case settled(UpstreamFilter, accepted: Bool)
    case ended(UpstreamError?)
}

/// The host's side of one bridge, driven by a test.
final class TestHost: BridgeLinkHost {
    private struct State {
        var interest: [InterestChange] = []
        var egress: [EgressMessage] = []
        var wake: (@Sendable () -> Void)?
        var isArmed = true
        var ticket: UInt64 = 0
        var holdsBatches = false
        var heldBatches: [@Sendable () -> Void] = []
        var largestTake = 0
        var eventLoop: (any EventLoop)?
        var strayCount = 0
    }

    let events = EventLog<HostEvent>()
    private let state = Mutex(State())

    // MARK: What a test does

    func subscribe(_ filters: UpstreamFilter...) {
        self.offer(interest: filters.map { .subscribe($0) })
    }

    func unsubscribe(_ filters: UpstreamFilter...) {
        self.offer(interest: filters.map { .unsubscribe($0) })
    }

    @discardableResult
    func publish(_ name: String, _ payload: String, header: EnvelopeHeader? = nil) -> UInt64 {
        self.publish(name, ByteBuffer(string: payload), header: header)
    }

    @discardableResult
    func publish(_ name: String, _ payload: ByteBuffer, header: EnvelopeHeader? = nil) -> UInt64 {
        let (ticket, wake) = self.state.withLock { state in
            state.ticket += 1
            state.egress.append(EgressMessage(ticket: state.ticket, name: name, payload: payload, header: header))
            return (state.ticket, Self.disarm(&state))
        }
        wake?()
        return ticket
    }

    /// From now on batches count as taken only after ``takeHeldBatches()``.
    func holdBatches() { self.state.withLock { $0.holdsBatches = true } }

    func takeHeldBatches() {
        let held = self.state.withLock { state in
            state.holdsBatches = false
            defer { state.heldBatches = [] }
            return state.heldBatches
        }
        for taken in held { taken() }
    }

    /// From now on counts what is asked and delivered anywhere else.
    func expectCalls(on eventLoop: any EventLoop) { self.state.withLock { $0.eventLoop = eventLoop } }

    var strayCount: Int { self.state.withLock { $0.strayCount } }
    var heldBatchCount: Int { self.state.withLock { $0.heldBatches.count } }
    var largestTake: Int { self.state.withLock { $0.largestTake } }

    private func offer(interest: [InterestChange]) {
        let wake = self.state.withLock { state in
            state.interest += interest
            return Self.disarm(&state)
        }
        wake?()
    }

    private static func disarm(_ state: inout State) -> (@Sendable () -> Void)? {
        guard state.isArmed else { return nil }
        state.isArmed = false
        return state.wake
    }

    // MARK: What the bridge does

    func connected(_ facts: UpstreamFacts) { self.events.append(.connected(facts)) }

    func noted(_ promise: UpstreamPromise) { self.events.append(.noted(promise)) }

    func reviewed(_ promises: [UpstreamPromise]) {
        for promise in promises { self.events.append(.noted(promise)) }
    }

    func onWork(_ wake: @escaping @Sendable () -> Void) {
        let hasWork = self.state.withLock { state in
            state.wake = wake
            return !state.egress.isEmpty || !state.interest.isEmpty
        }
        if hasWork { wake() }
    }

    func takeWork(upTo limit: Int) -> LinkWork {
        self.state.withLock { state in
            if state.eventLoop?.inEventLoop == false { state.strayCount += 1 }
            let count = min(limit, state.egress.count)
            let work = LinkWork(interest: state.interest, egress: Array(state.egress.prefix(count)))
            state.interest = []
            state.egress.removeFirst(count)
            state.isArmed = count < limit
            state.largestTake = max(state.largestTake, count)
            return work
        }
    }

    func confirm(_ tickets: ClosedRange<UInt64>) { self.events.append(.confirmed(tickets)) }

    func refuse(_ ticket: UInt64, _ reason: EgressRefusal) { self.events.append(.refused(ticket, reason)) }

    func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void) {
        let isHeld = self.state.withLock { state in
            if state.eventLoop?.inEventLoop == false { state.strayCount += 1 }
            if state.holdsBatches { state.heldBatches.append(whenTaken) }
            return state.holdsBatches
        }
        for message in messages { self.events.append(.arrived(message)) }
        if !isHeld { whenTaken() }
    }

    func interestSettled(_ filter: UpstreamFilter, accepted: Bool) {
        self.events.append(.settled(filter, accepted: accepted))
    }
}

/// One conversation of a bridge with a real broker.
final class TestConversation: Sendable {
    let host = TestHost()
    private let task: Task<Void, Never>

    /// - Parameter eventLoop: to live on; one of its own choice when none is given.
    init(_ bridge: MQTTBridge, _ upstream: UpstreamURL, on eventLoop: (any EventLoop)? = nil) {
        let host = self.host
        let link = BridgeLink(logger: Logger(label: "test"), upstream: upstream, eventLoop: eventLoop, host: host)
        self.task = Task {
            do {
                try await bridge.run(on: link)
                host.events.append(.ended(nil))
            } catch {
                host.events.append(.ended(error as? UpstreamError ?? UpstreamError(.lost, "untyped: \(error)")))
            }
            host.events.finish()
        }
    }

    /// Starts one and waits for the broker's acceptance.
    static func connected(
        _ bridge: MQTTBridge, _ upstream: UpstreamURL, on eventLoop: (any EventLoop)? = nil
    ) async throws -> TestConversation {
        let conversation = TestConversation(bridge, upstream, on: eventLoop)
        try await conversation.facts()
        return conversation
    }

    @discardableResult
    func facts() async throws -> UpstreamFacts {
        let found = try await self.host.events.first("acceptance by the broker") {
            if case .connected = $0 { true } else { false }
        }
        guard case .connected(let facts) = found.event else { throw Unexpected(found.event) }
        return facts
    }

    /// Waits for the end and returns why; nil when it returned.
    @discardableResult
    func end(within limit: Duration = .seconds(60)) async throws -> UpstreamError? {
        let found = try await self.host.events.first(within: limit, "end of the conversation") {
            if case .ended = $0 { true } else { false }
        }
        guard case .ended(let error) = found.event else { throw Unexpected(found.event) }
        return error
    }

    func cancel() { self.task.cancel() }

    /// Cancels and waits for the good-bye.
    func stop() async throws {
        self.task.cancel()
        try await self.end()
    }

    /// Subscribes and waits until the broker has granted it.
    func subscribe(_ filters: UpstreamFilter...) async throws {
        for filter in filters { self.host.subscribe(filter) }
        for filter in filters {
            _ = try await self.host.events.first("grant of \(filter)") {
                if case .settled(filter, accepted: true) = $0 { true } else { false }
            }
        }
    }

    /// Waits until `count` messages have arrived, and returns all that have.
    func arrivals(_ count: Int, within limit: Duration = .seconds(60)) async throws -> [IngressMessage] {
        try await eventually(within: limit, every: .milliseconds(5), "\(count) arrivals") {
            let arrivals = self.arrivedSoFar
            return arrivals.count >= count ? arrivals : nil
        }
    }

    var arrivedSoFar: [IngressMessage] {
        self.host.events.events.compactMap { if case .arrived(let message) = $0 { message } else { nil } }
    }

    /// Waits until all tickets up to `ticket` are confirmed or refused, and returns how each was settled, in the order of settling.
    @discardableResult
    func settled(upTo ticket: UInt64, within limit: Duration = .seconds(60)) async throws -> [(UInt64, EgressRefusal?)]
    {
        try await eventually(within: limit, every: .milliseconds(5), "settling of \(ticket) tickets") {
            let settled = self.settledSoFar
            return settled.count >= Int(ticket) ? settled : nil
        }
    }

    var settledSoFar: [(UInt64, EgressRefusal?)] {
        self.host.events.events.flatMap { event -> [(UInt64, EgressRefusal?)] in
            switch event {
            case .confirmed(let range): range.map { ($0, nil) }
            case .refused(let ticket, let reason): [(ticket, reason)]
            default: []
            }
        }
    }
}

struct Unexpected: Error, CustomStringConvertible {
    var description: String
    init(_ value: Any) { self.description = "unexpected: \(value)" }
}
