import LinkspanCore
import NIOCore
import Testing

@Suite struct `Calls that clients have not answered` {
    private func at(_ seconds: UInt64) -> NIODeadline { .uptimeNanoseconds(seconds * 1_000_000_000) }

    @Test func `count from 1 and are answered once, in any order`() {
        var calls = PendingCalls<String>()
        #expect(calls.begin("a", deadline: self.at(10), waiter: "first") == 1)
        #expect(calls.begin("b", deadline: self.at(10), waiter: "second") == 2)
        #expect(calls.answered(2) == "second")
        #expect(calls.answered(2) == nil)
        #expect(calls.answered(77) == nil)
        #expect(calls.answered(1) == "first")
        #expect(calls.begin("c", deadline: self.at(10), waiter: "third") == 3, "an ID is used once")
    }

    @Test func `run out in the order of their calls, and only those that are due`() {
        var calls = PendingCalls<Int>()
        for (number, deadline) in [(1, UInt64(10)), (2, 5), (3, 10), (4, 20)] {
            #expect(calls.begin("e\(number)", deadline: self.at(deadline), waiter: number) == Int64(number))
        }
        #expect(calls.nextDeadline == self.at(5))
        #expect(calls.timePassed(at: self.at(4)).isEmpty)
        #expect(calls.timePassed(at: self.at(10)).map(\.waiter) == [1, 2, 3])
        #expect(calls.nextDeadline == self.at(20))
        #expect(calls.answered(1) == nil, "too late")
        #expect(calls.timePassed(at: self.at(30)).map(\.event) == ["e4"])
        #expect(calls.nextDeadline == .distantFuture)
        #expect(calls.count == 0)
    }

    @Test func `are bounded`() {
        var calls = PendingCalls<Int>(limit: 2)
        _ = calls.begin("a", deadline: self.at(1), waiter: 1)
        _ = calls.begin("a", deadline: self.at(1), waiter: 2)
        #expect(calls.begin("a", deadline: self.at(1), waiter: 3) == nil)
        _ = calls.answered(1)
        #expect(calls.begin("a", deadline: self.at(1), waiter: 3) == 3)
    }
}
