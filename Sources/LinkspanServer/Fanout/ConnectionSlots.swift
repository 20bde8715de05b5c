/// The connections of one loop under small numbers, with what a delivery needs to know of them.
///
/// A delivery to a connection that keeps up touches its slot and nothing else of it: a thousand objects spread over the heap would
/// cost a cache miss each.
struct ConnectionSlots {
    private struct Slot {
        var connection: ClientConnection?
        var generation: UInt32 = 0
        /// The socket while it may be written to directly, else -1.
        var descriptor: CInt = -1
        var firstSegment: Int32 = -1
        var lastSegment: Int32 = -1
    }

    private var slots: ContiguousArray<Slot> = []
    private var free: [Int] = []
    private var count = 0

    var isEmpty: Bool { self.count == 0 }

    var all: [ClientConnection] { self.slots.compactMap(\.connection) }

    subscript(_ slot: Int) -> ClientConnection? { self.slots[slot].connection }

    mutating func add(_ connection: ClientConnection) -> Int {
        self.count += 1
        if let slot = self.free.popLast() {
            self.slots[slot].connection = connection
            return slot
        }
        self.slots.append(Slot(connection: connection))
        return self.slots.count - 1
    }

    mutating func remove(_ slot: Int) {
        self.count -= 1
        self.slots[slot].connection = nil
        self.slots[slot].generation &+= 1
        self.slots[slot].descriptor = -1
        self.slots[slot].firstSegment = -1
        self.slots[slot].lastSegment = -1
        self.free.append(slot)
    }

    func generation(of slot: Int) -> UInt32 { self.slots[slot].generation }

    @inline(__always)
    func descriptor(of slot: Int) -> CInt { self.slots[slot].descriptor }

    mutating func setDescriptor(_ descriptor: CInt, of slot: Int) { self.slots[slot].descriptor = descriptor }

    @inline(__always)
    func firstSegment(of slot: Int) -> Int32 { self.slots[slot].firstSegment }

    @inline(__always)
    func lastSegment(of slot: Int) -> Int32 { self.slots[slot].lastSegment }

    @inline(__always)
    mutating func setFirstSegment(_ segment: Int32, of slot: Int) { self.slots[slot].firstSegment = segment }

    @inline(__always)
    mutating func setLastSegment(_ segment: Int32, of slot: Int) { self.slots[slot].lastSegment = segment }

    /// The first segment; the list is then empty.
    mutating func takeSegments(of slot: Int) -> Int32 {
        let first = self.slots[slot].firstSegment
        self.slots[slot].firstSegment = -1
        self.slots[slot].lastSegment = -1
        return first
    }
}

@available(*, unavailable)
extension ConnectionSlots: Sendable {}
