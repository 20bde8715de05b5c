internal import LinkspanCore
internal import NIOCore

/// One turn of one loop: when it is, and what its owner has for the shards of this loop and of others.
///
/// The loop reuses one object, so a turn allocates only for what leaves the loop.
final class Turn {
    @exclusivity(unchecked) private(set) var now: NIODeadline
    /// Milliseconds since 1970.
    private(set) var wallClock: UInt64

    /// For the shard of this loop, in order.
    @exclusivity(unchecked) var local: ContiguousArray<(channel: ShardChannel, frames: FrameBlock, frameCount: Int)> =
        []
    /// For the shards of other loops, by loop.
    @exclusivity(unchecked) private(set) var remote: ContiguousArray<DeliveryBatch?>
    /// Of bridges that were handed something.
    @exclusivity(unchecked) var wakes: ContiguousArray<@Sendable () -> Void> = []
    private(set) var finished: [(progress: IngressProgress, tally: IngressTally)] = []

    init(loops: Int, now: NIODeadline, wallClock: UInt64) {
        self.now = now
        self.wallClock = wallClock
        self.remote = ContiguousArray(repeating: nil, count: loops)
    }

    func begin(now: NIODeadline, wallClock: UInt64) {
        self.now = now
        self.wallClock = wallClock
    }

    func wakeBridges() {
        for wake in self.wakes { wake() }
        self.wakes.removeAll(keepingCapacity: true)
    }

    func deliverHere(_ channel: ShardChannel, _ frames: FrameBlock, frameCount: Int) {
        self.local.append((channel, frames, frameCount))
    }

    /// Copies: memory that several loops retain costs them more than a copy each.
    func deliver(_ channel: ShardChannel, _ frames: FrameBlock, frameCount: Int, to loop: Int) {
        var batch = self.remote[loop] ?? DeliveryBatch(bytes: FrameBlock(capacity: max(4096, frames.count)))
        self.remote[loop] = nil
        batch.deliveries.append(
            DeliveryBatch.Delivery(
                channel: channel, start: batch.bytes.count, count: frames.count, frameCount: frameCount))
        batch.bytes.put(contentsOf: UnsafeRawBufferPointer(start: frames.base, count: frames.count))
        self.remote[loop] = batch
    }

    func takeRemote(_ loop: Int) -> DeliveryBatch? {
        defer { self.remote[loop] = nil }
        return self.remote[loop]
    }

    /// Reported when what this turn delivered has been handed on.
    func whenDone(_ progress: IngressProgress, _ tally: IngressTally) {
        self.finished.append((progress, tally))
    }

    func takeFinished() -> [(progress: IngressProgress, tally: IngressTally)] {
        defer { self.finished = [] }
        return self.finished
    }
}

@available(*, unavailable)
extension Turn: Sendable {}
