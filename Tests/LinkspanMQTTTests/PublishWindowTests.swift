import TestSupport
import Testing

@testable import LinkspanMQTT

struct PublishWindowTests {
    private typealias Window = PublishWindow<ContinuousClock.Instant>
    private static let start = ContinuousClock.now

    private static func entry(_ identifier: UInt16, _ ticket: UInt64, second: Int = 0) -> Window.Entry {
        Window.Entry(identifier: identifier, ticket: ticket, bytes: 10, sentAt: Self.start + .seconds(second))
    }

    @Test func `answers in order settle in order`() {
        var window = Window()
        for number in 1...5 { window.sent(Self.entry(UInt16(number), UInt64(number) + 100)) }
        #expect(window.count == 5)
        #expect(window.bytes == 50)
        for number in 1...5 { #expect(window.settled(UInt16(number)) == UInt64(number) + 100) }
        #expect(window.count == 0)
        #expect(window.bytes == 0)
        #expect(window.oldest == nil)
    }

    @Test func `an answer out of order leaves the oldest where it is`() {
        var window = Window()
        for number in 1...3 { window.sent(Self.entry(UInt16(number), UInt64(number), second: number)) }
        #expect(window.settled(2) == 2)
        #expect(window.oldest == Self.start + .seconds(1))
        #expect(window.settled(1) == 1)
        #expect(window.oldest == Self.start + .seconds(3))
    }

    @Test func `an answer to nothing and a second answer settle nothing`() {
        var window = Window()
        window.sent(Self.entry(7, 1))
        window.sent(Self.entry(8, 2))
        #expect(window.settled(9) == nil)
        #expect(window.settled(8) == 2)
        #expect(window.settled(8) == nil)
        #expect(window.count == 1)
    }

    @Test func `identifiers that wrap around stay apart`() {
        var window = Window()
        for ticket in UInt64(1)...200_000 {
            let identifier = UInt16((ticket - 1) % 65535 + 1)
            window.sent(Self.entry(identifier, ticket))
            if ticket > 100 { #expect(window.settled(UInt16((ticket - 101) % 65535 + 1)) == ticket - 100) }
        }
        #expect(window.count == 100)
    }

    @Test func `adjacent tickets are confirmed as one range`() {
        var ranges = TicketRanges()
        for ticket: UInt64 in [1, 2, 3, 5, 6, 4, 9] { ranges.append(ticket) }
        #expect(ranges.ranges == [1...3, 5...6, 4...4, 9...9])
    }

    @Test func `requests go in batches of one kind, a few at a time`() {
        var requests = FilterRequests<ContinuousClock.Instant>()
        requests.add(.subscribe, (0..<250).map { Topic("t/\($0)") })
        requests.add(.unsubscribe, [Topic("old")])
        var sizes: [Int] = []
        var identifier: UInt16 = 0
        while let (kind, topics) = requests.next() {
            sizes.append(topics.count)
            identifier += 1
            requests.sent(identifier, .init(kind: kind, topics: topics, sentAt: Self.start))
        }
        #expect(sizes == [100, 100, 50, 1])
        requests.add(.subscribe, (0..<1000).map { Topic("u/\($0)") })
        for _ in 0..<4 {
            let next = requests.next()
            identifier += 1
            requests.sent(identifier, .init(kind: .subscribe, topics: next?.topics ?? [], sentAt: Self.start))
        }
        #expect(requests.next() == nil)
        #expect(requests.answered(1)?.topics.count == 100)
        #expect(requests.answered(1) == nil)
        #expect(requests.next()?.topics.count == 100)
    }

    @Test func `a request holds a bounded number of bytes`() {
        var requests = FilterRequests<ContinuousClock.Instant>()
        let long = String(repeating: "x", count: 4000)
        requests.add(.subscribe, (0..<10).map { Topic("\(long)\($0)") })
        #expect(requests.next()?.topics.count == 4)
        requests.add(.subscribe, [Topic(String(repeating: "y", count: 60_000))])
        #expect(requests.next()?.topics.count == 4)
        #expect(requests.next()?.topics.count == 2)
        #expect(requests.next()?.topics.count == 1)
    }
}
