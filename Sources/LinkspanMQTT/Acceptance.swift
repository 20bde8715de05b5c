internal import LinkspanBridgeKit
internal import Synchronization

/// A connection that can be conversed on, on its way from the thread that made it to an event loop.
final class Acceptance: Sendable {
    let facts: UpstreamFacts
    private let connected: Mutex<Connected?>

    private init(_ connected: consuming sending Connected, _ facts: UpstreamFacts) {
        self.facts = facts
        self.connected = Mutex(connected)
    }

    /// Connects, and looks at what the broker promises; for a thread, since names are looked up and files are read. Nil when the task was cancelled.
    static func make(
        plan: ConversationPlan, memory: SessionMemory, link: BridgeLink, signal: WakeSignal
    ) throws(UpstreamError) -> Acceptance? {
        guard let connected = try Connecting.connect(plan: plan, upstream: link.upstream, signal: signal) else {
            return nil
        }
        let answer = connected.answer
        let promises = BrokerPromises(plan: plan).atConnect(answer, isReturn: memory.hasConversed)
        if let unusable = promises.first(where: { $0.state == .broken && $0.name == BrokerPromises.maximum }) {
            for promise in promises { link.noted(promise) }
            // The library refuses to send with a QoS that the broker does not take.
            throw UpstreamError(.promise, "\(unusable.name): \(unusable.reason)")
        }
        memory.hasConversed = true
        let isResumed = plan.keepsSession && answer.isSessionPresent
        return Acceptance(connected, UpstreamFacts(resumedSession: isResumed, promises: promises))
    }

    /// The connection; nil for who asks again.
    func take() -> sending Connected? {
        self.connected.withLock { $0.take() }
    }
}
