import Glibc
import LinkspanBridgeKit
import Logging
import NIOCore
import Testing

@testable import LinkspanMQTT

/// On a thread with a signal, as a conversation has it.
@Suite struct BatchesUnderWayTests {
    private let host = TestHost()
    private let batch = [IngressMessage(name: "sc/news", payload: ByteBuffer(string: "1"))]

    private var link: BridgeLink {
        BridgeLink(
            logger: Logger(label: "test"), upstream: UpstreamURL(scheme: "mqtt", host: "test", port: 1),
            host: self.host)
    }

    private static func isRaised(_ signal: WakeSignal) -> Bool {
        var entry = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    @Test func `while there is room nobody is woken for a batch that was taken`() async throws {
        let (link, batch, host) = (self.link, self.batch, self.host)
        try await LinkThread.run(name: "test") { signal in
            var batches = BatchesUnderWay(signal: signal, limit: 3)
            host.holdBatches()
            for _ in 0..<2 { batches.handOver(batch, to: link, at: .now) }
            host.takeHeldBatches()
            #expect(batches.count == 2 && !Self.isRaised(signal))
            batches.noteTaken()
            #expect(batches.count == 0 && batches.oldest == nil)
        }
    }

    @Test func `who waits for room is woken by the batch that makes it, also when earlier ones were taken unheard`()
        async throws
    {
        let (link, batch, host) = (self.link, self.batch, self.host)
        try await LinkThread.run(name: "test") { signal in
            var batches = BatchesUnderWay(signal: signal, limit: 3)
            host.holdBatches()
            for _ in 0..<2 { batches.handOver(batch, to: link, at: .now) }
            host.takeHeldBatches()
            host.holdBatches()
            batches.handOver(batch, to: link, at: .now)
            #expect(batches.isFull && !Self.isRaised(signal))
            host.takeHeldBatches()
            #expect(Self.isRaised(signal))
            batches.noteTaken()
            #expect(!batches.isFull && batches.count == 0)
        }
    }

    @Test func `a thread that was given the shortest slice has it`() async throws {
        try await LinkThread.run(name: "test") { _ in
            // Before Linux 6.12 the wish is taken, and no slice is told.
            guard ThreadSlice.shorten() else { return }
            #expect([.zero, ThreadSlice.shortest].contains(ThreadSlice.current))
        }
    }
}
