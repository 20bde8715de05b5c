import LinkspanBridgeKit
import Logging
import NIOCore
import Synchronization
import Testing

@testable import LinkspanMQTT

@Suite struct BatchesUnderWayTests {
    private let host = TestHost()
    private let batch = [IngressMessage(name: "sc/news", payload: ByteBuffer(string: "1"))]

    private var link: BridgeLink {
        BridgeLink(
            logger: Logger(label: "test"), upstream: UpstreamURL(scheme: "mqtt", host: "test", port: 1),
            host: self.host)
    }

    private let wakes = WakeCount()

    private func batches() -> BatchesUnderWay {
        let wakes = self.wakes
        return BatchesUnderWay(limit: 3) { wakes.add() }
    }

    @Test func `while there is room nobody is woken for a batch that was taken`() {
        var batches = self.batches()
        self.host.holdBatches()
        for _ in 0..<2 { batches.handOver(self.batch, to: self.link, at: .now) }
        self.host.takeHeldBatches()
        #expect(batches.count == 2 && self.wakes.count == 0)
        batches.noteTaken()
        #expect(batches.count == 0 && batches.oldest == nil)
    }

    @Test func `who waits for room is woken by the batch that makes it, also when earlier ones were taken unheard`() {
        var batches = self.batches()
        self.host.holdBatches()
        for _ in 0..<2 { batches.handOver(self.batch, to: self.link, at: .now) }
        self.host.takeHeldBatches()
        self.host.holdBatches()
        batches.handOver(self.batch, to: self.link, at: .now)
        #expect(batches.isFull && self.wakes.count == 0)
        self.host.takeHeldBatches()
        #expect(self.wakes.count == 1)
        batches.noteTaken()
        #expect(!batches.isFull && batches.count == 0)
    }

    @Test func `a thread that was given the shortest slice has it`() async throws {
        try await LinkThread.run(name: "test") { _ in
            // Before Linux 6.12 the wish is taken, and no slice is told.
            guard ThreadSlice.shorten() else { return }
            #expect([.zero, ThreadSlice.shortest].contains(ThreadSlice.current))
        }
    }
}

private final class WakeCount: Sendable {
    private let value = Atomic<Int>(0)

    var count: Int { self.value.load(ordering: .relaxed) }

    func add() { self.value.add(1, ordering: .relaxed) }
}
