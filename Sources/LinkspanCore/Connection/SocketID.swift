internal import LinkspanWire

/// The `id` of a connection, as clients see it: 15 bytes, twelve of them random and three a counter, in 20 characters of URL-safe base64.
///
/// Two words rather than a string, because every idle connection holds one.
public struct SocketID: Hashable, Sendable, CustomStringConvertible {
    private let random: (UInt64, UInt32)
    private let counter: UInt32

    /// - Parameter counter: of the instance; its lower 24 bits count.
    public init(counter: UInt32, using generator: inout some RandomNumberGenerator) {
        self.random = (generator.next(), generator.next())
        self.counter = counter & 0xFF_FFFF
    }

    public var description: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(15)
        withUnsafeBytes(of: self.random.0) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: self.random.1) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: self.counter.bigEndian) { bytes.append(contentsOf: $0.dropFirst()) }
        return String(decoding: Base64.urlSafe.encode(bytes), as: UTF8.self)
    }

    public static func == (one: SocketID, other: SocketID) -> Bool {
        one.random == other.random && one.counter == other.counter
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.random.0)
        hasher.combine(self.random.1)
        hasher.combine(self.counter)
    }
}
