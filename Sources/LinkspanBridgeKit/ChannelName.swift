/// The name of a SocketCluster channel: any Unicode string, the empty one included.
///
/// Names are compared by their UTF-8 bytes, as the wire does; two canonically equivalent spellings are two channels.
public struct ChannelName: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let string: String

    public init(_ string: String) {
        self.string = string
    }

    public init(stringLiteral value: String) {
        self.string = value
    }

    public var description: String { self.string }

    /// Channels below this prefix carry Linkspan's own traffic (probes, marks, repair, occupancy); clients may not use them.
    public static let reservedPrefix = "$linkspan/"

    public var isReserved: Bool {
        self.string.utf8.starts(with: Self.reservedPrefix.utf8)
    }
}

extension ChannelName: Hashable {
    public static func == (one: ChannelName, other: ChannelName) -> Bool {
        one.string.utf8.elementsEqual(other.string.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var copy = self.string
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(UInt8(0xFF))
    }
}
