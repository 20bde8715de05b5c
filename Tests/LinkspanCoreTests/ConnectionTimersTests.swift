import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct ConnectionTimersTests {
    @Test func `the wheel fires every deadline once, never early and at most a tick late`() {
        var random = SeededRandom()
        var now = NIODeadline.uptimeNanoseconds(5_000_000_000)
        var wheel = TimerWheel(tick: .milliseconds(10), slots: 16, now: now)
        var waiting: [Int32: NIODeadline] = [:]
        var next: Int32 = 0
        for _ in 0..<5_000 {
            for _ in 0..<Int.random(in: 0..<4, using: &random) {
                let deadline = now + .microseconds(Int64.random(in: 0..<1_000_000, using: &random))
                wheel.add(.init(connection: next, generation: 0, deadline: deadline))
                waiting[next] = deadline
                next += 1
            }
            let step =
                Int64.random(in: 0..<20, using: &random) == 0 ? 700_000 : Int64.random(in: 0..<15_000, using: &random)
            now = now + .microseconds(step)
            var due: ContiguousArray<TimerWheel.Entry> = []
            wheel.takeDue(at: now, into: &due)
            for entry in due {
                #expect(entry.deadline <= now)
                #expect(waiting.removeValue(forKey: entry.connection) == entry.deadline)
            }
            #expect(waiting.values.allSatisfy { $0 > now - .milliseconds(10) })
            #expect(wheel.count == waiting.count)
        }
    }

    @Test func `a rate lets a second's worth through at once and spaces what follows`() throws {
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        var rate = try #require(PublishRate(perSecond: 10, now: start))
        for _ in 0..<10 { #expect(rate.published(at: start) == nil) }
        #expect(rate.published(at: start) == start + .milliseconds(100))
        #expect(rate.published(at: start + .milliseconds(100)) == start + .milliseconds(200))
        #expect(rate.published(at: start + .seconds(60)) == nil, "an idle time refills it")
        #expect(PublishRate(perSecond: 0, now: start) == nil)
    }
}
