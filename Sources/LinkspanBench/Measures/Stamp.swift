/// What every benchmark payload carries, so that its receiver can tell who lost, repeated, reordered or damaged it, and how late it is.
///
/// A payload is a JSON string of fixed length: two letters, stream, sequence number and due time as letters, and a known filling.
struct Stamp: Equatable {
    /// Names publisher and channel together.
    var stream: UInt32
    /// Counts the messages of its stream, from 0.
    var sequence: UInt64
    /// When it was to be sent, nanoseconds of the monotonic clock.
    var due: UInt64

    /// The opening quote and two letters before the stream.
    static let start = 3
    private static let streamLetters = 8
    private static let sequenceLetters = 12
    private static let dueLetters = 16
    /// Letters that change from message to message.
    static let letters = Stamp.streamLetters + Stamp.sequenceLetters + Stamp.dueLetters
    /// Quotes included.
    static let smallestPayload = Stamp.start + Stamp.letters + 1

    /// A whole payload of `size` bytes, quotes included.
    func payload(size: Int) -> [UInt8] {
        precondition(size >= Self.smallestPayload, "a stamp does not fit into \(size) bytes")
        var bytes = [UInt8](repeating: 0, count: size)
        bytes[0] = UInt8(ascii: "\"")
        bytes[1] = UInt8(ascii: "l")
        bytes[2] = UInt8(ascii: "s")
        for index in (Self.start + Self.letters)..<size - 1 { bytes[index] = Self.filling(index) }
        bytes[size - 1] = UInt8(ascii: "\"")
        bytes.withUnsafeMutableBytes { self.write(to: $0.baseAddress!) }
        return bytes
    }

    /// Writes what changes from message to message.
    ///
    /// - Parameter payload: where a payload of at least ``smallestPayload`` bytes begins.
    func write(to payload: UnsafeMutableRawPointer) {
        var at = payload + Self.start
        Self.put(UInt64(self.stream), Self.streamLetters, &at)
        Self.put(self.sequence, Self.sequenceLetters, &at)
        Self.put(self.due, Self.dueLetters, &at)
    }

    /// Nil when the bytes are not a payload of this size, whole and undamaged.
    init?(payload: UnsafeRawBufferPointer, size: Int, filling: UnsafeRawBufferPointer) {
        guard payload.count == size, size >= Self.smallestPayload else { return nil }
        var at = payload.baseAddress! + Self.start
        guard let stream = Self.take(Self.streamLetters, &at), let sequence = Self.take(Self.sequenceLetters, &at),
            let due = Self.take(Self.dueLetters, &at)
        else { return nil }
        let head = UnsafeRawBufferPointer(rebasing: payload[..<Self.start])
        guard head.elementsEqual(filling[..<Self.start]),
            memoryEqual(at, filling.baseAddress! + Self.start + Self.letters, size - Self.start - Self.letters)
        else { return nil }
        self.stream = UInt32(truncatingIfNeeded: stream)
        self.sequence = sequence
        self.due = due
    }

    init(stream: UInt32, sequence: UInt64, due: UInt64) {
        self.stream = stream
        self.sequence = sequence
        self.due = due
    }

    private static func filling(_ index: Int) -> UInt8 { UInt8(ascii: "a") + UInt8(index % 26) }

    /// Four bits to a letter, `A` to `P`: readable, free of escapes, and of fixed length.
    @inline(__always)
    private static func put(_ value: UInt64, _ letters: Int, _ at: inout UnsafeMutableRawPointer) {
        for index in 0..<letters {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(4 * (letters - 1 - index))) & 15
            at.storeBytes(of: UInt8(ascii: "A") + nibble, toByteOffset: index, as: UInt8.self)
        }
        at += letters
    }

    @inline(__always)
    private static func take(_ letters: Int, _ at: inout UnsafeRawPointer) -> UInt64? {
        var value: UInt64 = 0
        var bad: UInt8 = 0
        for index in 0..<letters {
            let nibble = at.load(fromByteOffset: index, as: UInt8.self) &- UInt8(ascii: "A")
            bad |= nibble & 0xF0
            value = value << 4 | UInt64(nibble & 15)
        }
        at += letters
        return bad == 0 ? value : nil
    }
}
