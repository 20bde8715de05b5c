public import LinkspanBridgeKit
public import NIOCore

/// "Up to here was sent": a channel's origin and epoch with the last number that went to an upstream.
public struct SequenceMark: Sendable, Hashable {
    public var channel: ChannelName
    public var origin: Origin

    public init(channel: ChannelName, origin: Origin) {
        self.channel = channel
        self.origin = origin
    }
}

/// What one bridge has to tell receivers about channels that went quiet, so that the loss of the last message is seen too.
///
/// A mark is told when its channel has been quiet for a moment, and again after 3, 12 and 45 seconds: a mark can be lost like anything else.
/// A channel that is always busy needs none, since its next message tells as much.
public struct MarkBook: Sendable {
    /// Most channels; past it one that was told before makes room, and when there is none the mark is left out.
    public let limit: Int

    /// Marks that were left out for want of room.
    public private(set) var skippedCount: UInt64 = 0

    private struct Key: Hashable {
        var channel: ChannelName
        var instance: InstanceID
        var epoch: UInt64
    }

    private struct Entry {
        var sequence: UInt64
        var dueAt: NIODeadline
        var timesTold = 0
    }

    private var entries: [Key: Entry] = [:]

    public init(limit: Int = Self.defaultLimit) {
        self.limit = max(limit, 1)
    }

    public static let defaultLimit = 4096

    private static let pauses: [TimeAmount] = [.seconds(3), .seconds(12), .seconds(45)]

    public var isEmpty: Bool { self.entries.isEmpty }

    /// The channel went quiet after `mark`.
    public mutating func note(_ mark: SequenceMark, at now: NIODeadline) {
        let key = Key(channel: mark.channel, instance: mark.origin.instance, epoch: mark.origin.epoch)
        if self.entries[key] == nil, self.entries.count >= self.limit {
            guard let told = self.entries.first(where: { $0.value.timesTold > 0 }) else {
                return self.skippedCount += 1
            }
            self.entries[told.key] = nil
        }
        self.entries[key] = Entry(sequence: mark.origin.sequence, dueAt: now)
    }

    /// The marks to tell now, at most `limit`; those that were told often enough are forgotten.
    public mutating func takeDue(upTo limit: Int, at now: NIODeadline) -> [SequenceMark] {
        let due = self.entries.filter { $0.value.dueAt <= now }.sorted { $0.value.dueAt < $1.value.dueAt }.prefix(limit)
        for (key, entry) in due {
            let isLast = entry.timesTold == Self.pauses.count
            self.entries[key] =
                isLast
                ? nil
                : Entry(
                    sequence: entry.sequence, dueAt: now + Self.pauses[entry.timesTold],
                    timesTold: entry.timesTold + 1)
        }
        return due.map { key, entry in
            SequenceMark(
                channel: key.channel,
                origin: Origin(instance: key.instance, epoch: key.epoch, sequence: entry.sequence))
        }
    }

    /// The upstream is back: what was told before may have been lost with the old link, so all of it is due again.
    public mutating func linkRestored(at now: NIODeadline) {
        for key in self.entries.keys {
            self.entries[key]?.dueAt = now
            self.entries[key]?.timesTold = 0
        }
    }
}
