import LinkspanCore
import TestSupport
import Testing

@Suite struct SubscriptionTableTests {
    @Test func `a table behaves like a set of pairs under any sequence of operations`() {
        var random = SeededRandom()
        var table = SubscriptionTable()
        var model: [Int: Set<Int>] = [:]
        for _ in 0..<20_000 {
            let connection = Int.random(in: 0..<12, using: &random)
            let channel = Int.random(in: 0..<15, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0:
                var ended: [Int] = []
                table.removeConnection(connection) { ended.append($0) }
                #expect(Set(ended) == model[connection] ?? [])
                #expect(Set(ended).count == ended.count)
                model[connection] = nil
            case 1..<11:
                let isNew = model[connection, default: []].insert(channel).inserted
                #expect(table.subscribe(connection: connection, channel: channel) == isNew)
            default:
                let existed = model[connection, default: []].remove(channel) != nil
                #expect(table.unsubscribe(connection: connection, channel: channel) == existed)
            }
            #expect(
                table.isSubscribed(connection: connection, channel: channel)
                    == model[connection, default: []].contains(channel))
            self.check(table, against: model, channel: channel, connection: connection)
        }
    }

    private func check(_ table: SubscriptionTable, against model: [Int: Set<Int>], channel: Int, connection: Int) {
        var subscribers: [Int] = []
        table.forEachSubscriber(ofChannel: channel) { subscribers.append($0) }
        #expect(subscribers.sorted() == model.filter { $0.value.contains(channel) }.map(\.key).sorted())
        #expect(table.subscriberCount(ofChannel: channel) == subscribers.count)
        var channels: [Int] = []
        table.forEachChannel(ofConnection: connection) { channels.append($0) }
        #expect(channels.sorted() == model[connection, default: []].sorted())
        #expect(table.subscriptionCount(ofConnection: connection) == channels.count)
        #expect(table.count == model.values.reduce(0) { $0 + $1.count })
    }
}
