import LinkspanBridgeKit
import Testing

@testable import LinkspanAMQP

struct BindingTableTests {
    @Test(arguments: [
        (UpstreamFilter.exact("sc.news"), "sc.news"), (.prefix("sc.news."), "sc.news.#"), (.prefix("sc.ne"), "sc.#"),
        (.prefix("sc."), "sc.#"), (.prefix("sc"), "#"), (.prefix(""), "#"), (.exact(""), ""),
    ])
    func `a prefix is cut back to whole words`(_ filter: UpstreamFilter, _ key: String) {
        #expect(BindingTable.key(for: filter) == RoutingKey(key))
    }

    @Test func `filters that need one key bind it once and unbind it with the last`() {
        var table = BindingTable()
        let key = RoutingKey("sc.#")
        #expect(table.subscribe(.prefix("sc.a")) == (.bind(key), false))
        #expect(table.subscribe(.prefix("sc.b")) == (nil, false))
        #expect(table.bindAnswered(key, accepted: true) == [.prefix("sc.a"), .prefix("sc.b")])
        #expect(table.subscribe(.prefix("sc.c")) == (nil, true))
        #expect(table.unsubscribe(.prefix("sc.a")) == nil)
        #expect(table.unsubscribe(.prefix("sc.c")) == nil)
        #expect(table.wants("sc.x"))
        #expect(table.unsubscribe(.prefix("sc.b")) == .unbind(key))
        #expect(!table.wants("sc.x"))
        #expect(table.unsubscribe(.prefix("sc.b")) == nil)
    }

    @Test func `a filter that comes again binds its key again, once at a time`() {
        var table = BindingTable()
        let key = RoutingKey("sc.#")
        _ = table.subscribe(.prefix("sc.a"))
        _ = table.subscribe(.prefix("sc.b"))
        #expect(table.subscribe(.prefix("sc.a")) == (nil, false))
        _ = table.bindAnswered(key, accepted: true)
        #expect(table.subscribe(.prefix("sc.a")) == (.bind(key), false))
        #expect(table.bindAnswered(key, accepted: true) == [.prefix("sc.a"), .prefix("sc.b")])
        #expect(table.unsubscribe(.prefix("sc.a")) == nil)
        #expect(table.unsubscribe(.prefix("sc.b")) == .unbind(key))
        #expect(!table.wants("sc.x"))
    }

    @Test func `a refused key is forgotten, so that asking again asks the upstream again`() {
        var table = BindingTable()
        let key = RoutingKey("sc.secret")
        #expect(table.subscribe(.exact("sc.secret")) == (.bind(key), false))
        #expect(table.bindAnswered(key, accepted: false) == [.exact("sc.secret")])
        #expect(!table.wants("sc.secret"))
        #expect(table.subscribe(.exact("sc.secret")) == (.bind(key), false))
    }

    @Test func `a key that was left and wanted again is settled by its last answer`() {
        var table = BindingTable()
        let key = RoutingKey("sc.a")
        #expect(table.subscribe(.exact("sc.a")) == (.bind(key), false))
        #expect(table.unsubscribe(.exact("sc.a")) == .unbind(key))
        #expect(table.subscribe(.exact("sc.a")) == (.bind(key), false))
        #expect(table.bindAnswered(key, accepted: true) == [])
        #expect(table.bindAnswered(key, accepted: true) == [.exact("sc.a")])
    }

    @Test func `canonically equivalent names are two keys`() {
        var table = BindingTable()
        #expect(table.subscribe(.exact("sc.caf\u{E9}")).operation != nil)
        #expect(table.subscribe(.exact("sc.cafe\u{301}")).operation != nil)
    }

    @Test func `a binding of an earlier life is found once, and not before the interest is known`() {
        var stale = StaleBindings(isResumed: true)
        #expect(!stale.isLooking)
        stale.interestKnown()
        #expect(stale.isLooking)
        #expect(stale.found("sc.old") == true)
        #expect(stale.found("sc.old") == false)
        var fresh = StaleBindings()
        fresh.interestKnown()
        #expect(!fresh.isLooking)
    }
}
