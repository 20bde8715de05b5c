import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

/// What an instance remembers of messages that it shares with others.
@Suite struct GroupWindowsTests {
    private func origin(_ sequence: UInt64, instance: String = "a", epoch: UInt64 = 1) -> Origin {
        Origin(instance: InstanceID(instance)!, epoch: epoch, sequence: sequence)
    }

    private func time(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    @Test func `a part of a sequence is new, in any order, and known afterwards`() {
        var windows = GroupWindows()
        for sequence: UInt64 in [7, 3, 400, 1] {
            let answers = [0, 1].map { _ in windows.insert(self.origin(sequence), at: self.time(1)) }
            #expect(answers == [true, false])
            #expect(windows.contains(self.origin(sequence)))
        }
        #expect(!windows.contains(self.origin(2)))
        #expect(windows.known(self.origin(0), in: 1...399) == [1, 3, 7])
        let others = [self.origin(7, epoch: 2), self.origin(7, instance: "b")]
        let answers = others.map { windows.insert($0, at: self.time(1)) }
        #expect(answers == [true, true])
        #expect(windows.count == 3)
    }

    @Test func `the origin that was idle longest makes room, and idle ones are forgotten`() {
        var windows = GroupWindows(limit: 2)
        for (index, name) in ["a", "b", "c"].enumerated() {
            let isNew = windows.insert(self.origin(1, instance: name), at: self.time(Int64(index)))
            #expect(isNew)
        }
        #expect(windows.count == 2)
        #expect(!windows.contains(self.origin(1, instance: "a")))
        windows.forget(idleSince: self.time(2))
        #expect(windows.count == 1)
        #expect(windows.contains(self.origin(1, instance: "c")))
    }

    @Test func `nobody's number is never new`() {
        var numbers = RecentNumbers()
        let isNew = numbers.insert(0)
        #expect(!isNew)
        #expect(numbers.known(in: 0...10).isEmpty)
    }

    @Test func `a leap to a huge number forgets, and refuses nothing`() {
        var numbers = RecentNumbers()
        let answers = [5, .max, 5, 6].map { numbers.insert($0) }
        #expect(answers == [true, true, true, true])
        #expect(numbers.known(in: 1...(.max)) == [.max])
    }

    /// Beside a plain set: what is known was inserted, and nothing within reach is forgotten.
    @Test func `it agrees with a set of numbers`() {
        var random = SeededRandom()
        for _ in 0..<40 {
            var numbers = RecentNumbers()
            var naive: Set<UInt64> = []
            var base: UInt64 = .random(in: 1...5000, using: &random)
            for _ in 0..<2000 {
                base += .random(in: 0...(Int.random(in: 0..<50, using: &random) == 0 ? 3000 : 3), using: &random)
                let number = max(base &- .random(in: 0...min(base - 1, 6000), using: &random), 1)
                let highest = naive.max() ?? 0
                let isNear = number + RecentNumbers.span - 64 > highest
                let isNew = numbers.insert(number)
                if isNear { #expect(isNew == !naive.contains(number)) }
                if !isNew { #expect(naive.contains(number)) }
                naive.insert(number)
            }
            let known = numbers.known(in: 1...base)
            #expect(known.allSatisfy(naive.contains))
            let highest = naive.max()!
            let near = naive.filter { $0 + RecentNumbers.span - 64 > highest }.sorted()
            #expect(known.suffix(near.count) == near[...])
        }
    }
}
