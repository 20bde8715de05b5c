import LinkspanBridgeKit
import LinkspanCore
import TestSupport
import Testing

@Suite struct BridgingReconnectScheduleTests {
    private let initial = Duration.milliseconds(500)
    private let maximum = Duration.seconds(30)

    private func schedule(upstreams: Int = 1) -> ReconnectSchedule {
        ReconnectSchedule(initial: self.initial, maximum: self.maximum, upstreamCount: upstreams)
    }

    @Test func `pauses stay within their bounds and reach the slow pace`() {
        var random = SeededRandom()
        for _ in 0..<100 {
            var schedule = self.schedule()
            var previous = self.initial
            var longest = Duration.zero
            for _ in 0..<60 {
                let retry = schedule.failed(upstream: 0, code: .unreachable, uptime: nil, using: &random)
                #expect(retry.upstream == 0)
                #expect(
                    retry.delay >= self.initial && retry.delay <= min(previous * 3, self.maximum), "seed \(random.seed)"
                )
                previous = retry.delay
                longest = max(longest, retry.delay)
            }
            #expect(longest > .seconds(10), "seed \(random.seed)")
        }
    }

    @Test func `instances that fail together spread out`() {
        var random = SeededRandom()
        let delays = (0..<50).map { _ in
            var schedule = self.schedule()
            return (0..<4).map { _ in schedule.failed(upstream: 0, code: .lost, uptime: nil, using: &random).delay }
        }
        #expect(Set(delays).count > 45, "seed \(random.seed)")
    }

    @Test func `only a connection that lasted brings the first pace back`() {
        var random = SeededRandom()
        var schedule = self.schedule()
        for _ in 0..<60 { _ = schedule.failed(upstream: 0, code: .unreachable, uptime: nil, using: &random) }
        let flapping = (0..<60).map { _ in
            schedule.failed(upstream: 0, code: .lost, uptime: .seconds(59), using: &random).delay
        }
        #expect((flapping.max() ?? .zero) > .seconds(10), "seed \(random.seed)")
        let stable = schedule.failed(upstream: 0, code: .lost, uptime: .seconds(60), using: &random)
        #expect(stable.delay <= self.initial)
    }

    @Test(arguments: [UpstreamError.Code.refused, .takenOver])
    func `a refusal waits at the slowest pace at once`(code: UpstreamError.Code) {
        var random = SeededRandom()
        var schedule = self.schedule()
        let retry = schedule.failed(upstream: 0, code: code, uptime: nil, using: &random)
        #expect(retry.delay >= self.maximum * 0.75 && retry.delay <= self.maximum)
    }

    @Test func `every URL gets its try before the pace slows, the preferred first`() {
        var random = SeededRandom()
        var schedule = self.schedule(upstreams: 3)
        var upstream = 0
        var order: [Int] = []
        for _ in 0..<7 {
            let retry = schedule.failed(upstream: upstream, code: .unreachable, uptime: nil, using: &random)
            upstream = retry.upstream
            order.append(upstream)
            if upstream != 0 { #expect(retry.delay <= self.initial) }
        }
        #expect(order == [1, 2, 0, 1, 2, 0, 1])
    }

    @Test func `after a loss the other URLs come first, the preferred before the rest`() {
        var random = SeededRandom()
        var schedule = self.schedule(upstreams: 3)
        _ = schedule.failed(upstream: 0, code: .unreachable, uptime: nil, using: &random)
        let retry = schedule.failed(upstream: 1, code: .lost, uptime: .seconds(600), using: &random)
        #expect(retry.upstream == 0)
        let second = schedule.failed(upstream: 0, code: .unreachable, uptime: nil, using: &random)
        #expect(second.upstream == 2)
    }
}
