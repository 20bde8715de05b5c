import LinkspanCore
import Testing

@Suite struct BridgingPreferredReturnTests {
    @Test func `looks become rarer while returns do not last, up to a limit`() {
        var preferred = PreferredReturn(pause: .seconds(30))
        var pauses: [Duration] = []
        for _ in 0..<7 {
            pauses.append(preferred.pause)
            preferred.returning()
            preferred.ended(uptime: .seconds(1))
        }
        #expect(pauses == [30, 60, 120, 240, 480, 480, 480].map { .seconds($0) })
    }

    @Test func `a return that lasted brings the first pace back`() {
        var preferred = PreferredReturn(pause: .seconds(30))
        preferred.returning()
        preferred.ended(uptime: nil)
        #expect(preferred.pause == .seconds(60))
        preferred.returning()
        preferred.ended(uptime: PreferredReturn.stability)
        #expect(preferred.pause == .seconds(30))
    }

    @Test func `a loss that no return came before changes nothing`() {
        var preferred = PreferredReturn(pause: .seconds(30))
        preferred.ended(uptime: .seconds(1))
        #expect(preferred.pause == .seconds(30))
    }
}
