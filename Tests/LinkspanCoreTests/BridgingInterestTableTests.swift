import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct BridgingInterestTableTests {
    private static func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }
    private static func subscribe(_ name: String) -> InterestChange { .subscribe(.exact(name)) }
    private static func unsubscribe(_ name: String) -> InterestChange { .unsubscribe(.exact(name)) }

    @Test func `a name is subscribed once and left after the linger time`() {
        var table = InterestTable(linger: .seconds(10))
        table.subscribed("a")
        table.subscribed("a")
        #expect(table.takeChanges() == [Self.subscribe("a")])
        #expect(table.takeChanges().isEmpty)
        table.unsubscribed("a", at: Self.at(0))
        table.expire(at: Self.at(9))
        #expect(!table.hasChanges && table.count == 1)
        table.expire(at: Self.at(10))
        #expect(table.takeChanges() == [Self.unsubscribe("a")])
        #expect(table.count == 0)
    }

    @Test func `coming back within the linger time costs nothing upstream`() {
        var table = InterestTable(linger: .seconds(10))
        table.subscribed("a")
        _ = table.takeChanges()
        table.unsubscribed("a", at: Self.at(0))
        table.subscribed("a")
        table.expire(at: Self.at(60))
        #expect(!table.hasChanges && table.count == 1)
        table.unsubscribed("a", at: Self.at(60))
        table.expire(at: Self.at(70))
        #expect(table.takeChanges() == [Self.unsubscribe("a")])
    }

    @Test func `leaving again starts the linger time again`() {
        var table = InterestTable(linger: .seconds(10))
        table.subscribed("a")
        _ = table.takeChanges()
        table.unsubscribed("a", at: Self.at(0))
        table.subscribed("a")
        table.unsubscribed("a", at: Self.at(8))
        table.expire(at: Self.at(10))
        #expect(!table.hasChanges)
        table.expire(at: Self.at(18))
        #expect(table.takeChanges() == [Self.unsubscribe("a")])
    }

    @Test func `what the upstream was told it is told again, everything once in a period`() {
        var table = InterestTable(linger: .zero)
        for name in ["a", "b", "c"] { table.subscribed(name) }
        _ = table.takeChanges()
        table.subscribed("late")
        table.renew(every: .seconds(10), at: Self.at(100))
        table.renew(every: .seconds(10), at: Self.at(109))
        #expect(table.takeChanges() == [Self.subscribe("late")])
        table.renew(every: .seconds(10), at: Self.at(110))
        let names = ["a", "b", "c", "late"]
        #expect(Set(table.takeChanges()) == Set(names.map(Self.subscribe)))
        table.renew(every: .seconds(10), at: Self.at(119))
        #expect(!table.hasChanges)
        table.renew(every: .seconds(10), at: Self.at(120))
        #expect(table.takeChanges().count == 4)
    }

    @Test func `a large table is told again at a bounded pace, however seldom the clock is looked at`() {
        var table = InterestTable(linger: .zero)
        let count = 5 * InterestTable.renewalsPerSecond
        for number in 0..<count { table.subscribed("\(number)") }
        _ = table.takeChanges()
        table.renew(every: .seconds(1), at: Self.at(0))
        var told: [InterestChange] = []
        for second in [1, 2, 3, 60, 61, 62] as [Int64] {
            table.renew(every: .seconds(1), at: Self.at(second))
            let changes = table.takeChanges()
            #expect(changes.count <= InterestTable.renewalsPerSecond)
            told += changes
        }
        #expect(told.count == count + InterestTable.renewalsPerSecond && Set(told).count == count)
    }

    @Test func `a name that is left before it was told again is left, and a lost link starts a new round`() {
        var table = InterestTable(linger: .zero)
        for name in ["a", "b"] { table.subscribed(name) }
        _ = table.takeChanges()
        table.renew(every: .seconds(1), at: Self.at(0))
        table.renew(every: .seconds(1), at: Self.at(1))
        table.unsubscribed("a", at: Self.at(1))
        table.expire(at: Self.at(1))
        #expect(Set(table.takeChanges()) == [Self.unsubscribe("a"), Self.subscribe("b")])
        table.renew(every: .seconds(1), at: Self.at(2))
        table.linkLost()
        #expect(table.takeChanges() == [Self.subscribe("b")])
        table.renew(every: .seconds(1), at: Self.at(50))
        #expect(!table.hasChanges)
        table.renew(every: .seconds(1), at: Self.at(51))
        #expect(table.takeChanges() == [Self.subscribe("b")])
    }

    @Test func `filters that are wanted always are told again too`() {
        var table = InterestTable(always: [.prefix("a/"), .exact("b")])
        #expect(table.takeChanges().count == 2)
        table.renew(every: .seconds(1), at: Self.at(0))
        #expect(!table.hasChanges)
        table.renew(every: .seconds(1), at: Self.at(1))
        #expect(table.takeChanges() == [.subscribe(.prefix("a/")), Self.subscribe("b")])
    }

    @Test func `churn before the bridge looked cancels out`() {
        var table = InterestTable(linger: .zero)
        table.subscribed("a")
        table.unsubscribed("a", at: Self.at(0))
        table.expire(at: Self.at(0))
        #expect(table.takeChanges().isEmpty)
    }

    @Test func `after a lost link the whole interest comes again, and nothing else`() {
        var table = InterestTable(linger: .seconds(10))
        for name in ["a", "b", "c"] { table.subscribed(name) }
        _ = table.takeChanges()
        table.unsubscribed("b", at: Self.at(0))
        table.unsubscribed("c", at: Self.at(0))
        table.expire(at: Self.at(10))
        table.subscribed("d")
        table.linkLost()
        #expect(Set(table.takeChanges()) == [Self.subscribe("a"), Self.subscribe("d")])
    }

    @Test func `past the limit names are refused and counted, known ones are not`() {
        var table = InterestTable(linger: .zero, limit: 2)
        for name in ["a", "b", "c", "a"] { table.subscribed(name) }
        #expect(table.refusedCount == 1 && table.count == 2)
        table.unsubscribed("a", at: Self.at(0))
        table.expire(at: Self.at(0))
        _ = table.takeChanges()
        table.subscribed("c")
        #expect(table.takeChanges() == [Self.subscribe("c")])
    }

    @Test func `equivalent spellings are two names`() {
        var table = InterestTable(linger: .zero)
        table.subscribed("caf\u{E9}")
        table.subscribed("cafe\u{301}")
        #expect(table.takeChanges().count == 2)
    }

    @Test func `a refused filter is remembered until it is accepted, left or the link breaks`() {
        var table = InterestTable(linger: .zero)
        table.subscribed("a")
        _ = table.takeChanges()
        table.settled(.exact("a"), accepted: false)
        table.settled(.exact("never wanted"), accepted: false)
        #expect(table.rejected == [.exact("a")])
        table.settled(.exact("a"), accepted: true)
        #expect(table.rejected.isEmpty)
        table.settled(.exact("a"), accepted: false)
        table.linkLost()
        #expect(table.rejected.isEmpty)
    }

    @Test func `a fixed interest is told once per link, whatever the channels do`() {
        var table = InterestTable(always: [
            .prefix("sc/plant/"), .exact("sc/plant/1"), .exact("sc/news"), .prefix("sc/plant/a/"),
        ])
        table.subscribed("sc/x")
        #expect(table.takeChanges() == [.subscribe(.prefix("sc/plant/")), .subscribe(.exact("sc/news"))])
        #expect(!table.hasChanges && table.count == 2)
        table.linkLost()
        #expect(table.takeChanges().count == 2)
    }

    @Test func `no filters are no interest`() {
        var table = InterestTable(always: [])
        table.subscribed("a")
        #expect(table.count == 0 && table.takeChanges().isEmpty)
    }

    @Test func `globs become exact names and literal prefixes`() throws {
        let rules = NameRules(
            reserved: Set("*#".utf8), escapesControls: true, separator: UInt8(ascii: "."), lengthLimit: 255)
        let template = try NameTemplate("sc.{channel}", rules: rules)
        let selector = ChannelSelector(include: [try Glob("plant/*/state"), try Glob("news\\*")])
        #expect(
            InterestTable.filters(for: selector, through: template) == [.prefix("sc.plant."), .exact("sc.news%2A")])
    }

    @Test func `the upstream always ends up with exactly what is wanted`() {
        var random = SeededRandom()
        for _ in 0..<50 {
            var table = InterestTable(linger: .seconds(5))
            var upstream: Set<String> = []
            var local: Set<String> = []
            var now: Int64 = 0
            for _ in 0..<400 {
                let name = "n\(Int.random(in: 0..<8, using: &random))"
                switch Int.random(in: 0..<12, using: &random) {
                case 0..<4:
                    local.insert(name)
                    table.subscribed(name)
                case 4..<8:
                    local.remove(name)
                    table.unsubscribed(name, at: Self.at(now))
                case 8:
                    now += Int64.random(in: 0...4, using: &random)
                    table.expire(at: Self.at(now))
                case 9:
                    upstream = []
                    table.linkLost()
                default:
                    Self.apply(table.takeChanges(), to: &upstream)
                    #expect(upstream.isSuperset(of: local), "seed \(random.seed)")
                    #expect(upstream.count == table.count, "seed \(random.seed)")
                }
            }
            table.expire(at: Self.at(now + 5))
            table.expire(at: Self.at(now + 10))
            Self.apply(table.takeChanges(), to: &upstream)
            #expect(upstream == local, "seed \(random.seed)")
        }
    }

    /// Fails when the table tells the upstream something twice.
    private static func apply(_ changes: [InterestChange], to upstream: inout Set<String>) {
        for change in changes {
            switch change {
            case .subscribe(.exact(let name)): #expect(upstream.insert(name).inserted)
            case .unsubscribe(.exact(let name)): #expect(upstream.remove(name) != nil)
            case .subscribe(.prefix), .unsubscribe(.prefix): Issue.record("a prefix from channels")
            }
        }
    }
}
