package import NIOCore

/// The host's sense of time, so that tests can move it by hand.
package struct HostClock: Sendable {
    package var now: @Sendable () -> NIODeadline
    /// Milliseconds since 1970.
    package var wallMilliseconds: @Sendable () -> UInt64
    /// Throws only when the task is cancelled.
    package var sleep: @Sendable (Duration) async throws -> Void

    package init(
        now: @escaping @Sendable () -> NIODeadline, wallMilliseconds: @escaping @Sendable () -> UInt64,
        sleep: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.now = now
        self.wallMilliseconds = wallMilliseconds
        self.sleep = sleep
    }

    package static let system = HostClock(
        now: { .now() },
        wallMilliseconds: { WallClock.milliseconds() },
        sleep: { try await Task.sleep(for: $0) })
}

/// Something that happens once; one task waits for it.
final class OneShot: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (self.stream, self.continuation) = AsyncStream.makeStream(of: Void.self)
    }

    func fire() {
        self.continuation.finish()
    }

    /// Returns when it happened, or when the task is cancelled.
    func wait() async {
        for await _ in self.stream {}
    }
}
