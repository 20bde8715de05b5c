public import LinkspanBridgeKit
public import NIOCore

/// What one bridge told its upstream of the subscriptions here, as it is kept for the next run of the instance: lines of `+` or `-`, the
/// length of a name in bytes, and the name.
///
/// A line that is torn ends the journal: what the run wrote last may be missing, and nothing before it.
public enum OccupancyJournal {
    /// Appends one line for each change: whether the channel is held from now on.
    public static func write(_ changes: [ChannelName: Bool], into buffer: inout ByteBuffer) {
        for (channel, isHeld) in changes {
            buffer.writeString("\(isHeld ? "+" : "-")\(channel.string.utf8.count) \(channel.string)\n")
        }
    }

    /// What was held when the journal ended.
    public static func read(_ journal: ByteBuffer) -> Set<ChannelName> {
        var held: Set<ChannelName> = []
        var journal = journal
        while let (channel, isHeld) = Self.line(&journal) {
            if isHeld { held.insert(channel) } else { held.remove(channel) }
        }
        return held
    }

    private static func line(_ journal: inout ByteBuffer) -> (ChannelName, Bool)? {
        guard let sign = journal.readInteger(as: UInt8.self), sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"),
            let digits = journal.readableBytesView.firstIndex(of: UInt8(ascii: " ")),
            let count = journal.readString(length: digits - journal.readerIndex).flatMap({ Int($0) }), count >= 0,
            count <= journal.readableBytes - 2
        else { return nil }
        journal.moveReaderIndex(forwardBy: 1)
        guard let name = journal.readString(length: count), journal.readInteger(as: UInt8.self) == UInt8(ascii: "\n")
        else { return nil }
        return (ChannelName(name), sign == UInt8(ascii: "+"))
    }
}
