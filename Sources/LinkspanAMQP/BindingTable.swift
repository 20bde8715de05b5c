internal import LinkspanBridgeKit

/// Which binding keys the instance's queue needs, from the filters that the host asks for. Pure.
///
/// Several filters may need one key; it is bound with the first and unbound with the last. A topic exchange hands a message to a
/// queue once however many of its bindings match, so keys may overlap.
struct BindingTable {
    enum Operation: Equatable {
        case bind(RoutingKey)
        case unbind(RoutingKey)

        var key: RoutingKey {
            switch self {
            case .bind(let key), .unbind(let key): key
            }
        }
    }

    private struct Need {
        var filters: [UpstreamFilter] = []
        var isBound = false
    }

    private var needs: [RoutingKey: Need] = [:]
    /// Binds under way per key; a key that was bound, unbound and bound again is settled by the last answer.
    private var unanswered: [RoutingKey: Int] = [:]
    /// Text before the `#` of each key that ends in one.
    private var prefixes: [String] = []

    /// The key that matches every name of `filter`; `#` stands for any number of whole words, so a prefix is cut back to a word's end.
    static func key(for filter: UpstreamFilter) -> RoutingKey {
        switch filter {
        case .exact(let name):
            return RoutingKey(name)
        case .prefix(let text):
            guard let end = text.utf8.lastIndex(of: UInt8(ascii: ".")) else { return RoutingKey("#") }
            return RoutingKey(String(text[...end]) + "#")
        }
    }

    /// Whether a filter asks for `name`, as far as keys can tell.
    func wants(_ name: String) -> Bool {
        self.needs[RoutingKey(name)] != nil || self.prefixes.contains { name.utf8.starts(with: $0.utf8) }
    }

    /// A filter that comes again has its key bound again, in case that only the upstream has lost the binding.
    ///
    /// - Returns: what to ask of the upstream, if anything, and whether the filter is settled already by an earlier one.
    mutating func subscribe(_ filter: UpstreamFilter) -> (operation: Operation?, isSettled: Bool) {
        let key = Self.key(for: filter)
        var need = self.needs[key] ?? Need()
        defer { self.needs[key] = need }
        let isFirst = need.filters.isEmpty
        let isRenewed = need.isBound && need.filters.contains(filter)
        if !need.filters.contains(filter) { need.filters.append(filter) }
        guard isFirst || isRenewed else { return (nil, need.isBound) }
        self.unanswered[key, default: 0] += 1
        guard isFirst else { return (.bind(key), false) }
        if let prefix = Self.prefix(of: filter) { self.prefixes.append(prefix) }
        return (.bind(key), false)
    }

    mutating func unsubscribe(_ filter: UpstreamFilter) -> Operation? {
        let key = Self.key(for: filter)
        guard var need = self.needs[key] else { return nil }
        need.filters.removeAll { $0 == filter }
        guard need.filters.isEmpty else {
            self.needs[key] = need
            return nil
        }
        self.forget(key, of: filter)
        return .unbind(key)
    }

    /// The upstream answered the oldest open bind of `key`.
    ///
    /// - Returns: the filters that this settles; after a refusal they are forgotten, so that asking again asks the upstream again.
    mutating func bindAnswered(_ key: RoutingKey, accepted: Bool) -> [UpstreamFilter] {
        let open = (self.unanswered[key] ?? 1) - 1
        self.unanswered[key] = open > 0 ? open : nil
        guard open <= 0, var need = self.needs[key] else { return [] }
        need.isBound = accepted
        self.needs[key] = need
        if !accepted, let filter = need.filters.first { self.forget(key, of: filter) }
        return need.filters
    }

    private mutating func forget(_ key: RoutingKey, of filter: UpstreamFilter) {
        self.needs[key] = nil
        guard let prefix = Self.prefix(of: filter) else { return }
        self.prefixes.removeAll { $0.utf8.elementsEqual(prefix.utf8) }
    }

    private static func prefix(of filter: UpstreamFilter) -> String? {
        guard case .prefix = filter else { return nil }
        return String(Self.key(for: filter).string.dropLast())
    }
}
