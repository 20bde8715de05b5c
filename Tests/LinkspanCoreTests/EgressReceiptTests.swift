import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct EgressReceiptTests {
    private static let one = AwaitedBridge(index: BridgeIndex(0), name: "one", level: .confirmed)
    private static let two = AwaitedBridge(index: BridgeIndex(3), name: "two", level: .buffered)

    private static func receipt(_ bridges: AwaitedBridge...) -> (EgressReceipt, EventLog<EgressReceipt.Account>) {
        let log = EventLog<EgressReceipt.Account>()
        return (EgressReceipt(bridges) { log.append($0) }, log)
    }

    @Test func `a receipt is complete when every bridge has done what its rule asks`() {
        let (receipt, log) = Self.receipt(Self.one, Self.two)
        receipt.note(.buffered, at: BridgeIndex(0))
        receipt.note(.buffered, at: BridgeIndex(3))
        receipt.note(.confirmed, at: BridgeIndex(1))
        #expect(log.count == 0)
        receipt.note(.confirmed, at: BridgeIndex(0))
        #expect(log.count == 1 && log.events[0].isReached)
        #expect(log.events[0].entries.map(\.outcome) == [.confirmed, .buffered])
        receipt.note(.confirmed, at: BridgeIndex(3))
        #expect(log.count == 1, "it is told once")
    }

    @Test(arguments: [EgressOutcome.filtered, .expired, .dropped(.forbidden)])
    func `what a bridge gives up ends the wait without success`(outcome: EgressOutcome) {
        let (receipt, log) = Self.receipt(Self.one)
        receipt.note(.buffered, at: BridgeIndex(0))
        receipt.note(outcome, at: BridgeIndex(0))
        receipt.note(.confirmed, at: BridgeIndex(0))
        #expect(log.count == 1 && !log.events[0].isReached)
        #expect(receipt.account.entries[0].outcome == outcome, "the first final word counts")
    }

    // MARK: The buffer's words

    private static func buffer(
        _ guarantee: Guarantee = .atLeastOnce, whenFull: OverflowPolicy = .dropOldest, type: BufferType = .memory
    ) -> EgressBuffer {
        var settings = BufferSettings()
        settings.type = type
        settings.messages = 2
        settings.age = .seconds(10)
        settings.whenFull = whenFull
        return EgressBuffer(settings: settings, guarantee: guarantee)
    }

    private static func append(_ name: String, to buffer: inout EgressBuffer) -> EgressReceipt {
        let receipt = EgressReceipt([Self.one]) { _ in }
        buffer.append(
            BufferedEnvelope(
                name: name, data: ByteBuffer(), header: nil, acceptedAt: .uptimeNanoseconds(0), receipt: receipt))
        return receipt
    }

    private static func outcomes(_ buffer: inout EgressBuffer, of receipts: EgressReceipt...) -> [EgressOutcome?] {
        for notice in buffer.takeNotices() { notice.receipt.note(notice.outcome, at: BridgeIndex(0)) }
        return receipts.map { $0.account.entries[0].outcome }
    }

    private static func take(_ buffer: inout EgressBuffer, at seconds: Int64 = 0) {
        _ = buffer.take(upTo: 9, at: .uptimeNanoseconds(0) + .seconds(seconds)) { _, _ in }
    }

    @Test func `a buffer tells what it keeps, what is confirmed and what is refused`() {
        var buffer = Self.buffer()
        let (a, b) = (Self.append("a", to: &buffer), Self.append("b", to: &buffer))
        #expect(Self.outcomes(&buffer, of: a, b) == [.buffered, .buffered])
        Self.take(&buffer)
        buffer.confirm(1...1)
        buffer.refuse(2, .forbidden)
        #expect(Self.outcomes(&buffer, of: a, b) == [.confirmed, .dropped(.forbidden)])
        #expect(buffer.takeNotices().isEmpty)
    }

    @Test func `a lost link keeps the wait where the message is sent again, and ends it where it is not`() {
        for guarantee in Guarantee.allCases {
            var buffer = Self.buffer(guarantee)
            let a = Self.append("a", to: &buffer)
            Self.take(&buffer)
            buffer.linkLost()
            #expect(
                Self.outcomes(&buffer, of: a) == [guarantee == .atLeastOnce ? .buffered : .dropped(.linkLost)])
            Self.take(&buffer)
            buffer.confirm(2...2)
            #expect(
                Self.outcomes(&buffer, of: a) == [guarantee == .atLeastOnce ? .confirmed : .dropped(.linkLost)])
        }
    }

    @Test func `what gives way, gets too old or is left at the end is told`() {
        var buffer = Self.buffer()
        let (a, b, c) = (
            Self.append("a", to: &buffer), Self.append("b", to: &buffer), Self.append("c", to: &buffer)
        )
        #expect(Self.outcomes(&buffer, of: a, b, c) == [.dropped(.bufferFull), .buffered, .buffered])
        buffer.expire(at: .uptimeNanoseconds(0) + .seconds(10))
        #expect(Self.outcomes(&buffer, of: b, c) == [.expired, .expired])
        let (d, e) = (Self.append("d", to: &buffer), Self.append("e", to: &buffer))
        _ = buffer.take(upTo: 1, at: .uptimeNanoseconds(0)) { _, _ in }
        buffer.stop()
        #expect(Self.outcomes(&buffer, of: d, e) == [.dropped(.stopped), .dropped(.stopped)])
    }

    @Test func `a buffer on disk has a message when the file has it`() {
        var buffer = Self.buffer(whenFull: .block, type: .disk)
        buffer.storageOpened(StoredBuffer())
        let a = Self.append("a", to: &buffer)
        #expect(Self.outcomes(&buffer, of: a) == [nil])
        let job = buffer.nextStorageJob()
        var outcome = StorageOutcome()
        outcome.writes = job?.writes.count ?? 0
        if let job { buffer.storageFinished(job, outcome, at: .uptimeNanoseconds(0), wallNow: 0) }
        #expect(Self.outcomes(&buffer, of: a) == [.buffered])
        Self.take(&buffer)
        buffer.confirm(1...1)
        #expect(Self.outcomes(&buffer, of: a) == [.confirmed])
    }
}
