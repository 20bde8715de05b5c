internal import LinkspanBridgeKit
internal import NIOCore

/// Which sharded channels are subscribed at which node, and which commands bring that to what is wanted.
///
/// A name's slot says which node has it. When that changes, the node that had it ends the subscription by itself, or sends us on
/// (`MOVED`); either way the name is subscribed again where it is now. Of each name at most one command is under way, and each command
/// has one name: names of different slots may not share one.
struct ShardInterest {
    struct Command: Equatable {
        var node: NodeAddress
        var subscribes: Bool
        var name: String

        var arguments: [String] { [self.subscribes ? "SSUBSCRIBE" : "SUNSUBSCRIBE", self.name] }
    }

    /// What to do after an event, settled filters first.
    struct Step: Equatable {
        var settled: [SubscriptionPlan.Settled] = []
        var commands: [Command] = []

        mutating func append(_ other: Step) {
            self.settled += other.settled
            self.commands += other.commands
        }
    }

    private struct Entry {
        let name: String
        let slot: Int
        var isWanted = false
        var isReported = false
        var isRefused = false
        /// The node that holds the subscription at the point of its stream that was read last.
        var holder: NodeAddress?
        var isUnderWay = false
        /// How often in a row nodes have sent us on.
        var redirects = 0

        var isForgotten: Bool { !self.isWanted && self.holder == nil && !self.isUnderWay }
    }

    private enum Pending {
        case command(Command)
        case ping
    }

    /// Nodes may send us to and fro while a change of the cluster makes its way; past the first times with a pause between.
    private static let redirectsWithoutPause = 2
    private static let redirectLimit = 200

    private(set) var map: SlotMap
    /// By exact filters, which are told apart by their bytes.
    private var entries: [UpstreamFilter: Entry] = [:]
    private var pending: [NodeAddress: CircularBuffer<Pending>] = [:]
    /// Names that are asked for again after a pause.
    private var paused: Set<UpstreamFilter> = []

    init(map: SlotMap) {
        self.map = map
    }

    /// Whether ``pauseOver()`` is to be called in a while.
    var isPausing: Bool { !self.paused.isEmpty }

    // MARK: Events

    mutating func interestChanged(_ changes: [InterestChange]) -> Step {
        var step = Step()
        for change in changes {
            switch change {
            case .subscribe(.prefix(let text)):
                // Redis has no patterns here.
                step.settled.append(.init(filter: .prefix(text), accepted: false))
            case .unsubscribe(.prefix):
                break
            case .subscribe(.exact(let name)):
                let filter = UpstreamFilter.exact(name)
                var entry = self.entries[filter] ?? Entry(name: name, slot: HashSlot.of(name))
                entry.isWanted = true
                entry.isRefused = false
                entry.isReported = false
                self.entries[filter] = entry
                step.append(self.decide(filter))
            case .unsubscribe(.exact(let name)):
                let filter = UpstreamFilter.exact(name)
                guard self.entries[filter] != nil else { continue }
                self.entries[filter]?.isWanted = false
                step.append(self.decide(filter))
            }
        }
        return step
    }

    /// The cluster has changed: slots have other owners.
    mutating func mapChanged(_ map: SlotMap) -> Step {
        self.map = map
        return self.decide(Array(self.entries.keys))
    }

    mutating func pauseOver() -> Step {
        let names = Array(self.paused)
        self.paused.removeAll(keepingCapacity: true)
        return self.decide(names)
    }

    /// A node is gone that has no slots.
    mutating func nodeLost(_ node: NodeAddress) -> Step {
        var touched = self.entries.filter { $0.value.holder == node }.map(\.key)
        for case .command(let command) in self.pending.removeValue(forKey: node) ?? [] {
            self.answered(command) { _ in }
            touched.append(.exact(command.name))
        }
        for filter in touched where self.entries[filter]?.holder == node { self.entries[filter]?.holder = nil }
        return self.decide(touched)
    }

    mutating func pingSent(to node: NodeAddress) {
        self.queue(.ping, at: node)
    }

    /// - Throws: ``UpstreamError`` when that is not what we asked for. The same holds for the other answers.
    mutating func pongReceived(from node: NodeAddress) throws(UpstreamError) {
        guard case .ping? = self.first(at: node) else {
            throw UpstreamError(.protocolViolation, "Redis answered a PING that was not sent")
        }
        self.removeFirst(at: node)
    }

    mutating func subscribed(_ name: String, at node: NodeAddress) throws(UpstreamError) -> Step {
        guard case .command(let command)? = self.first(at: node), command.subscribes,
            command.name.utf8.elementsEqual(name.utf8)
        else { throw UpstreamError(.protocolViolation, "Redis confirmed SSUBSCRIBE of a name that was not asked for") }
        self.removeFirst(at: node)
        self.answered(command) { entry in
            entry.holder = node
            entry.redirects = 0
        }
        return self.decide(.exact(command.name))
    }

