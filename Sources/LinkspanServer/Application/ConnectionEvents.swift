public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanWire
internal import Synchronization

/// What happens to a connection; those of one come in order.
public enum ConnectionEvent: Sendable {
    /// The WebSocket is open; the handshake is still to come.
    case opened(ClientSocket)
    /// The handshake is done.
    case handshake(ClientSocket)
    /// The client showed a token, or has none any more. The claims are those of this moment.
    case authenticationChanged(ClientSocket, claims: TokenClaims?)
    /// - Parameter data: what the client sent with its request.
    case subscribed(ClientSocket, ChannelName, data: JSONText?)
    /// By request or by being kicked out; the end of a connection ends its subscriptions without a word.
    case unsubscribed(ClientSocket, ChannelName)
    /// The connection is gone; 1006 when nobody said why.
    case disconnected(ClientSocket, code: CloseCode, reason: String)
}

/// Connection events as a sequence.
///
/// Holds at most the number of events it was made with: what comes while it is full is dropped and counted. For one consumer; ends when that
/// stops iterating or the server stops.
public struct ConnectionEvents: AsyncSequence, Sendable {
    public typealias Element = ConnectionEvent
    public typealias Failure = Never

    private let stream: AsyncStream<ConnectionEvent>
    private let recorder: ConnectionEventRecorder

    init(bufferLimit: Int, hub: ConnectionEventHub) {
        let (stream, continuation) = AsyncStream.makeStream(
            of: ConnectionEvent.self, bufferingPolicy: .bufferingOldest(bufferLimit))
        let recorder = ConnectionEventRecorder(continuation)
        self.stream = stream
        self.recorder = recorder
        continuation.onTermination = { [weak hub, weak recorder] _ in
            if let recorder { hub?.remove(recorder) }
        }
        hub.add(recorder)
    }

    /// Events that came while the buffer was full.
    public var droppedCount: Int { self.recorder.droppedCount }

    public func makeAsyncIterator() -> AsyncStream<ConnectionEvent>.Iterator {
        self.stream.makeAsyncIterator()
    }
}

final class ConnectionEventRecorder: Sendable {
    private let continuation: AsyncStream<ConnectionEvent>.Continuation
    private let dropped = Atomic<Int>(0)

    init(_ continuation: AsyncStream<ConnectionEvent>.Continuation) {
        self.continuation = continuation
    }

    var droppedCount: Int { self.dropped.load(ordering: .relaxed) }

    func record(_ event: ConnectionEvent) {
        if case .dropped = self.continuation.yield(event) { self.dropped.wrappingAdd(1, ordering: .relaxed) }
    }

    func finish() { self.continuation.finish() }
}

/// Whoever listens to connection events.
final class ConnectionEventHub: Sendable {
    private let recorders = Mutex<[ConnectionEventRecorder]>([])

    func add(_ recorder: ConnectionEventRecorder) {
        self.recorders.withLock { $0.append(recorder) }
    }

    func remove(_ recorder: ConnectionEventRecorder) {
        self.recorders.withLock { recorders in recorders.removeAll { $0 === recorder } }
    }

    func tell(_ event: ConnectionEvent) {
        for recorder in self.recorders.withLock({ $0 }) { recorder.record(event) }
    }

    func finish() {
        let recorders = self.recorders.withLock { recorders in
            defer { recorders = [] }
            return recorders
        }
        for recorder in recorders { recorder.finish() }
    }
}
