internal import LinkspanBridgeKit
internal import Logging

/// What was seen of an upstream's promises, in the conversation under way or else in the last one that saw any.
struct PromiseRecord: Sendable {
    private(set) var promises: [UpstreamPromise] = []
    private var isOld = false

    var broken: UpstreamPromise? { self.promises.first { $0.state == .broken } }

    /// An attempt to connect begins: what is known stays until it says something itself.
    mutating func attemptBegan() {
        self.isOld = true
    }

    mutating func note(_ findings: [UpstreamPromise]) {
        if self.isOld { self.promises = [] }
        self.isOld = false
        for promise in findings { self.promises.note(promise) }
    }
}

extension Conversation {
    /// - Returns: whether the upstream may be used; if not, the conversation is about to end.
    func admits(_ promises: [UpstreamPromise], _ state: inout EgressState) -> Bool {
        state.link.promises.note(promises)
        guard let broken = promises.first(where: { $0.state == .broken }), self.enforcesPromises else { return true }
        state.brokenPromise = broken
        return false
    }
}

extension BridgeRunner {
    func logBroken(_ promise: UpstreamPromise) {
        self.logger.warning(
            "The upstream does not keep what the guarantee rests on",
            metadata: [LogKey.promise: "\(promise.name)", LogKey.reason: "\(promise.reason)"])
    }
}