    /// Either we asked for it, or the node no longer has the slot.
    mutating func unsubscribed(_ name: String, at node: NodeAddress) -> Step {
        if case .command(let command)? = self.first(at: node), !command.subscribes,
            command.name.utf8.elementsEqual(name.utf8)
        {
            self.removeFirst(at: node)
            self.answered(command) { $0.holder = nil }
        } else if self.entries[.exact(name)]?.holder == node {
            self.entries[.exact(name)]?.holder = nil
        }
        return self.decide(.exact(name))
    }

    mutating func redirected(_ redirection: Redirection, by node: NodeAddress) throws(UpstreamError) -> Step {
        // A node that gives up a slot ends its subscriptions before it answers our own SUNSUBSCRIBE, which is settled by that. The
        // answer then belongs to nothing.
        guard case .command(let command)? = self.first(at: node), HashSlot.of(command.name) == redirection.slot else {
            return Step()
        }
        self.removeFirst(at: node)
        guard command.subscribes else {
            self.answered(command) { $0.holder = nil }
            return self.decide(.exact(command.name))
        }
        var redirects = 0
        self.answered(command) { entry in
            entry.redirects += 1
            redirects = entry.redirects
        }
        guard redirects <= Self.redirectLimit, self.map.move(redirection.slot, to: redirection.address) else {
            throw UpstreamError(.lost, "the nodes of the cluster do not agree about who has slot \(redirection.slot)")
        }
        if redirects > Self.redirectsWithoutPause {
            self.paused.insert(.exact(command.name))
            return Step()
        }
        return self.decide(.exact(command.name))
    }

    /// The node answered its oldest command with another error.
    mutating func errorReceived(_ error: ErrorReply, at node: NodeAddress) throws(UpstreamError) -> Step {
        switch self.first(at: node) {
        case nil:
            throw UpstreamError(.protocolViolation, "Redis sent an error that nothing had asked for: \(error.text)")
        case .ping:
            self.removeFirst(at: node)
            return Step()
        case .command(let command):
            guard case .refused = error.verdict, command.subscribes else {
                let code: UpstreamError.Code =
                    if case .ends(let code) = error.verdict { code } else { .protocolViolation }
                throw UpstreamError(code, "Redis answered \(command.arguments[0]): \(error.text)")
            }
            self.removeFirst(at: node)
            var isWanted = false
            self.answered(command) { entry in
                entry.isRefused = true
                entry.isReported = true
                isWanted = entry.isWanted
            }
            var step = Step()
            if isWanted { step.settled = [.init(filter: .exact(command.name), accepted: false)] }
            step.append(self.decide(.exact(command.name)))
            return step
        }
    }

    // MARK: Deciding

    private mutating func decide(_ filters: [UpstreamFilter]) -> Step {
        var step = Step()
        for filter in filters { step.append(self.decide(filter)) }
        return step
    }

    private mutating func decide(_ filter: UpstreamFilter) -> Step {
        guard var entry = self.entries[filter] else { return Step() }
        var step = Step()
        if entry.isWanted, entry.holder != nil, !entry.isReported {
            entry.isReported = true
            step.settled.append(.init(filter: filter, accepted: true))
        }
        if !entry.isUnderWay, !self.paused.contains(filter), let command = self.command(for: entry) {
            entry.isUnderWay = true
            self.queue(.command(command), at: command.node)
            step.commands.append(command)
        }
        self.entries[filter] = entry.isForgotten ? nil : entry
        return step
    }

    private func command(for entry: Entry) -> Command? {
        guard entry.isWanted, !entry.isRefused else {
            return entry.holder.map { Command(node: $0, subscribes: false, name: entry.name) }
        }
        guard let owner = self.map.address(of: entry.slot), owner != entry.holder else { return nil }
        return Command(node: owner, subscribes: true, name: entry.name)
    }

    private mutating func answered(_ command: Command, _ change: (inout Entry) -> Void) {
        guard var entry = self.entries[.exact(command.name)] else { return }
        entry.isUnderWay = false
        change(&entry)
        self.entries[.exact(command.name)] = entry
    }

    private mutating func removeFirst(at node: NodeAddress) {
        self.pending[node]?.removeFirst()
    }

    private func first(at node: NodeAddress) -> Pending? { self.pending[node]?.first }

    private mutating func queue(_ pending: Pending, at node: NodeAddress) {
        self.pending[node, default: CircularBuffer(initialCapacity: 16)].append(pending)
    }
}
