import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanAMQP

func message(_ ticket: UInt64, _ name: String = "sc.a", header: EnvelopeHeader? = nil) -> EgressMessage {
    EgressMessage(ticket: ticket, name: name, payload: ByteBuffer(string: "\(ticket)"), header: header)
}

struct PublishWindowTests {
    @Test func `an acknowledgement of many settles them as one range`() {
        var window = PublishWindow(limit: 4)
        for ticket in 10...13 { window.published(message(UInt64(ticket))) }
        #expect(window.room == 0)
        var settlement = PublishWindow.Settlement()
        window.acknowledged(3, multiple: true, into: &settlement)
        #expect(settlement.confirmed.ranges == [10...12])
        #expect(window.room == 3)
        window.acknowledged(4, multiple: false, into: &settlement)
        #expect(settlement.confirmed.ranges == [10...13])
        #expect(window.isEmpty)
    }

    @Test func `tag zero with multiple means all so far`() {
        var window = PublishWindow(limit: 4)
        for ticket in 1...3 { window.published(message(UInt64(ticket))) }
        var settlement = PublishWindow.Settlement()
        window.acknowledged(0, multiple: true, into: &settlement)
        #expect(settlement.confirmed.ranges == [1...3])
        #expect(window.isEmpty)
    }

    @Test(arguments: [UInt64(0), 3, 99, .max])
    func `a tag that was never published settles nothing`(_ tag: UInt64) {
        var window = PublishWindow(limit: 4)
        for ticket in 1...2 { window.published(message(UInt64(ticket))) }
        var settlement = PublishWindow.Settlement()
        window.acknowledged(tag, multiple: false, into: &settlement)
        window.rejected(tag, multiple: tag != 0, into: &settlement)
        #expect(settlement.confirmed.ranges.isEmpty)
        #expect(settlement.rejected.isEmpty)
        #expect(window.room == 2)
    }

    @Test func `a returned message is settled as unroutable by its acknowledgement, once`() {
        var window = PublishWindow(limit: 8)
        for ticket in 1...4 { window.published(message(UInt64(ticket))) }
        window.returned { $0.ticket == 2 }
        window.returned { $0.ticket == 4 }
        window.returned { $0.ticket == 3 }
        var settlement = PublishWindow.Settlement()
        window.acknowledged(4, multiple: true, into: &settlement)
        #expect(settlement.confirmed.ranges == [1...1])
        #expect(settlement.unroutable == [2, 3, 4])
        window.acknowledged(4, multiple: true, into: &settlement)
        #expect(settlement.unroutable == [2, 3, 4])
    }

    @Test func `a closed AMQP channel hands back what was unsettled, and numbers begin again`() {
        var window = PublishWindow(limit: 4)
        for ticket in 1...4 { window.published(message(UInt64(ticket))) }
        var settlement = PublishWindow.Settlement()
        window.acknowledged(2, multiple: false, into: &settlement)
        window.rejected(3, multiple: false, into: &settlement)
        #expect(settlement.rejected.map(\.ticket) == [3])
        #expect(window.channelClosed().map(\.ticket) == [1, 4])
        #expect(window.isEmpty)
        window.published(message(9))
        window.acknowledged(1, multiple: false, into: &settlement)
        #expect(settlement.confirmed.ranges == [2...2, 9...9])
    }

    @Test func `random conversations settle every message exactly once`() {
        var random = SeededRandom()
        for _ in 0..<200 {
            var window = PublishWindow(limit: Int.random(in: 1...17, using: &random))
            var unsettled: [UInt64: UInt64] = [:]
            var tag: UInt64 = 0
            var ticket: UInt64 = 0
            var settlement = PublishWindow.Settlement()
            for _ in 0..<300 {
                if Bool.random(using: &random), window.room > 0 {
                    tag += 1
                    ticket += UInt64.random(in: 1...2, using: &random)
                    window.published(message(ticket))
                    unsettled[tag] = ticket
                } else if tag > 0 {
                    let multiple = Bool.random(using: &random)
                    let last = UInt64.random(in: (tag > 20 ? tag - 20 : 1)...tag + 1, using: &random)
                    let covered = unsettled.filter { last <= tag && (multiple ? $0.key <= last : $0.key == last) }
                    let isAck = Int.random(in: 0..<4, using: &random) > 0
                    settlement.removeAll()
                    if isAck {
                        window.acknowledged(last, multiple: multiple, into: &settlement)
                    } else {
                        window.rejected(last, multiple: multiple, into: &settlement)
                    }
                    let seen =
                        isAck ? settlement.confirmed.ranges.flatMap { Array($0) } : settlement.rejected.map(\.ticket)
                    #expect(seen.sorted() == covered.values.sorted(), "\(random)")
                    for key in covered.keys { unsettled[key] = nil }
                }
            }
            #expect(window.channelClosed().map(\.ticket) == unsettled.values.sorted(), "\(random)")
        }
    }
}

