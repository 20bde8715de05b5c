import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct BridgingSequenceWindowTests {
    @Test func `numbers in order are fresh and cost nothing`() {
        var window = SequenceWindow()
        for sequence in UInt64(1)...1000 {
            #expect(window.judge(sequence) == .fresh(gap: nil))
        }
        #expect(window.missing.isEmpty)
        #expect(window.highest == 1000)
    }

    @Test func `the same number again is a duplicate`() {
        var window = SequenceWindow()
        _ = window.judge(1)
        #expect(window.judge(1) == .duplicate)
    }

    @Test func `a jump names the range between, and each of its numbers is late once`() {
        var window = SequenceWindow()
        _ = window.judge(1)
        #expect(window.judge(5) == .fresh(gap: 2...4))
        #expect(window.judge(3) == .late)
        #expect(window.missing == [2...2, 4...4])
        #expect(window.judge(3) == .duplicate)
        #expect(window.judge(2) == .late)
        #expect(window.judge(4) == .late)
        #expect(window.missing.isEmpty)
    }

    @Test func `what came before we listened is no gap, and late when it arrives`() {
        var window = SequenceWindow()
        #expect(window.judge(57) == .fresh(gap: nil))
        #expect(window.judge(55) == .late)
        #expect(window.judge(56) == .late)
        #expect(window.judge(55) == .duplicate)
        #expect(window.judge(1) == .late)
        #expect(window.judge(1) == .duplicate)
    }

    @Test func `a forged jump to the largest number lets the real ones pass as late`() {
        var window = SequenceWindow()
        _ = window.judge(10)
        #expect(window.judge(.max) == .fresh(gap: 11...(.max - 1)))
        #expect(window.judge(11) == .late)
        #expect(window.judge(12) == .late)
        #expect(window.judge(11) == .duplicate)
        #expect(window.judge(.max) == .duplicate)
    }

    @Test func `zero is nobody's number`() {
        var window = SequenceWindow()
        #expect(window.judge(0) == .duplicate)
        #expect(window.judge(7) == .fresh(gap: nil))
        #expect(window.judge(0) == .duplicate)
    }

    @Test func `past the range limit the lowest gap is given up`() {
        var window = SequenceWindow()
        for sequence in stride(from: UInt64(1), through: 9, by: 2) {
            _ = window.judge(sequence, rangeLimit: 3)
        }
        #expect(window.missing == [4...4, 6...6, 8...8])
        #expect(window.judge(2, rangeLimit: 3) == .duplicate)
        #expect(window.judge(4, rangeLimit: 3) == .late)
    }

    @Test func `it agrees with a set of all numbers heard`() {
        var random = SeededRandom()
        for _ in 0..<40 {
            var window = SequenceWindow()
            var model = HeardNumbers()
            for _ in 0..<1000 {
                let sequence = model.nextQuestion(using: &random)
                let expected = model.judge(sequence)
                let verdict = window.judge(sequence, rangeLimit: .max)
                guard verdict == expected, window.highest == model.highest else {
                    Issue.record("seed \(random.seed): \(sequence) is \(expected), judged \(verdict)")
                    return
                }
            }
            #expect(window.missing.allSatisfy { range in range.allSatisfy { !model.heard.contains($0) } })
            #expect(zip(window.missing, window.missing.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound })
        }
    }
}

/// The naive window: everything that was ever heard.
private struct HeardNumbers {
    var heard: Set<UInt64> = []
    var highest: UInt64 = 0

    mutating func judge(_ sequence: UInt64) -> SequenceVerdict {
        guard self.heard.insert(sequence).inserted else { return .duplicate }
        guard sequence > self.highest else { return .late }
        let hasGap = self.highest > 0 && sequence > self.highest + 1
        let gap = hasGap ? (self.highest + 1)...(sequence - 1) : nil
        self.highest = sequence
        return .fresh(gap: gap)
    }

    func nextQuestion(using random: inout SeededRandom) -> UInt64 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<6: self.highest + 1
        case 6: self.highest + UInt64.random(in: 1...20, using: &random)
        default: UInt64.random(in: 1...(self.highest + 3), using: &random)
        }
    }
}

@Suite struct BridgingOriginWindowsTests {
    private func origin(_ name: String, _ epoch: UInt64, _ sequence: UInt64) -> Origin {
        Origin(instance: InstanceID(name)!, epoch: epoch, sequence: sequence)
    }

    private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    @Test func `origins and epochs count apart`() {
        var windows = OriginWindows()
        #expect(windows.judge(self.origin("a", 1, 1), at: self.at(0)) == .fresh(gap: nil))
        #expect(windows.judge(self.origin("b", 1, 1), at: self.at(0)) == .fresh(gap: nil))
        #expect(windows.judge(self.origin("a", 2, 1), at: self.at(0)) == .fresh(gap: nil))
        #expect(windows.judge(self.origin("a", 1, 1), at: self.at(0)) == .duplicate)
        #expect(windows.judge(self.origin("a", 2, 3), at: self.at(0)) == .fresh(gap: 2...2))
        #expect(windows.count == 3)
    }

    @Test func `idle windows are forgotten and active ones stay`() {
        var windows = OriginWindows()
        _ = windows.judge(self.origin("a", 1, 1), at: self.at(0))
        _ = windows.judge(self.origin("b", 1, 1), at: self.at(50))
        #expect(windows.forget(idleSince: self.at(40)) == 1)
        #expect(windows.window(of: InstanceID("a")!, epoch: 1) == nil)
        #expect(windows.judge(self.origin("b", 1, 1), at: self.at(60)) == .duplicate)
    }

    @Test func `a flood of invented origins evicts the longest idle and is counted`() {
        var windows = OriginWindows(limit: 8)
        for second in 0..<100 {
            _ = windows.judge(self.origin("i\(second)", 1, 1), at: self.at(Int64(second)))
        }
        #expect(windows.count == 8)
        #expect(windows.evictedCount == 92)
        #expect(windows.judge(self.origin("i99", 1, 1), at: self.at(100)) == .duplicate)
    }
}

@Suite struct BridgingHopGuardTests {
    private let hopGuard = HopGuard(instance: InstanceID("me")!)

    private func header(origin: String = "a", hops: [String]) -> EnvelopeHeader {
        EnvelopeHeader(
            origin: Origin(instance: InstanceID(origin)!, epoch: 1, sequence: 1), hops: hops.map { InstanceID($0)! },
            acceptedAt: 0)
    }

    @Test func `what entered here or passed here has looped`() {
        #expect(self.hopGuard.judge(self.header(origin: "me", hops: []), limit: 4) == .looped)
        #expect(self.hopGuard.judge(self.header(hops: ["a", "me", "b"]), limit: 4) == .looped)
        #expect(self.hopGuard.judge(self.header(hops: ["a", "b"]), limit: 4) == .passes)
    }

    @Test func `one hop past the limit is too many`() {
        #expect(self.hopGuard.judge(self.header(hops: ["a", "b"]), limit: 2) == .passes)
        #expect(self.hopGuard.judge(self.header(hops: ["a", "b", "c"]), limit: 2) == .tooManyHops)
    }

    @Test func `leaving adds this instance once`() {
        let leaving = self.hopGuard.leaving(self.header(hops: ["a"]))
        #expect(leaving.hops.map(\.string) == ["a", "me"])
        #expect(self.hopGuard.leaving(leaving) == leaving)
    }
}
