public import LinkspanBridgeKit
public import NIOCore

/// Which messages of one channel came here by a bridge that shares them with other instances.
///
/// Such an instance sees a part of each sequence, so what it did not see is missing nowhere: a number is known or it is not. What is too old
/// to be remembered counts as unknown, and would be delivered once more rather than lost.
public struct GroupWindows: Sendable {
    /// Most origins; past it the one that was idle longest makes room.
    public let limit: Int

    private var windows: [Window] = []

    public init(limit: Int = OriginWindows.defaultLimit) {
        self.limit = max(limit, 1)
    }

    public var count: Int { self.windows.count }

    /// Whether the message came before, as far as is remembered.
    public func contains(_ origin: Origin) -> Bool {
        guard let index = self.index(of: origin) else { return false }
        return self.windows[index].numbers.contains(origin.sequence)
    }

    /// Notes a message; false when it came before.
    public mutating func insert(_ origin: Origin, at now: NIODeadline) -> Bool {
        let index = self.index(of: origin) ?? self.make(origin, at: now)
        self.windows[index].lastHeard = now
        return self.windows[index].numbers.insert(origin.sequence)
    }

    /// The known ones of `range` of an origin's numbers, ascending.
    public func known(_ origin: Origin, in range: ClosedRange<UInt64>) -> [UInt64] {
        guard let index = self.index(of: origin) else { return [] }
        return self.windows[index].numbers.known(in: range)
    }

    /// Forgets origins from which nothing came since `deadline`.
    public mutating func forget(idleSince deadline: NIODeadline) {
        self.windows.removeAll { $0.lastHeard < deadline }
    }

    private func index(of origin: Origin) -> Int? {
        self.windows.firstIndex { $0.epoch == origin.epoch && $0.instance == origin.instance }
    }

    private mutating func make(_ origin: Origin, at now: NIODeadline) -> Int {
        let window = Window(instance: origin.instance, epoch: origin.epoch, lastHeard: now)
        guard self.windows.count >= self.limit else {
            self.windows.append(window)
            return self.windows.count - 1
        }
        let oldest = self.windows.indices.min { self.windows[$0].lastHeard < self.windows[$1].lastHeard } ?? 0
        self.windows[oldest] = window
        return oldest
    }

    private struct Window: Sendable {
        let instance: InstanceID
        let epoch: UInt64
        var lastHeard: NIODeadline
        var numbers = RecentNumbers()
    }
}

/// The highest of a set of numbers, and which of about 4,096 before it belong to the set.
///
/// One bit for each number, in words of which the oldest makes way for the newest; there are no more of them than numbers ask for.
/// - Complexity: constant; a jump clears at most all words.
public struct RecentNumbers: Sendable, Equatable {
    /// Numbers that are remembered at most; at least 64 fewer when the highest has just begun a word.
    public static let span: UInt64 = 4096

    private static let wordLimit = Int(span / 64)

    private var highest: UInt64 = 0
    private var words: [UInt64] = [0]
    /// Of the words, the one with the lowest number that was ever inserted.
    private var lowestWord = UInt64.max

    public init() {}

    /// False for what is too old to be remembered, too.
    public func contains(_ number: UInt64) -> Bool {
        self.remembers(number) && self.words[self.place(number)] & Self.bit(number) != 0
    }

    /// Adds a number; false when it is known to be there. 0 is nobody's number, and counts as known.
    public mutating func insert(_ number: UInt64) -> Bool {
        guard number > 0 else { return false }
        self.lowestWord = min(self.lowestWord, number / 64)
        self.makeRoom(upTo: max(number, self.highest) / 64)
        if number > self.highest { self.advance(to: number) }
        guard self.remembers(number) else { return true }
        let place = self.place(number)
        defer { self.words[place] |= Self.bit(number) }
        return self.words[place] & Self.bit(number) == 0
    }

    /// Those of `range`, ascending.
    public func known(in range: ClosedRange<UInt64>) -> [UInt64] {
        let lowest = (self.highest / 64 &- min(self.highest / 64, UInt64(self.words.count - 1))) * 64
        guard range.lowerBound <= self.highest, range.upperBound >= lowest else { return [] }
        return (max(range.lowerBound, lowest)...min(range.upperBound, self.highest)).filter(self.contains)
    }

    private func remembers(_ number: UInt64) -> Bool {
        number <= self.highest && self.highest / 64 - number / 64 < UInt64(self.words.count)
    }

    private func place(_ number: UInt64) -> Int { Int(number / 64 % UInt64(self.words.count)) }

    private static func bit(_ number: UInt64) -> UInt64 { 1 << (number % 64) }

    private mutating func advance(to number: UInt64) {
        let steps = number / 64 - self.highest / 64
        for step in 0..<min(steps, UInt64(self.words.count)) {
            self.words[Int((number / 64 - step) % UInt64(self.words.count))] = 0
        }
        self.highest = number
    }

    private mutating func makeRoom(upTo word: UInt64) {
        while word - self.lowestWord >= UInt64(self.words.count), self.words.count < Self.wordLimit { self.grow() }
    }

    /// Twice as many words, each at its new place.
    private mutating func grow() {
        var words = [UInt64](repeating: 0, count: self.words.count * 2)
        let last = self.highest / 64
        for back in 0..<min(UInt64(self.words.count), last + 1) {
            let word = last - back
            words[Int(word % UInt64(words.count))] = self.words[Int(word % UInt64(self.words.count))]
        }
        self.words = words
    }
}
