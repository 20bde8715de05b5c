/// Numbers the channel names that one loop knows, and finds them again by their UTF-8 bytes.
///
/// The bytes of a name in a packet are compared as they lie there, so a lookup builds no string. Numbers are small, dense and reused after
/// ``remove(_:)``; whoever keeps one across turns keeps its ``generation(of:)`` too.
/// - Complexity: constant per lookup, insertion and removal; the hash is keyed per process, so names chosen by a stranger do not collide
///   at will.
public struct NameTable: Sendable {
    /// The stable hash of a channel name: the same on every loop for the life of the process.
    public struct Hash: Hashable, Sendable {
        let value: UInt64

        public init(_ bytes: UnsafeRawBufferPointer) {
            var hasher = Hasher()
            hasher.combine(bytes: bytes)
            self.value = UInt64(truncatingIfNeeded: hasher.finalize())
        }

        /// Which of `count` owners a channel belongs to.
        ///
        /// Taken from the upper half, because the buckets use the lower one: the names of one owner must not crowd into every n-th bucket.
        public func owner(among count: Int) -> Int {
            Int(((self.value >> 32) &* UInt64(count)) >> 32)
        }
    }

    private struct Entry: Sendable {
        var name: [UInt8]
        var hash: Hash
        var generation: UInt32
        var isUsed: Bool
    }

    private var entries: ContiguousArray<Entry> = []
    private var free: [Int] = []
    /// Upper half of a word: 32 bits of the hash; lower half: number plus one. Zero is empty. Linear probing.
    private var buckets: ContiguousArray<UInt64>
    public private(set) var count = 0

    public init() {
        self.buckets = ContiguousArray(repeating: 0, count: 16)
    }

    /// One more than the highest number ever given out.
    public var capacity: Int { self.entries.count }

    public func find(_ name: UnsafeRawBufferPointer, hash: Hash) -> Int? {
        let mask = self.buckets.count - 1
        var bucket = Int(truncatingIfNeeded: hash.value) & mask
        let tag = Self.tag(of: hash)
        while true {
            let word = self.buckets[bucket]
            if word == 0 { return nil }
            if word >> 32 == tag {
                let number = Int(word & 0xFFFF_FFFF) - 1
                if self.isName(number, equalTo: name) { return number }
            }
            bucket = (bucket + 1) & mask
        }
    }

    /// - Precondition: the name is not in the table.
    public mutating func insert(_ name: UnsafeRawBufferPointer, hash: Hash) -> Int {
        if (self.count + 1) * 2 > self.buckets.count { self.grow() }
        let number: Int
        if let reused = self.free.popLast() {
            number = reused
            self.entries[number].name = Array(name)
            self.entries[number].hash = hash
            self.entries[number].isUsed = true
        } else {
            number = self.entries.count
            self.entries.append(Entry(name: Array(name), hash: hash, generation: 0, isUsed: true))
        }
        self.place(number, hash: hash)
        self.count += 1
        return number
    }

    /// Frees `number` and raises its generation.
    /// - Precondition: `number` is in use.
    public mutating func remove(_ number: Int) {
        precondition(self.entries[number].isUsed, "a name is removed once")
        self.unplace(number)
        self.entries[number].name = []
        self.entries[number].isUsed = false
        self.entries[number].generation &+= 1
        self.free.append(number)
        self.count -= 1
    }

    /// Differs between two lives of one number.
    public func generation(of number: Int) -> UInt32 { self.entries[number].generation }

    public func isCurrent(_ number: Int, generation: UInt32) -> Bool {
        number < self.entries.count && self.entries[number].isUsed && self.entries[number].generation == generation
    }

    /// The UTF-8 of the name.
    /// - Precondition: `number` is in use.
    public func name(of number: Int) -> [UInt8] { self.entries[number].name }

    public func hash(of number: Int) -> Hash { self.entries[number].hash }

    private static func tag(of hash: Hash) -> UInt64 {
        (hash.value >> 16) & 0xFFFF_FFFF
    }

    private func isName(_ number: Int, equalTo name: UnsafeRawBufferPointer) -> Bool {
        self.entries[number].name.withUnsafeBytes { known in
            known.count == name.count && known.elementsEqual(name)
        }
    }

    private mutating func place(_ number: Int, hash: Hash) {
        let mask = self.buckets.count - 1
        var bucket = Int(truncatingIfNeeded: hash.value) & mask
        while self.buckets[bucket] != 0 { bucket = (bucket + 1) & mask }
        self.buckets[bucket] = Self.tag(of: hash) << 32 | UInt64(number + 1)
    }

    /// Closes the hole by moving later entries of the same run back, so that no tombstones gather.
    private mutating func unplace(_ number: Int) {
        let mask = self.buckets.count - 1
        var hole = Int(truncatingIfNeeded: self.entries[number].hash.value) & mask
        while Int(self.buckets[hole] & 0xFFFF_FFFF) != number + 1 { hole = (hole + 1) & mask }
        var next = (hole + 1) & mask
        while self.buckets[next] != 0 {
            let moved = Int(self.buckets[next] & 0xFFFF_FFFF) - 1
            let home = Int(truncatingIfNeeded: self.entries[moved].hash.value) & mask
            if (next &- home) & mask >= (next &- hole) & mask {
                self.buckets[hole] = self.buckets[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        self.buckets[hole] = 0
    }

    private mutating func grow() {
        self.buckets = ContiguousArray(repeating: 0, count: self.buckets.count * 2)
        for number in self.entries.indices where self.entries[number].isUsed {
            self.place(number, hash: self.entries[number].hash)
        }
    }
}
