import LinkspanCore
import Testing

@Suite struct `A circuit breaker` {
    private let start = ContinuousClock.now

    private func closed() -> CircuitBreaker { CircuitBreaker(threshold: 2, pause: .seconds(10)) }

    /// With a request from before it opened.
    private func opened() throws -> (breaker: CircuitBreaker, early: CircuitBreaker.Admission) {
        var breaker = self.closed()
        let early = try breaker.admitted(at: self.start)
        for _ in 0..<2 {
            let admission = try breaker.admitted(at: self.start)
            breaker.failed(admission, at: self.start)
        }
        return (breaker, early)
    }

    @Test func `opens after failures in a row, not after as many with a success between`() throws {
        var breaker = self.closed()
        let admissions = try (0..<4).map { _ in try breaker.admitted(at: self.start) }
        let first = breaker.failed(admissions[0], at: self.start)
        let success = breaker.succeeded(admissions[1])
        let second = breaker.failed(admissions[2], at: self.start)
        #expect((first, success, second) == (false, false, false))
        let third = breaker.failed(admissions[3], at: self.start)
        #expect(third)
        #expect(breaker.state == .open(until: self.start + .seconds(10)))
    }

    @Test func `lets the next request decide when nobody waited for the one that should have`() throws {
        var (breaker, _) = try self.opened()
        let over = self.start + .seconds(10)
        let probe = try breaker.admitted(at: over)
        #expect(breaker.state == .probing)
        breaker.abandoned(probe, at: over)
        #expect(breaker.state == .open(until: over))
        let next = try breaker.admitted(at: over)
        let isClosed = breaker.succeeded(next)
        #expect(isClosed && breaker.state == .closed(failures: 0))
        breaker.failed(next, at: over)
        breaker.abandoned(next, at: over)
        #expect(breaker.state == .closed(failures: 1))
    }

    @Test func `admits nothing while it is open, and one when the pause is over`() throws {
        var (breaker, _) = try self.opened()
        let early = breaker.admit(at: self.start + .seconds(9))
        let due = breaker.admit(at: self.start + .seconds(10))
        let next = breaker.admit(at: self.start + .seconds(11))
        #expect(early == nil)
        #expect(due != nil)
        #expect(next == nil)
    }

    @Test func `closes when the probe succeeds, and opens anew when it fails`() throws {
        var (breaker, _) = try self.opened()
        let probe = try breaker.admitted(at: self.start + .seconds(10))
        var failing = breaker
        let hasClosed = breaker.succeeded(probe)
        #expect(hasClosed)
        #expect(breaker.state == .closed(failures: 0))
        let hasOpened = failing.failed(probe, at: self.start + .seconds(12))
        #expect(hasOpened)
        #expect(failing.state == .open(until: self.start + .seconds(22)))
    }

    @Test func `results of requests from before it opened change nothing, not the probe either`() throws {
        var (breaker, early) = try self.opened()
        breaker.succeeded(early)
        breaker.failed(early, at: self.start + .seconds(5))
        #expect(breaker.state == .open(until: self.start + .seconds(10)))
        let probe = try breaker.admitted(at: self.start + .seconds(10))
        breaker.succeeded(early)
        breaker.failed(early, at: self.start + .seconds(11))
        #expect(breaker.state == .probing)
        breaker.succeeded(probe)
        #expect(breaker.state == .closed(failures: 0))
    }
}

extension CircuitBreaker {
    fileprivate mutating func admitted(at now: ContinuousClock.Instant) throws -> Admission {
        let admission = self.admit(at: now)
        return try #require(admission)
    }
}
