internal import NIOCore
internal import Testing

@testable internal import LinkspanServer

struct TurnPauseTests {
    private func time(_ microseconds: Int64) -> NIODeadline {
        .uptimeNanoseconds(0) + .seconds(5) + .microseconds(microseconds)
    }

    @Test func `the first read of a loop comes after a pause`() {
        #expect(TurnPause().isOver(at: self.time(0)))
    }

    @Test func `reads right behind a turn belong to a crowd until nothing happens for a tenth of a millisecond`() {
        var pause = TurnPause()
        pause.turnEnded(at: self.time(0))
        #expect(!pause.isOver(at: self.time(0)))
        #expect(!pause.isOver(at: self.time(99)))
        #expect(pause.isOver(at: self.time(100)))
        pause.turnEnded(at: self.time(150))
        #expect(!pause.isOver(at: self.time(249)))
        #expect(pause.isOver(at: self.time(250)))
    }

    @Test func `a clock that stands still makes no pause`() {
        var pause = TurnPause()
        pause.turnEnded(at: self.time(0))
        for _ in 0..<3 {
            #expect(!pause.isOver(at: self.time(0)))
            pause.turnEnded(at: self.time(0))
        }
    }
}
