internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore
internal import Synchronization

/// What a bridge asks its host about repair, each with the index of the bridge itself.
struct RepairWays: Sendable {
    var ask: @Sendable (RepairRequest, BridgeIndex) -> Void
    var answer: @Sendable (RepairRequest, BridgeIndex) -> Void
}

extension BridgeHost {
    /// Asks by the bridge through which messages are most surely known to pass, the one that named the gap before its equals; what it does not
    /// carry by the next. What no bridge can carry now is asked for later.
    func ask(_ request: RepairRequest, for bridge: BridgeIndex) {
        var left = request
        for runner in self.ways(to: request.sender, first: bridge) {
            guard let share = runner.share(of: left), runner.ask(share) else { continue }
            left.wants.removeAll { share.wants.contains($0) }
            if left.wants.isEmpty { return }
        }
    }

    /// Answers by the bridge that brought the request, unless more is known of another that remembers the same channels.
    func answer(_ request: RepairRequest, heardBy bridge: BridgeIndex) {
        let able = self.ways(to: request.requester, first: bridge).first { runner in
            runner.plan.index == bridge || runner.plan.answersRepair && runner.share(of: request) == request
        }
        able?.answer(request)
    }

    private func ways(to instance: InstanceID, first bridge: BridgeIndex) -> [BridgeRunner] {
        self.runners.map { (runner: $0, way: $0.way(to: instance)) }.filter { $0.way > .away }
            .sorted { one, other in
                (one.way.rawValue, one.runner.plan.index == bridge ? 1 : 0, other.runner.plan.index.value)
                    > (other.way.rawValue, other.runner.plan.index == bridge ? 1 : 0, one.runner.plan.index.value)
            }
            .map(\.runner)
    }
}

extension BridgeRunner {
    fileprivate func way(to instance: InstanceID) -> RepairWay {
        let now = self.clock.now()
        return self.egress.withLock { state in
            guard state.link.state == .up else { return .away }
            return state.probes?.way(to: instance, at: now) ?? .open
        }
    }
}
