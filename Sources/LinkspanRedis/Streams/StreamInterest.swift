internal import LinkspanBridgeKit

/// Which names are wanted; a stream carries all of them, so the choice is made here.
struct StreamInterest {
    private var exact: Set<UpstreamFilter> = []
    private var prefixes: Set<UpstreamFilter> = []

    var isEmpty: Bool { self.exact.isEmpty && self.prefixes.isEmpty }

    /// - Returns: the filters to settle.
    mutating func change(_ changes: [InterestChange]) -> [UpstreamFilter] {
        var subscribed: [UpstreamFilter] = []
        for change in changes {
            switch change {
            case .subscribe(let filter):
                if filter.isPrefix { self.prefixes.insert(filter) } else { self.exact.insert(filter) }
                subscribed.append(filter)
            case .unsubscribe(let filter):
                if filter.isPrefix { self.prefixes.remove(filter) } else { self.exact.remove(filter) }
                subscribed.removeAll { $0 == filter }
            }
        }
        return subscribed
    }

    /// Whether exactly this filter was subscribed.
    func holds(_ filter: UpstreamFilter) -> Bool {
        self.exact.contains(filter) || self.prefixes.contains(filter)
    }

    func contains(_ name: String) -> Bool {
        let filter = UpstreamFilter.exact(name)
        return self.exact.contains(filter) || self.prefixes.contains { $0.covers(filter) }
    }
}
