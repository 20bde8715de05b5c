/// Who is subscribed to what on one loop.
///
/// Connections and channels are small dense numbers. Every subscription stands in two lists, that of its channel and that of its
/// connection, and each of its two entries knows where the other one is; so joining, leaving and a disconnect touch only what they change.
/// - Complexity: constant per subscription made or ended; delivering walks one contiguous array.
public struct SubscriptionTable: Sendable {
    private struct Entry: Sendable {
        /// The connection in a channel's list, the channel in a connection's list.
        var other: Int32
        /// Index of the twin entry in the list of `other`.
        var twin: Int32
    }

    private struct Pair: Hashable {
        var connection: Int32
        var channel: Int32
    }

    private var byChannel: ContiguousArray<ContiguousArray<Entry>> = []
    private var byConnection: ContiguousArray<ContiguousArray<Entry>> = []
    /// Where the subscription stands in the list of its connection.
    private var positions: [Pair: Int32] = [:]

    public init() {}

    public var count: Int { self.positions.count }

    public func isSubscribed(connection: Int, channel: Int) -> Bool {
        self.positions[Pair(connection: Int32(connection), channel: Int32(channel))] != nil
    }

    public func subscriberCount(ofChannel channel: Int) -> Int {
        channel < self.byChannel.count ? self.byChannel[channel].count : 0
    }

    public func subscriptionCount(ofConnection connection: Int) -> Int {
        connection < self.byConnection.count ? self.byConnection[connection].count : 0
    }

    /// False when it existed already.
    public mutating func subscribe(connection: Int, channel: Int) -> Bool {
        let pair = Pair(connection: Int32(connection), channel: Int32(channel))
        guard self.positions[pair] == nil else { return false }
        while self.byChannel.count <= channel { self.byChannel.append([]) }
        while self.byConnection.count <= connection { self.byConnection.append([]) }
        let atChannel = Int32(self.byChannel[channel].count)
        let atConnection = Int32(self.byConnection[connection].count)
        self.byChannel[channel].append(Entry(other: pair.connection, twin: atConnection))
        self.byConnection[connection].append(Entry(other: pair.channel, twin: atChannel))
        self.positions[pair] = atConnection
        return true
    }

    /// False when there was none.
    public mutating func unsubscribe(connection: Int, channel: Int) -> Bool {
        let pair = Pair(connection: Int32(connection), channel: Int32(channel))
        guard let position = self.positions.removeValue(forKey: pair) else { return false }
        let atChannel = self.byConnection[connection][Int(position)].twin
        self.removeFromChannel(channel, at: Int(atChannel))
        self.removeFromConnection(connection, at: Int(position))
        return true
    }

    /// Ends all subscriptions of a connection; `ended` hears of each channel after it left.
    public mutating func removeConnection(_ connection: Int, ended: (_ channel: Int) -> Void) {
        guard connection < self.byConnection.count else { return }
        let entries = self.byConnection[connection]
        self.byConnection[connection] = []
        for entry in entries {
            self.positions[Pair(connection: Int32(connection), channel: entry.other)] = nil
            self.removeFromChannel(Int(entry.other), at: Int(entry.twin))
        }
        for entry in entries { ended(Int(entry.other)) }
    }

    /// The subscribers of a channel, in no particular order.
    @inline(__always)
    public func forEachSubscriber(ofChannel channel: Int, _ body: (_ connection: Int) -> Void) {
        guard channel < self.byChannel.count else { return }
        self.byChannel[channel].withUnsafeBufferPointer { entries in
            for entry in entries { body(Int(entry.other)) }
        }
    }

    public func forEachChannel(ofConnection connection: Int, _ body: (_ channel: Int) -> Void) {
        guard connection < self.byConnection.count else { return }
        for entry in self.byConnection[connection] { body(Int(entry.other)) }
    }

    private mutating func removeFromChannel(_ channel: Int, at index: Int) {
        let last = self.byChannel[channel].removeLast()
        if index < self.byChannel[channel].count {
            self.byChannel[channel][index] = last
            self.byConnection[Int(last.other)][Int(last.twin)].twin = Int32(index)
        }
        if self.byChannel[channel].isEmpty { self.byChannel[channel] = [] }
    }

    private mutating func removeFromConnection(_ connection: Int, at index: Int) {
        let last = self.byConnection[connection].removeLast()
        if index < self.byConnection[connection].count {
            self.byConnection[connection][index] = last
            self.byChannel[Int(last.other)][Int(last.twin)].twin = Int32(index)
            self.positions[Pair(connection: Int32(connection), channel: last.other)] = Int32(index)
        }
        if self.byConnection[connection].isEmpty { self.byConnection[connection] = [] }
    }
}
