internal import LinkspanBridgeKit
internal import Synchronization

/// The broker's events as a sequence, in order per channel.
///
/// Holds at most the number of events it was made with: what comes while it is full is dropped and counted, so that a consumer that falls behind
/// costs bounded memory and knows it. For one consumer; ends when that stops iterating or the server stops.
public struct BrokerEvents: AsyncSequence, Sendable {
    public typealias Element = BrokerEvent
    public typealias Failure = Never

    private let stream: AsyncStream<BrokerEvent>
    private let recorder: BrokerEventRecorder

    init(bufferLimit: Int, broker: Broker) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: BrokerEvent.self, bufferingPolicy: .bufferingOldest(bufferLimit))
        let recorder = BrokerEventRecorder(continuation)
        self.stream = stream
        self.recorder = recorder
        continuation.onTermination = { [weak broker, weak recorder] _ in
            if let recorder { broker?.remove(recorder) }
        }
        broker.add(recorder)
    }

    /// Events that came while the buffer was full.
    public var droppedCount: Int { self.recorder.droppedCount }

    public func makeAsyncIterator() -> AsyncStream<BrokerEvent>.Iterator {
        self.stream.makeAsyncIterator()
    }
}

final class BrokerEventRecorder: BrokerObserver {
    private let continuation: AsyncStream<BrokerEvent>.Continuation
    private let dropped = Atomic<Int>(0)

    init(_ continuation: AsyncStream<BrokerEvent>.Continuation) {
        self.continuation = continuation
    }

    var droppedCount: Int { self.dropped.load(ordering: .relaxed) }

    func channelSubscribed(_ channel: ChannelName) { self.record(.subscribe(channel)) }
    func channelUnsubscribed(_ channel: ChannelName) { self.record(.unsubscribe(channel)) }
    func published(_ envelope: Envelope) { self.record(.publish(envelope)) }

    func finish() { self.continuation.finish() }

    private func record(_ event: BrokerEvent) {
        if case .dropped = self.continuation.yield(event) { self.dropped.wrappingAdd(1, ordering: .relaxed) }
    }
}
