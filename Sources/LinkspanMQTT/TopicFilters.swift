internal import LinkspanBridgeKit

/// An MQTT topic or topic filter, compared by its UTF-8 bytes as brokers do.
///
/// A Swift `String` takes canonically equivalent spellings for equal; at a broker they are two topics.
struct Topic: Hashable, Sendable {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    static func == (one: Topic, other: Topic) -> Bool {
        one.text.utf8.elementsEqual(other.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
        var copy = self.text
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

/// What the broker should be told after a change of interest, in this order of kinds or the other.
struct FilterChanges: Equatable {
    var subscribe: [Topic] = []
    var unsubscribe: [Topic] = []
}

/// The answer to one upstream filter that somebody waits for.
struct SettledFilter: Equatable {
    var filter: UpstreamFilter
    var isAccepted: Bool
}

/// The topic filters that carry the interest of the host, none of which matches what another one matches: mosquitto delivers a
/// message once per matching filter.
struct TopicFilters {
    /// What is subscribed at the broker, or asked for.
    private(set) var active: Set<Topic> = []

    private var names: Set<Topic> = []
    /// Wanted prefixes, cut back to a level boundary (empty, or ending with `/`), with those who asked for each.
    private var prefixes: [Topic: Set<UpstreamFilter>] = [:]
    /// Names that no prefix brings, since those who share it take turns.
    private let unshared: Set<String>
    /// Filters the broker granted.
    private var granted: Set<Topic> = []
    private var waiting: [Topic: [UpstreamFilter]] = [:]

    /// - Parameter unshared: names that are asked for by themselves, whatever prefixes cover them.
    init(unshared: Set<String> = []) {
        self.unshared = unshared
    }

    /// Takes over `changes`, in order. A filter that is granted and comes again is asked for again, in case that only the broker lost it.
    ///
    /// - Parameter settled: receives what needs no word from the broker: filters that a granted one covers, and those no broker could
    ///   take.
    /// - Complexity: O(changes) while prefixes stay the same, O(all wanted names) when they change.
    mutating func apply(_ changes: [InterestChange], settled: inout [SettledFilter]) -> FilterChanges {
        var result = FilterChanges()
        var prefixesChanged = false
        var renewed: Set<Topic> = []
        for change in changes {
            switch change {
            case .subscribe(let filter):
                guard let topic = Self.topic(of: filter) else {
                    settled.append(SettledFilter(filter: filter, isAccepted: false))
                    continue
                }
                if let carrier = self.carrier(of: filter, topic), self.isHeld(filter, topic) { renewed.insert(carrier) }
                switch filter {
                case .exact: self.names.insert(topic)
                case .prefix:
                    prefixesChanged = self.prefixes[topic, default: []].isEmpty || prefixesChanged
                    self.prefixes[topic, default: []].insert(filter)
                }
            case .unsubscribe(let filter):
                guard let topic = Self.topic(of: filter) else { continue }
                switch filter {
                case .exact: self.names.remove(topic)
                case .prefix:
                    self.prefixes[topic]?.remove(filter)
                    if self.prefixes[topic]?.isEmpty == true {
                        self.prefixes[topic] = nil
                        prefixesChanged = true
                    }
                }
            }
        }
        if prefixesChanged {
            self.recompute(into: &result)
        } else {
            self.followNames(changes, into: &result)
        }
        for topic in renewed where self.active.contains(topic) && self.granted.remove(topic) != nil {
            result.subscribe.append(topic)
        }
        for case .subscribe(let filter) in changes {
            self.wait(filter, settled: &settled)
        }
        return result
    }

    /// The broker answered a subscription.
    mutating func answered(_ topic: Topic, isAccepted: Bool) -> [SettledFilter] {
        if isAccepted {
            self.granted.insert(topic)
        } else {
            self.active.remove(topic)
            self.granted.remove(topic)
        }
        let filters = self.waiting.removeValue(forKey: topic) ?? []
        return filters.map { SettledFilter(filter: $0, isAccepted: isAccepted) }
    }

    /// Whether something that we asked for brings `topic`.
    func covers(_ topic: Topic) -> Bool {
        self.active.contains(topic) || self.coveringPrefix(of: topic) != nil
    }

    /// The filters of the kinds we make that match `topic` and that we did not ask for: what a kept session may still hold.
    func strangers(matching topic: Topic) -> [Topic] {
        var found = [topic, Topic(topic.text + "/#"), Topic("#")]
        for index in topic.text.utf8.indices where topic.text.utf8[index] == UInt8(ascii: "/") {
            found.append(Topic(topic.text[...index] + "#"))
        }
        return found.filter { !self.active.contains($0) }
    }

    private mutating func followNames(_ changes: [InterestChange], into result: inout FilterChanges) {
        var touched: Set<Topic> = []
        for change in changes {
            guard case .subscribe(.exact(let name)) = change else {
                if case .unsubscribe(.exact(let name)) = change { touched.insert(Topic(name)) }
                continue
            }
            touched.insert(Topic(name))
        }
        for name in touched {
            let isNeeded = self.names.contains(name) && self.coveringPrefix(of: name) == nil
            if isNeeded, self.active.insert(name).inserted {
                result.subscribe.append(name)
            } else if !isNeeded, self.active.remove(name) != nil {
                self.granted.remove(name)
                result.unsubscribe.append(name)
            }
        }
    }

    private mutating func recompute(into result: inout FilterChanges) {
        var needed = Set(self.names.filter { self.coveringPrefix(of: $0) == nil })
        for prefix in self.prefixes.keys where !self.isCoveredByShorter(prefix) {
            needed.insert(Self.filter(for: prefix))
        }
        result.subscribe = Array(needed.subtracting(self.active))
        result.unsubscribe = Array(self.active.subtracting(needed))
        self.granted.subtract(result.unsubscribe)
        self.active = needed
    }

    /// Whether exactly this filter was asked for before.
    private func isHeld(_ filter: UpstreamFilter, _ topic: Topic) -> Bool {
        switch filter {
        case .exact: self.names.contains(topic)
        case .prefix: self.prefixes[topic]?.contains(filter) == true
        }
    }

    private mutating func wait(_ filter: UpstreamFilter, settled: inout [SettledFilter]) {
        guard let topic = Self.topic(of: filter), let carrier = self.carrier(of: filter, topic) else { return }
        if self.granted.contains(carrier) {
            settled.append(SettledFilter(filter: filter, isAccepted: true))
        } else if self.active.contains(carrier) {
            self.waiting[carrier, default: []].append(filter)
        }
    }

    /// The filter at the broker that brings what `filter` asks for; nil when it is not wanted any more.
    private func carrier(of filter: UpstreamFilter, _ topic: Topic) -> Topic? {
        switch filter {
        case .exact:
            guard self.names.contains(topic) else { return nil }
            return self.coveringPrefix(of: topic).map(Self.filter) ?? topic
        case .prefix:
            guard self.prefixes[topic] != nil else { return nil }
            let shortest = self.prefixes.keys.filter { Self.covers($0, topic) }.min {
                $0.text.utf8.count < $1.text.utf8.count
            }
            return Self.filter(for: shortest ?? topic)
        }
    }

    /// The shortest wanted prefix whose filter matches `name`.
    private func coveringPrefix(of name: Topic) -> Topic? {
        if self.unshared.contains(name.text) { return nil }
        var best: Topic?
        for prefix in self.prefixes.keys where Self.covers(prefix, name) {
            if best == nil || prefix.text.utf8.count < best!.text.utf8.count { best = prefix }
        }
        return best
    }

    private func isCoveredByShorter(_ prefix: Topic) -> Bool {
        self.prefixes.keys.contains { $0 != prefix && Self.covers($0, prefix) }
    }

    /// Whether `prefix` + `#` matches `topic`: also its parent level (MQTT 5, 4.7.1.2), and `#` alone nothing that starts with `$` (4.7.2).
    private static func covers(_ prefix: Topic, _ topic: Topic) -> Bool {
        let prefixBytes = prefix.text.utf8
        if prefixBytes.isEmpty { return topic.text.utf8.first != UInt8(ascii: "$") }
        return topic.text.utf8.starts(with: prefixBytes) || topic.text.utf8.elementsEqual(prefixBytes.dropLast())
    }

    /// The topic of an exact filter, or the prefix cut back to a level boundary; nil for what no broker can match literally.
    private static func topic(of filter: UpstreamFilter) -> Topic? {
        switch filter {
        case .exact(let name):
            return Self.isLiteral(name) && !name.isEmpty ? Topic(name) : nil
        case .prefix(let text):
            guard Self.isLiteral(text) else { return nil }
            guard let slash = text.utf8.lastIndex(of: UInt8(ascii: "/")) else { return Topic("") }
            return Topic(String(text[...slash]))
        }
    }

    private static func isLiteral(_ text: String) -> Bool {
        text.utf8.count <= 65_000
            && text.utf8.allSatisfy { $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "#") && $0 != 0 }
    }

    private static func filter(for prefix: Topic) -> Topic {
        Topic(prefix.text + "#")
    }
}
