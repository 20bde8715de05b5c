/// A server of a cluster, as the others name it.
struct NodeAddress: Hashable, Sendable {
    var host: String
    var port: Int
}

/// Which node of a cluster has which slot.
///
/// Nodes are numbered in the order in which they were heard of, and keep their numbers.
struct SlotMap: Sendable {
    private(set) var nodes: [NodeAddress] = []
    private var owners = [UInt16](repeating: Self.nobody, count: HashSlot.count)
    private static let nobody = UInt16.max
    /// Most nodes that are ever numbered; Redis recommends no more in a cluster.
    static let nodeLimit = 1_000

    /// Reads the answer to `CLUSTER SLOTS`.
    ///
    /// - Parameter host: of the node that was asked, which may leave its own out.
    /// - Returns: nil when the answer has another form.
    init?(_ answer: [ReplyValue], askedAt host: String) {
        guard self.read(answer, askedAt: host) else { return nil }
    }

    /// Slots that no node has: the cluster is down, or still being made.
    var orphanCount: Int { self.owners.count { $0 == Self.nobody } }

    /// Nodes that have at least one slot.
    var owningNodes: Set<Int> { Set(self.owners.lazy.filter { $0 != Self.nobody }.map(Int.init)) }

    /// Whether the node with this address has slots.
    func has(_ address: NodeAddress) -> Bool {
        guard let number = self.nodes.firstIndex(of: address) else { return false }
        return self.owners.contains(UInt16(number))
    }

    func owner(of slot: Int) -> Int? {
        let owner = self.owners[slot]
        return owner == Self.nobody ? nil : Int(owner)
    }

    func address(of slot: Int) -> NodeAddress? { self.owner(of: slot).map { self.nodes[$0] } }

    /// - Returns: whether there was room for the node.
    mutating func move(_ slot: Int, to address: NodeAddress) -> Bool {
        guard let number = self.number(of: address) else { return false }
        self.owners[slot] = number
        return true
    }

    /// The same nodes with what another answer says; nil when that is the same, or no answer of that form.
    func updated(_ answer: [ReplyValue], askedAt host: String) -> SlotMap? {
        var next = self
        next.owners = [UInt16](repeating: Self.nobody, count: HashSlot.count)
        guard next.read(answer, askedAt: host), next.orphanCount == 0, next.owners != self.owners else { return nil }
        return next
    }

    private mutating func number(of address: NodeAddress) -> UInt16? {
        if let known = self.nodes.firstIndex(of: address) { return UInt16(known) }
        guard self.nodes.count < Self.nodeLimit else { return nil }
        self.nodes.append(address)
        return UInt16(self.nodes.count - 1)
    }

    // Each range is `[first, last, [host, port, ...], ...]`, the primary first, then its replicas.
    private mutating func read(_ answer: [ReplyValue], askedAt host: String) -> Bool {
        guard case .array(let count)? = answer.first else { return false }
        var rest = answer.dropFirst()
        for _ in 0..<count {
            guard case .array(let parts)? = rest.popFirst(), parts >= 3, case .integer(let first)? = rest.popFirst(),
                case .integer(let last)? = rest.popFirst(), first <= last, (0..<HashSlot.count).contains(first),
                (0..<HashSlot.count).contains(last), let address = Self.address(&rest, askedAt: host),
                let owner = self.number(of: address)
            else { return false }
            for slot in first...last { self.owners[slot] = owner }
            for _ in 3..<parts { Self.skip(&rest) }
        }
        return true
    }

    private static func address(_ rest: inout ArraySlice<ReplyValue>, askedAt host: String) -> NodeAddress? {
        guard case .array(let parts)? = rest.popFirst(), parts >= 2, let name = rest.popFirst(),
            case .integer(let port)? = rest.popFirst(), (1...65_535).contains(port)
        else { return nil }
        for _ in 2..<parts { Self.skip(&rest) }
        if case .text(let name) = name, !name.isEmpty, name != "?" { return NodeAddress(host: name, port: port) }
        return NodeAddress(host: host, port: port)
    }

    /// Passes over one value with all that is in it.
    private static func skip(_ rest: inout ArraySlice<ReplyValue>) {
        var open = 1
        while open > 0, let value = rest.popFirst() {
            open -= 1
            if case .array(let count) = value { open += count }
        }
    }
}

/// One element of a reply by itself, for answers that are read at leisure; an array is followed by its own.
enum ReplyValue: Equatable, Sendable {
    case array(Int)
    case integer(Int)
    /// Strings and statuses.
    case text(String)
    case error(String)
    case null
}

extension ReplyReader {
    var values: [ReplyValue] {
        self.tokens.indices.map { index in
            let token = self.token(at: index)
            return switch token.kind {
            case .array: .array(token.length)
            case .integer: .integer(token.length)
            case .string, .status: .text(self.text(at: index))
            case .error: .error(self.text(at: index))
            case .null: .null
            }
        }
    }
}

/// `MOVED 3999 127.0.0.1:6381`: who has a slot. The host may be empty, which means the one that was asked.
struct Redirection: Equatable {
    var slot: Int
    var address: NodeAddress
}

extension Redirection {
    /// - Parameter host: of the node that answered.
    init?(_ text: String, from host: String) {
        let parts = text.split(separator: " ")
        guard parts.count == 3, parts[0] == "MOVED", let slot = Int(parts[1]), (0..<HashSlot.count).contains(slot),
            let colon = parts[2].lastIndex(of: ":"), let port = Int(parts[2][parts[2].index(after: colon)...]),
            (1...65_535).contains(port)
        else { return nil }
        let name = String(parts[2][..<colon])
        self.slot = slot
        self.address = NodeAddress(host: name.isEmpty ? host : name, port: port)
    }
}
