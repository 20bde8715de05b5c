public import NIOCore

/// The name of one Linkspan instance, unique among all instances that share an upstream.
///
/// 1 to 64 characters of `A-Z a-z 0-9 . _ -`, so that it can stand in client identifiers, queue names and JSON unescaped.
public struct InstanceID: Hashable, Sendable, CustomStringConvertible {
    public let string: String

    /// Nil when `string` is empty, longer than 64 bytes or has a character outside `A-Z a-z 0-9 . _ -`.
    public init?(_ string: String) {
        guard (1...64).contains(string.utf8.count), string.utf8.allSatisfy(Self.isAllowed) else { return nil }
        self.string = string
    }

    public var description: String { self.string }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default:
            false
        }
    }
}

/// Where a message entered and which one it was: its identity everywhere, for ever.
public struct Origin: Hashable, Sendable {
    public var instance: InstanceID

    /// Start of that instance, milliseconds since 1970; tells two lives of one instance apart.
    public var epoch: UInt64

    /// Counts the messages of one instance, epoch and channel, from 1.
    public var sequence: UInt64

    public init(instance: InstanceID, epoch: UInt64, sequence: UInt64) {
        self.instance = instance
        self.epoch = epoch
        self.sequence = sequence
    }
}

/// What travels with a message beside its data; how each upstream carries it is in docs/envelope.md.
public struct EnvelopeHeader: Hashable, Sendable {
    public var origin: Origin

    /// The instances that the message passed, the one where it entered first.
    public var hops: [InstanceID]

    /// When it entered, milliseconds since 1970, by the clock of the instance where it entered.
    public var acceptedAt: UInt64

    public init(origin: Origin, hops: [InstanceID], acceptedAt: UInt64) {
        self.origin = origin
        self.hops = hops
        self.acceptedAt = acceptedAt
    }
}

/// A publish while it is inside the server.
public struct Envelope: Sendable {
    public var channel: ChannelName

    /// JSON text, exactly as it was published; empty when the publish had no `data`.
    public var data: ByteBuffer

    /// Nil for a raw message: one that an external program published without Linkspan's header.
    public var header: EnvelopeHeader?

    public init(channel: ChannelName, data: ByteBuffer, header: EnvelopeHeader?) {
        self.channel = channel
        self.data = data
        self.header = header
    }
}
