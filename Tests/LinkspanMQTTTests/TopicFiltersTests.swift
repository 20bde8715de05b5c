import LinkspanBridgeKit
import TestSupport
import Testing

@testable import LinkspanMQTT

struct TopicFiltersTests {
    private var filters = TopicFilters()
    private var settled: [SettledFilter] = []

    private mutating func apply(_ changes: InterestChange...) -> FilterChanges {
        var result = self.filters.apply(changes, settled: &self.settled)
        result.subscribe.sort { $0.text < $1.text }
        result.unsubscribe.sort { $0.text < $1.text }
        return result
    }

    private static func changes(_ subscribe: [String], _ unsubscribe: [String] = []) -> FilterChanges {
        FilterChanges(subscribe: subscribe.map(Topic.init), unsubscribe: unsubscribe.map(Topic.init))
    }

    @Test mutating func `a name is subscribed once and unsubscribed once`() {
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes(["sc/a"]))
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes([]))
        #expect(self.apply(.unsubscribe(.exact("sc/a"))) == Self.changes([], ["sc/a"]))
        #expect(self.apply(.unsubscribe(.exact("sc/a"))) == Self.changes([]))
    }

    @Test mutating func `what was granted and comes again is asked for again, and may be refused then`() {
        _ = self.apply(.subscribe(.exact("sc/a")), .subscribe(.prefix("plant/")))
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes([]))
        for topic in ["sc/a", "plant/#"] { _ = self.filters.answered(Topic(topic), isAccepted: true) }
        self.settled = []
        let again = self.apply(.subscribe(.exact("sc/a")), .subscribe(.prefix("plant/")))
        #expect(again == Self.changes(["plant/#", "sc/a"]))
        #expect(self.settled == [] && self.filters.covers(Topic("sc/a")))
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes([]))
        let granted = self.filters.answered(Topic("plant/#"), isAccepted: true)
        #expect(granted == [SettledFilter(filter: .prefix("plant/"), isAccepted: true)])
        let refused = self.filters.answered(Topic("sc/a"), isAccepted: false)
        #expect(refused.allSatisfy { $0 == SettledFilter(filter: .exact("sc/a"), isAccepted: false) })
        #expect(!refused.isEmpty && !self.filters.covers(Topic("sc/a")))
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes(["sc/a"]))
    }

    @Test mutating func `a name below a prefix that comes again asks for the prefix again`() {
        _ = self.apply(.subscribe(.prefix("sc/")))
        _ = self.filters.answered(Topic("sc/#"), isAccepted: true)
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes([]))
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes(["sc/#"]))
    }

    @Test mutating func `what comes and goes in one batch leaves no trace`() {
        #expect(self.apply(.subscribe(.exact("sc/a")), .unsubscribe(.exact("sc/a"))) == Self.changes([]))
        #expect(self.apply(.subscribe(.prefix("sc/a/")), .unsubscribe(.prefix("sc/a/"))) == Self.changes([]))
    }

    @Test mutating func `a prefix is cut back to its last level`() {
        #expect(self.apply(.subscribe(.prefix("sc/plant-"))) == Self.changes(["sc/#"]))
        #expect(self.filters.covers(Topic("sc/other")))
    }

    @Test mutating func `a prefix without a level takes everything`() {
        #expect(self.apply(.subscribe(.prefix("pla"))) == Self.changes(["#"]))
        #expect(!self.filters.covers(Topic("$SYS/uptime")))
    }

    @Test mutating func `a name below a prefix needs no subscription of its own`() {
        #expect(self.apply(.subscribe(.prefix("sc/"))) == Self.changes(["sc/#"]))
        #expect(self.apply(.subscribe(.exact("sc/a/b"))) == Self.changes([]))
        #expect(self.apply(.subscribe(.exact("sc"))) == Self.changes([]))
        #expect(self.apply(.subscribe(.exact("scx"))) == Self.changes(["scx"]))
    }

    @Test mutating func `a shorter prefix takes over names and longer prefixes`() {
        _ = self.apply(.subscribe(.exact("sc/a/1")), .subscribe(.prefix("sc/a/b/")), .subscribe(.exact("else")))
        #expect(self.apply(.subscribe(.prefix("sc/a/"))) == Self.changes(["sc/a/#"], ["sc/a/1", "sc/a/b/#"]))
        #expect(self.apply(.unsubscribe(.prefix("sc/a/"))) == Self.changes(["sc/a/1", "sc/a/b/#"], ["sc/a/#"]))
    }

    @Test mutating func `two prefixes cut back to one level stay until both are gone`() {
        #expect(self.apply(.subscribe(.prefix("sc/x")), .subscribe(.prefix("sc/y"))) == Self.changes(["sc/#"]))
        #expect(self.apply(.unsubscribe(.prefix("sc/x"))) == Self.changes([]))
        #expect(self.apply(.unsubscribe(.prefix("sc/y"))) == Self.changes([], ["sc/#"]))
    }

    @Test mutating func `a filter is settled when its carrier is answered, and at once when it is granted already`() {
        _ = self.apply(.subscribe(.prefix("sc/")), .subscribe(.exact("sc/a")))
        #expect(self.settled.isEmpty)
        #expect(
            self.filters.answered(Topic("sc/#"), isAccepted: true) == [
                SettledFilter(filter: .prefix("sc/"), isAccepted: true),
                SettledFilter(filter: .exact("sc/a"), isAccepted: true),
            ])
        _ = self.apply(.subscribe(.exact("sc/b")))
        #expect(self.settled == [SettledFilter(filter: .exact("sc/b"), isAccepted: true)])
    }

    @Test mutating func `a refused filter is asked for again when it is wanted again`() {
        _ = self.apply(.subscribe(.exact("sc/a")))
        #expect(
            self.filters.answered(Topic("sc/a"), isAccepted: false) == [
                SettledFilter(filter: .exact("sc/a"), isAccepted: false)
            ])
        #expect(self.apply(.subscribe(.exact("sc/a"))) == Self.changes(["sc/a"]))
    }

    @Test mutating func `wildcards in a name are refused and not sent`() {
        #expect(self.apply(.subscribe(.exact("sc/+")), .subscribe(.prefix("sc/#/"))) == Self.changes([]))
        #expect(self.settled.map(\.isAccepted) == [false, false])
    }

    @Test mutating func `spellings that Swift takes for equal are two topics`() {
        let (composed, decomposed) = ("sc/caf\u{e9}", "sc/cafe\u{301}")
        #expect(composed == decomposed)
        #expect(Topic(composed) != Topic(decomposed))
        #expect(
            self.apply(.subscribe(.exact(composed))).subscribe.map { Array($0.text.utf8) } == [Array(composed.utf8)])
        #expect(
            self.apply(.subscribe(.exact(decomposed))).subscribe.map { Array($0.text.utf8) } == [Array(decomposed.utf8)]
        )
    }

    @Test mutating func `strangers of a topic are all filters of ours that match it`() {
        _ = self.apply(.subscribe(.prefix("x/")))
        let strangers = self.filters.strangers(matching: Topic("sc/a/b")).map(\.text).sorted()
        #expect(strangers == ["#", "sc/#", "sc/a/#", "sc/a/b", "sc/a/b/#"])
    }

    @Test func `after any history every wanted topic is matched exactly once`() {
        var random = SeededRandom()
        let levels = ["a", "b", "c"]
        func name() -> String {
            (0..<Int.random(in: 1...4, using: &random)).map { _ in levels.randomElement(using: &random)! }.joined(
                separator: "/")
        }
        for _ in 0..<200 {
            var filters = TopicFilters()
            var wanted: Set<UpstreamFilter> = []
            var atBroker: Set<String> = []
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                var changes: [InterestChange] = []
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let filter: UpstreamFilter =
                        Bool.random(using: &random)
                        ? .exact(name()) : .prefix(name() + (Bool.random(using: &random) ? "/" : ""))
                    if Int.random(in: 0...2, using: &random) > 0 {
                        changes.append(.subscribe(filter))
                        wanted.insert(filter)
                    } else {
                        changes.append(.unsubscribe(filter))
                        wanted.remove(filter)
                    }
                }
                var settled: [SettledFilter] = []
                let result = filters.apply(changes, settled: &settled)
                for topic in result.unsubscribe { #expect(atBroker.remove(topic.text) != nil) }
                for topic in result.subscribe { #expect(atBroker.insert(topic.text).inserted) }
                #expect(atBroker == Set(filters.active.map(\.text)))
            }
            for _ in 0..<50 {
                let topic = name()
                let matches = atBroker.count { Self.matches($0, topic) }
                let isWanted = wanted.contains {
                    switch $0 {
                    case .exact(let name): name == topic
                    case .prefix(let text): topic.hasPrefix(text)
                    }
                }
                #expect(matches <= 1, "\(topic) by \(atBroker), \(random)")
                if isWanted { #expect(matches == 1, "\(topic) by \(atBroker), wanted \(wanted), \(random)") }
            }
        }
    }

    /// MQTT 5, 4.7, for the filters that we make.
    private static func matches(_ filter: String, _ topic: String) -> Bool {
        guard filter.hasSuffix("#") else { return filter == topic }
        let prefix = filter.dropLast()
        return topic.hasPrefix(prefix) || topic == prefix.dropLast()
    }
}
