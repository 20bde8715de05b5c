package import LinkspanBridgeKit
internal import Logging
internal import NIOCore
internal import Synchronization

/// One call of `Bridge.run(on:)`, with the host's side played by the conformance suite: it notes everything and judges nothing but misuse.
package final class Conversation: BridgeLinkHost {
    package struct State {
        package var facts: [UpstreamFacts] = []
        /// What was seen of promises, the latest of each, before the acceptance and after.
        package var promises: [UpstreamPromise] = []
        package var interest: [InterestChange] = []
        package var egress: [EgressMessage] = []
        package var wake: (@Sendable () -> Void)?
        /// Whether the bridge has seen that there is no more work, so that the next one must be announced.
        package var isArmed = true
        package var inFlight: Set<UInt64> = []
        package var confirmed: Set<UInt64> = []
        package var refused: [UInt64: EgressRefusal] = [:]
        package var received: [IngressMessage] = []
        package var settled: [UpstreamFilter: Bool] = [:]
        package var holdsDeliveries = false
        package var held: [@Sendable () -> Void] = []
        package var mostBatchesHeld = 0
        package var misuse: [String] = []
        package var end: Result<Void, any Error>?
        fileprivate var waiters: [Waiter] = []
    }

    fileprivate struct Waiter {
        let id: UInt64
        let isMet: @Sendable (borrowing State) -> Bool
        let continuation: CheckedContinuation<Void, Never>
    }

    private let state = Mutex(State())
    private let task = Mutex<Task<Void, Never>?>(nil)
    private let waiterID = Atomic<UInt64>(0)

    /// Without a bridge, for a test that plays its part.
    package init() {}

    /// Starts `bridge` on a task of its own, so that a bridge that never returns can be left behind.
    package static func start(_ bridge: any Bridge, upstream: UpstreamURL) -> Conversation {
        let conversation = Conversation()
        let link = BridgeLink(
            logger: Logger(label: "linkspan.conformance", factory: { _ in SwiftLogNoOpLogHandler() }),
            upstream: upstream,
            host: conversation)
        let task = Task.detached {
            do {
                try await bridge.run(on: link)
                conversation.update { $0.end = .success(()) }
            } catch {
                conversation.update { $0.end = .failure(error) }
            }
        }
        conversation.task.withLock { $0 = task }
        return conversation
    }

    /// Asks the bridge to end, and lets every held delivery go unless `keepingHeld`.
    package func cancel(keepingHeld: Bool = false) {
        if !keepingHeld { self.releaseDeliveries() }
        self.task.withLock { $0?.cancel() }
    }

    package func add(interest: [InterestChange] = [], egress: [EgressMessage] = []) {
        self.update { state in
            // A filter that is asked for again settles again.
            for case .subscribe(let filter) in interest { state.settled[filter] = nil }
            state.interest += interest
            state.egress += egress
        }
    }

    package func holdDeliveries() {
        self.state.withLock { $0.holdsDeliveries = true }
    }

    package func releaseDeliveries() {
        let held = self.state.withLock { state in
            state.holdsDeliveries = false
            defer { state.held = [] }
            return state.held
        }
        for taken in held { taken() }
    }

    package func read<Value: Sendable>(_ body: @Sendable (borrowing State) -> Value) -> Value {
        self.state.withLock { state in body(state) }
    }

    // MARK: Waiting

    /// Waits for `condition`, which is asked again after every change.
    ///
    /// - Throws: ``Finding`` after `patience`, or at once when the conversation ended and can no longer meet it.
    package func wait(
        for what: String, atMost patience: Duration, until condition: @escaping @Sendable (borrowing State) -> Bool
    ) async throws(Finding) {
        await self.wait(atMost: patience) { condition($0) || $0.end != nil }
        let (isMet, end) = self.state.withLock { (condition($0), $0.end) }
        if isMet { return }
        switch end {
        case .failure(let error): throw Finding("waiting for \(what), the conversation ended: \(error)")
        case .success: throw Finding("waiting for \(what), run(on:) returned without having been cancelled")
        case nil: throw Finding("waited \(patience) for \(what); seen: \(self.summary)")
        }
    }

    /// Waits for the end of the conversation; nil when it did not come.
    package func end(atMost patience: Duration) async -> Result<Void, any Error>? {
        await self.wait(atMost: patience) { $0.end != nil }
        return self.state.withLock { $0.end }
    }

    private func wait(
        atMost patience: Duration, until condition: @escaping @Sendable (borrowing State) -> Bool
    ) async {
        let id = self.waiterID.wrappingAdd(1, ordering: .relaxed).newValue
        let deadline = Task.detached {
            try await Task.sleep(for: patience)
            self.resume(waiter: id)
        }
        await withCheckedContinuation { continuation in
            let isMet = self.state.withLock { state in
                if condition(state) { return true }
                state.waiters.append(Waiter(id: id, isMet: condition, continuation: continuation))
                return false
            }
            if isMet { continuation.resume() }
        }
        deadline.cancel()
    }

    private func resume(waiter id: UInt64) {
        let waiter = self.state.withLock { state in
            state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
        }
        waiter?.continuation.resume()
    }

    private var summary: String {
        self.state.withLock { state in
            var parts = [
                "\(state.received.count) received", "\(state.confirmed.count) confirmed",
                "\(state.inFlight.count) in flight", "\(state.egress.count) not taken",
                "\(state.settled.count) filters settled",
            ]
            if !state.refused.isEmpty { parts.append("\(state.refused.count) refused") }
            if state.facts.isEmpty { parts.append("not connected") }
            return parts.joined(separator: ", ")
        }
    }

    /// Changes the state, announces work that became due, and resumes whoever waited for the change.
    @discardableResult
    private func update<Result: Sendable>(_ change: (inout State) -> Result) -> Result {
        let (result, wake, due) = self.state.withLock { state -> (Result, (@Sendable () -> Void)?, [Waiter]) in
            let result = change(&state)
            let due = state.waiters.filter { $0.isMet(state) }
            if !due.isEmpty { state.waiters.removeAll { waiter in due.contains { $0.id == waiter.id } } }
            return (result, state.takeDueWake(), due)
        }
        wake?()
        for waiter in due { waiter.continuation.resume() }
        return result
    }

    // MARK: BridgeLinkHost

    package func connected(_ facts: UpstreamFacts) {
        self.update { state in
            state.facts.append(facts)
            for promise in facts.promises { state.promises.note(promise) }
            for promise in facts.promises where promise.reason.isEmpty {
                state.misuse.append("the promise \(promise.name) is \(promise.state) without a reason")
            }
            if Set(facts.promises.map(\.name)).count < facts.promises.count {
                state.misuse.append("connected named a promise twice")
            }
        }
    }

    package func noted(_ promise: UpstreamPromise) {
        self.update { $0.promises.note(promise) }
    }

    package func reviewed(_ promises: [UpstreamPromise]) {
        self.update { state in
            for promise in promises { state.promises.note(promise) }
        }
    }

    package func onWork(_ wake: @escaping @Sendable () -> Void) {
        self.update { state in
            state.wake = wake
            state.isArmed = true
        }
    }

    package func takeWork(upTo limit: Int) -> LinkWork {
        self.update { state in
            if state.facts.isEmpty { state.misuse.append("takeWork was called before connected") }
            if state.end != nil { state.misuse.append("takeWork was called after run(on:) had ended") }
            var work = LinkWork(interest: state.interest)
            state.interest = []
            work.egress = Array(state.egress.prefix(limit))
            state.egress.removeFirst(work.egress.count)
            for message in work.egress { state.inFlight.insert(message.ticket) }
            state.isArmed = work.egress.count < limit
            return work
        }
    }

    package func confirm(_ tickets: ClosedRange<UInt64>) {
        self.update { state in
            for ticket in tickets {
                guard state.inFlight.remove(ticket) != nil else {
                    state.misuse.append("ticket \(ticket) was confirmed, which was \(state.describe(ticket))")
                    break
                }
                state.confirmed.insert(ticket)
            }
        }
    }

    package func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {
        self.update { state in
            if state.inFlight.remove(ticket) == nil {
                state.misuse.append("ticket \(ticket) was refused, which was \(state.describe(ticket))")
            }
            state.refused[ticket] = reason
        }
    }

    package func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void) {
        let isHeld = self.state.withLock { $0.holdsDeliveries }
        self.update { state in
            if state.end != nil { state.misuse.append("deliver was called after run(on:) had ended") }
            state.received += messages
            guard isHeld else { return }
            state.held.append(whenTaken)
            state.mostBatchesHeld = max(state.mostBatchesHeld, state.held.count)
        }
        if !isHeld { whenTaken() }
    }

    package func interestSettled(_ filter: UpstreamFilter, accepted: Bool) {
        self.update { $0.settled[filter] = accepted }
    }
}

extension Conversation.State {
    /// The wake-up that is owed to the bridge, which from then on knows that there is work.
    fileprivate mutating func takeDueWake() -> (@Sendable () -> Void)? {
        guard self.isArmed, !(self.interest.isEmpty && self.egress.isEmpty), let wake = self.wake else { return nil }
        self.isArmed = false
        return wake
    }

    fileprivate func describe(_ ticket: UInt64) -> String {
        if self.confirmed.contains(ticket) { return "confirmed before" }
        if self.refused[ticket] != nil { return "refused before" }
        return "never taken"
    }
}