struct PublishQueueTests {
    private func drain(_ queue: inout PublishQueue, isWindowEmpty: Bool = true) -> [UInt64] {
        var tickets: [UInt64] = []
        while let next = queue.next(isWindowEmpty: isWindowEmpty) { tickets.append(next.ticket) }
        return tickets
    }

    @Test func `messages leave in the order in which they came`() {
        var queue = PublishQueue()
        queue.append([message(1), message(2)])
        #expect(queue.next(isWindowEmpty: false)?.ticket == 1)
        queue.append([message(3)])
        #expect(self.drain(&queue, isWindowEmpty: false) == [2, 3])
        #expect(queue.isEmpty)
    }

    @Test func `after a refusal one message at a time finds the offender, and only that one is left out`() {
        var queue = PublishQueue()
        queue.append([message(4)])
        #expect(queue.channelClosed(unsettled: [message(1), message(2), message(3)], isPoison: true) == nil)
        #expect(queue.isCareful)
        #expect(queue.next(isWindowEmpty: true)?.ticket == 1)
        #expect(queue.next(isWindowEmpty: false) == nil)
        #expect(queue.next(isWindowEmpty: true)?.ticket == 2)
        #expect(queue.channelClosed(unsettled: [message(2)], isPoison: true)?.ticket == 2)
        #expect(queue.isCareful)
        #expect(queue.next(isWindowEmpty: true)?.ticket == 3)
        #expect(queue.next(isWindowEmpty: true)?.ticket == 4)
        queue.settled(isWindowEmpty: false)
        #expect(queue.isCareful)
        queue.settled(isWindowEmpty: true)
        #expect(!queue.isCareful)
    }

    @Test func `a message that was alone is the offender at once`() {
        var queue = PublishQueue()
        #expect(queue.channelClosed(unsettled: [message(1)], isPoison: true)?.ticket == 1)
        #expect(!queue.isCareful)
    }

    @Test func `a channel closed for another reason has everything sent again at full speed`() {
        var queue = PublishQueue()
        #expect(queue.channelClosed(unsettled: [message(1), message(2)], isPoison: false) == nil)
        #expect(self.drain(&queue, isWindowEmpty: false) == [1, 2])
    }

    @Test func `a forbidden name is tried again after a while`() {
        var names = ForbiddenNames()
        names.insert("sc.a", now: 5)
        #expect(names.contains("sc.a", now: 6) == true)
        #expect(names.contains("sc.b", now: 6) == false)
        #expect(names.contains("sc.a", now: 5 + ForbiddenNames.memory) == false)
        #expect(names.isEmpty)
    }

    @Test func `forbidden names are bounded, and old ones make room`() {
        var names = ForbiddenNames()
        for number in 0...ForbiddenNames.limit { names.insert("sc.\(number)", now: 0) }
        #expect(names.contains("sc.\(ForbiddenNames.limit)", now: 1) == false)
        names.insert("sc.new", now: ForbiddenNames.memory + 1)
        #expect(names.contains("sc.new", now: ForbiddenNames.memory + 2) == true)
    }

    @Test func `pauses grow while they are needed and start small again`() {
        var pace = PublishPace()
        #expect(pace.pause(now: 0) == nil)
        pace.rejected(now: 20_000_000)
        #expect(pace.pause(now: 20_000_000) == 50_000_000)
        pace.rejected(now: 100_000_000)
        #expect(pace.pause(now: 100_000_000) == 100_000_000)
        pace.accepted()
        pace.rejected(now: 300_000_000)
        #expect(pace.pause(now: 300_000_000) == 50_000_000)
        #expect(pace.pause(now: 400_000_000) == nil)
    }
}

struct AckProgressTests {
    @Test func `an acknowledgement waits for the oldest batch`() {
        var progress = AckProgress()
        let first = progress.handedOver(upTo: 10)
        let second = progress.handedOver(upTo: 20)
        let third = progress.handedOver(upTo: 30)
        progress.taken(second)
        #expect(progress.takeAcknowledgeable() == nil)
        #expect(progress.underWay == 3)
        progress.taken(first)
        #expect(progress.takeAcknowledgeable() == 20)
        #expect(progress.takeAcknowledgeable() == nil)
        #expect(progress.underWay == 1)
        progress.taken(first)
        progress.taken(99)
        progress.taken(third)
        #expect(progress.takeAcknowledgeable() == 30)
        #expect(progress.underWay == 0)
    }
}
