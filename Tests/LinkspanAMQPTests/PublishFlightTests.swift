import Testing

@testable import LinkspanAMQP

struct PublishFlightTests {
    private static let turn: UInt64 = 1_000_000
    private static let turnsPerSecond = 1_000

    /// - Parameter perSecond: what an upstream confirms with so many under way.
    /// - Returns: in how many of the turns the whole window was used.
    private func wait(
        _ flight: inout PublishFlight, seconds: Int, perSecond: (_ limit: Int) -> Int
    ) -> Int {
        var turnsWithMany = 0
        for _ in 0..<seconds * Self.turnsPerSecond {
            if flight.limit > PublishFlight.few { turnsWithMany += 1 }
            flight.waited(confirmed: perSecond(flight.limit) / Self.turnsPerSecond, elapsed: Self.turn)
        }
        return turnsWithMany
    }

    @Test func `a small window is used as it is`() {
        for most in [1, 100, PublishFlight.few] {
            var flight = PublishFlight(most: most)
            #expect(flight.limit == most)
            _ = self.wait(&flight, seconds: 10) { $0 * 100 }
            #expect(flight.limit == most)
        }
    }

    @Test func `few are under way to an upstream that gets slower with more, but for a try now and then`() {
        var flight = PublishFlight(most: 1_000)
        #expect(flight.limit == PublishFlight.few)
        let turns = self.wait(&flight, seconds: 100) { $0 > 400 ? 58_000 : 68_000 }
        #expect(flight.limit == PublishFlight.few)
        #expect((1...3_000).contains(turns))
    }

    @Test func `over a long way the whole window is used within seconds`() {
        var flight = PublishFlight(most: 1_000)
        _ = self.wait(&flight, seconds: 2) { $0 * 10 }
        #expect(flight.limit == 1_000)
        let turns = self.wait(&flight, seconds: 100) { $0 * 10 }
        #expect(turns > 90_000)
    }

    @Test func `when the way gets short again few are enough`() {
        var flight = PublishFlight(most: 1_000)
        _ = self.wait(&flight, seconds: 2) { $0 * 10 }
        #expect(flight.limit == 1_000)
        _ = self.wait(&flight, seconds: 70) { $0 > 400 ? 58_000 : 68_000 }
        #expect(flight.limit == PublishFlight.few)
    }

    @Test func `a little more is not enough for the whole window`() {
        var flight = PublishFlight(most: 1_000)
        _ = self.wait(&flight, seconds: 100) { $0 > 400 ? 40_000 : 35_000 }
        #expect(flight.limit == PublishFlight.few)
    }

    @Test func `an upstream that confirms nothing changes nothing`() {
        var flight = PublishFlight(most: 1_000)
        _ = self.wait(&flight, seconds: 100) { _ in 0 }
        #expect(flight.limit == PublishFlight.few)
    }
}
