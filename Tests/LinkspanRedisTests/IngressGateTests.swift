import LinkspanBridgeKit
import Logging
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import LinkspanRedis

/// A connection that only notes whether it reads.
private final class ReadingConnection: RedisConnection {
    private(set) var isReading = true
    var isWritable: Bool { true }

    func write(_ buffer: ByteBuffer) {}
    func pauseReading() { self.isReading = false }
    func resumeReading() { self.isReading = true }
    func end(_ error: UpstreamError?) {}
}

/// A host that takes batches when it is told to, the oldest first.
private final class HoldingHost: BridgeLinkHost {
    private let held = Mutex<[@Sendable () -> Void]>([])

    func take() {
        self.held.withLock { $0.removeFirst() }()
    }

    func deliver(_ messages: [IngressMessage], whenTaken: @escaping @Sendable () -> Void) {
        self.held.withLock { $0.append(whenTaken) }
    }

    func takeWork(upTo limit: Int) -> LinkWork { LinkWork() }
    func connected(_ facts: UpstreamFacts) {}
    func noted(_ promise: UpstreamPromise) {}
    func reviewed(_ promises: [UpstreamPromise]) {}
    func onWork(_ wake: @escaping @Sendable () -> Void) {}
    func confirm(_ tickets: ClosedRange<UInt64>) {}
    func refuse(_ ticket: UInt64, _ reason: EgressRefusal) {}
    func interestSettled(_ filter: UpstreamFilter, accepted: Bool) {}
}

@Suite struct IngressGateTests {
    private let host = HoldingHost()
    private let connection = ReadingConnection()
    private let gate: IngressGate
    private let batch = [IngressMessage(name: "sc/news", payload: ByteBuffer(string: "1"))]

    init() {
        let link = BridgeLink(
            logger: Logger(label: "test"), upstream: UpstreamURL(scheme: "redis", host: "test", port: 1),
            host: self.host)
        self.gate = IngressGate(link: link, eventLoop: EmbeddedEventLoop())
        self.gate.connection = self.connection
    }

    @Test func `an open gate tells nobody of batches that are not tracked`() {
        var told: [Int] = []
        for number in 1...10 {
            self.gate.deliverUntracked(self.batch) { told.append(number) }
            self.host.take()
        }
        #expect(told == [] && self.connection.isReading && self.gate.isIdle)
    }

    @Test func `a full gate closes, and the next batch that is taken opens it`() {
        var told: [Int] = []
        for number in 1...IngressGate.batchLimit {
            #expect(self.connection.isReading)
            self.gate.deliverUntracked(self.batch) { told.append(number) }
        }
        #expect(!self.connection.isReading && self.gate.isClosed)
        self.host.take()
        #expect(told == [1] && self.connection.isReading && !self.gate.isClosed)
        for _ in 1..<IngressGate.batchLimit { self.host.take() }
        #expect(told == [1] && self.gate.isIdle)
    }

    @Test func `batches that were taken unheard count when the gate would close`() {
        for _ in 1..<IngressGate.batchLimit { self.gate.deliverUntracked(self.batch) {} }
        self.host.take()
        self.gate.deliverUntracked(self.batch) {}
        #expect(self.connection.isReading)
        self.gate.deliverUntracked(self.batch) {}
        #expect(!self.connection.isReading)
        self.host.take()
        #expect(self.connection.isReading)
    }

    @Test func `each tracked batch is told of, in order`() {
        var told: [Int] = []
        for number in 1...2 { self.gate.deliver(self.batch) { told.append(number) } }
        self.host.take()
        #expect(told == [1] && !self.gate.isIdle)
        self.host.take()
        #expect(told == [1, 2] && self.gate.isIdle)
    }
}
