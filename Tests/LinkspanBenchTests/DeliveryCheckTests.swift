import Testing

@testable import LinkspanBench

struct DeliveryCheckTests {
    @Test func `what arrives once and in order is clean`() {
        var check = DeliveryCheck()
        for sequence in 0..<200 as Range<UInt64> { check.received(sequence) }
        check.ended(sent: 200)
        #expect(check.faults.isClean)
    }

    @Test func `a gap is lost messages`() {
        var check = DeliveryCheck()
        for sequence in [0, 1, 5, 6] as [UInt64] { check.received(sequence) }
        check.ended(sent: 7)
        #expect(check.faults == Faults(lost: 3))
    }

    @Test func `what is missing at the end is lost`() {
        var check = DeliveryCheck()
        check.received(0)
        check.ended(sent: 4)
        #expect(check.faults == Faults(lost: 3))
    }

    @Test func `a late message is reordered, not lost`() {
        var check = DeliveryCheck()
        for sequence in [0, 2, 1, 3] as [UInt64] { check.received(sequence) }
        check.ended(sent: 4)
        #expect(check.faults == Faults(reordered: 1))
    }

    @Test func `a second copy is repeated, be it late or at once`() {
        var check = DeliveryCheck()
        for sequence in [0, 0, 1, 2, 3, 1] as [UInt64] { check.received(sequence) }
        check.ended(sent: 4)
        #expect(check.faults == Faults(repeated: 2))
    }

    @Test func `a second copy of a late message is repeated`() {
        var check = DeliveryCheck()
        for sequence in [0, 2, 1, 1, 3] as [UInt64] { check.received(sequence) }
        check.ended(sent: 4)
        #expect(check.faults == Faults(repeated: 1, reordered: 1))
    }
}

struct StampTests {
    private func read(_ payload: [UInt8], size: Int) -> Stamp? {
        let filling = Stamp(stream: 0, sequence: 0, due: 0).payload(size: size)
        return payload.withUnsafeBytes { payload in
            filling.withUnsafeBytes { Stamp(payload: payload, size: size, filling: $0) }
        }
    }

    @Test(arguments: [Stamp.smallestPayload, 128, 1024])
    func `a payload tells its stamp, and is a JSON string`(size: Int) {
        let stamp = Stamp(stream: 17, sequence: 0xABCD_EF01_2345, due: .max)
        let payload = stamp.payload(size: size)
        #expect(payload.count == size)
        #expect(payload.first == UInt8(ascii: "\"") && payload.last == UInt8(ascii: "\""))
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        #expect(payload.dropFirst().dropLast().allSatisfy { letters.contains($0 | 0x20) })
        #expect(self.read(payload, size: size) == stamp)
    }

    @Test func `any other byte in any place is seen`() {
        let stamp = Stamp(stream: 3, sequence: 4, due: 5)
        for index in 0..<128 {
            var payload = stamp.payload(size: 128)
            payload[index] ^= 1
            #expect(self.read(payload, size: 128) != stamp)
        }
    }

    @Test func `a payload of another size is none`() {
        #expect(self.read(Stamp(stream: 1, sequence: 2, due: 3).payload(size: 127), size: 128) == nil)
    }
}

struct StatisticsTests {
    @Test func `the median is the middle, or between the two in the middle`() {
        #expect(median([]) == nil)
        #expect(median([3, 1, 2]) == 2)
        #expect(median([4, 1, 2, 3]) == 2.5)
    }

    @Test func `percentiles are within two percent`() throws {
        var histogram = Histogram()
        for value in 1...10_000 as ClosedRange<UInt64> { histogram.record(value * 1000) }
        for share in [0.5, 0.9, 0.99] {
            let found = try #require(histogram.percentile(share))
            #expect(abs(found / (share * 10_000_000) - 1) < 0.02)
        }
        #expect(Histogram().percentile(0.5) == nil)
    }

    @Test(arguments: [(0.3124, "0.312"), (8.914, "8.91"), (31.25, "31.3"), (1240.4, "1,240"), (0, "0")])
    func `figures have three digits`(value: Double, text: String) {
        #expect(value.short == text)
    }

    @Test func `a goal is judged by the ratio of medians`() {
        var outcome = RowOutcome(
            name: "row", title: "", reference: "floor", ours: "linkspan", contenders: ["floor", "linkspan"],
            measures: [(.serverMicrosecondsPerMessage, .atMostTimes(1.5))])
        for value in [1.0, 9, 1] { outcome.add([value], Faults(), of: "floor") }
        for value in [1.4, 1.4, 40] { outcome.add([value], Faults(), of: "linkspan") }
        #expect(outcome.ratio("linkspan", 0) == 1.4)
        #expect(outcome.isGoalMet(0) == true)
        for value in [40.0, 40] { outcome.add([value], Faults(), of: "linkspan") }
        #expect(outcome.isGoalMet(0) == false)
    }

    @Test func `a run that delivers nothing is a failure, and no figure`() {
        var outcome = RowOutcome(
            name: "row", title: "", reference: "floor", ours: "linkspan", contenders: ["floor", "linkspan"],
            measures: [(.messagesPerSecond, .atLeastTimes(0.5))])
        outcome.add([10], Faults(), of: "floor")
        outcome.add([8], Faults(), of: "linkspan")
        #expect(outcome.isGoalMet(0) == true && outcome.isClean)
        outcome.add([nil], Faults(), of: "linkspan")
        #expect(outcome.failures == ["linkspan: nothing was delivered while it was measured"])
        #expect(outcome.median("linkspan", 0) == 8)
        #expect(outcome.isGoalMet(0) == nil && !outcome.isClean)
        #expect(BenchmarkReport.verdict(outcome, 0) == "failed")
    }

    @Test func `a peer without a result is named, and costs us nothing`() {
        var outcome = RowOutcome(
            name: "row", title: "", reference: "floor", ours: "linkspan", contenders: ["floor", "linkspan", "peer"],
            measures: [(.messagesPerSecond, .atLeastTimes(0.5))])
        for contender in ["floor", "linkspan"] { outcome.add([10], Faults(), of: contender) }
        outcome.failed("peer", "gave up")
        #expect(outcome.peerFailures == ["peer: gave up"])
        #expect(outcome.isGoalMet(0) == true && outcome.isClean)
        outcome.failed("floor", "gave up")
        #expect(outcome.isGoalMet(0) == nil && !outcome.isClean)
    }
}
