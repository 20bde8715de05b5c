public import NIOCore

/// Deadlines of many connections behind one timer.
///
/// A deadline comes out of the first ``takeDue(at:into:)`` at or after it. There is no cancelling: an entry carries the generation of its
/// connection, and whoever it reaches decides whether it still means something. Keep one entry per connection.
/// - Complexity: constant to add; advancing walks the ticks that passed and the entries in them.
public struct TimerWheel: Sendable {
    public struct Entry: Hashable, Sendable {
        public var connection: Int32
        public var generation: UInt32
        public var deadline: NIODeadline

        public init(connection: Int32, generation: UInt32, deadline: NIODeadline) {
            self.connection = connection
            self.generation = generation
            self.deadline = deadline
        }
    }

    public let tick: TimeAmount
    private var slots: ContiguousArray<ContiguousArray<Entry>>
    /// Ticks since the clock's zero that have been fired.
    private var reached: UInt64
    public private(set) var count = 0

    /// - Parameters:
    ///   - tick: resolution; a deadline fires up to one tick and the caller's delay late, never early.
    ///   - slots: ticks per turn of the wheel; later deadlines go round more than once.
    public init(tick: TimeAmount, slots: Int = 512, now: NIODeadline) {
        precondition(tick > .zero && slots > 1, "a wheel has ticks")
        self.tick = tick
        self.slots = ContiguousArray(repeating: [], count: slots)
        self.reached = now.uptimeNanoseconds / UInt64(tick.nanoseconds)
    }

    public var isEmpty: Bool { self.count == 0 }

    public mutating func add(_ entry: Entry) {
        self.slots[self.slot(for: entry.deadline)].append(entry)
        self.count += 1
    }

    /// Takes out everything due at `now`.
    public mutating func takeDue(at now: NIODeadline, into due: inout ContiguousArray<Entry>) {
        let target = now.uptimeNanoseconds / UInt64(self.tick.nanoseconds)
        guard target > self.reached else { return }
        let first = self.reached + 1
        // After a long pause every slot is visited once, not once per missed turn.
        let last = min(target, self.reached + UInt64(self.slots.count))
        self.reached = target
        for tick in first...last {
            let index = Int(tick % UInt64(self.slots.count))
            guard !self.slots[index].isEmpty else { continue }
            var entries: ContiguousArray<Entry> = []
            swap(&entries, &self.slots[index])
            self.count -= entries.count
            for entry in entries {
                if entry.deadline <= now { due.append(entry) } else { self.add(entry) }
            }
        }
    }

    /// The slot of the first tick that begins at or after the deadline, and is not reached yet.
    private func slot(for deadline: NIODeadline) -> Int {
        let width = UInt64(self.tick.nanoseconds)
        let tick = deadline.uptimeNanoseconds / width + (deadline.uptimeNanoseconds % width == 0 ? 0 : 1)
        return Int(max(tick, self.reached + 1) % UInt64(self.slots.count))
    }
}
