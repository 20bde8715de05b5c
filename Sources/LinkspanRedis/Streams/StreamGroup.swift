internal import NIOCore
internal import Synchronization

/// A Redis consumer group: Redis gives each entry of the stream to one of its consumers.
struct StreamGroup: Sendable {
    var name: String
    /// Of this instance; what it had not acknowledged when it ended is its own again when it comes back under this name.
    var consumer: String
    /// Carries what every instance has to hear: a stream cannot be asked for some of its entries.
    var unsharedStream: String
    var unsharedNames: Set<String>
    var claimAfter: TimeAmount
    /// Without it Redis forgets an entry when it hands it out.
    var acknowledges: Bool

    /// About how many entries the unshared stream keeps.
    static let unsharedLimit = 1000

    /// So long after its last question a consumer with nothing to acknowledge is gone.
    var goneAfter: TimeAmount { .nanoseconds(self.claimAfter.nanoseconds * 10) }

    /// Removes consumers that are gone. Within one script, so that none is removed that has just taken something.
    func removal(stream: String) -> [String] {
        let script = """
            for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
              local fields = {}
              for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
              if fields.pending == 0 and fields.idle > tonumber(ARGV[2]) and fields.name ~= ARGV[3] then
                redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields.name)
              end
            end
            """
        let limit = "\(self.goneAfter.nanoseconds / 1_000_000)"
        return ["EVAL", script, "1", stream, self.name, limit, self.consumer]
    }
}

/// What is known of the entries of a group from one conversation to the next.
///
/// Redis hands out again what was not acknowledged, and an acknowledgement may be lost with its connection; what the host has, or had, is
/// then acknowledged once more and not handed over again.
final class GroupMemory: Sendable {
    enum Verdict {
        case new
        /// With the host, which has not taken it yet.
        case underWay
        /// The host took it.
        case taken
    }

    /// Entries remembered after the host took them.
    static let limit = 10_000

    private struct State {
        var underWay: Set<EntryID> = []
        /// Of those under way, what Redis handed out again.
        var repeated: Set<EntryID> = []
        var overdue: [EntryID] = []
        var taken: Set<EntryID> = []
        var order: CircularBuffer<EntryID> = []
        var last: EntryID?
        var unshared: EntryID?
        var dropped: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The highest entry that Redis handed out to us; where a group that somebody removed goes on.
    var last: EntryID? { self.state.withLock { $0.last } }

    /// Up to where the unshared stream was read.
    var unshared: EntryID? {
        get { self.state.withLock { $0.unshared } }
        set { self.state.withLock { $0.unshared = newValue } }
    }

    func judge(_ id: EntryID) -> Verdict {
        self.state.withLock { state in
            if state.underWay.contains(id) {
                state.repeated.insert(id)
                return .underWay
            }
            return state.taken.contains(id) ? .taken : .new
        }
    }

    func handedOut(upTo id: EntryID) {
        self.state.withLock { $0.last = max($0.last ?? .zero, id) }
    }

    func handedOver(_ ids: [EntryID]) {
        self.state.withLock { $0.underWay.formUnion(ids) }
    }

    func taken(_ ids: [EntryID]) {
        self.state.withLock { state in
            for id in ids {
                state.underWay.remove(id)
                if state.repeated.remove(id) != nil { state.overdue.append(id) }
                guard state.taken.insert(id).inserted else { continue }
                state.order.append(id)
                if state.order.count > Self.limit { state.taken.remove(state.order.removeFirst()) }
            }
        }
    }

    /// What the host took since the last call after Redis had handed it out again: the connection by which it first came is gone, so
    /// whoever has one now acknowledges it.
    func takeOverdue() -> [EntryID] {
        self.state.withLock { state in
            defer { state.overdue.removeAll() }
            return state.overdue
        }
    }

    /// Counts entries that nobody can get any more.
    /// - Returns: how many there were so far.
    func dropped(_ count: UInt64) -> UInt64 {
        self.state.withLock { state in
            state.dropped += count
            return state.dropped
        }
    }
}
