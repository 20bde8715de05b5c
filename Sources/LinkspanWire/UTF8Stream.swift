/// Checks UTF-8 that comes in pieces, which may end inside a character.
public struct UTF8Stream: Sendable {
    /// The bytes of a character that has begun; at most three.
    private var pending: InlineArray<4, UInt8> = [0, 0, 0, 0]
    private var pendingCount = 0

    public init() {}

    /// Whether the bytes so far end with a whole character.
    public var isComplete: Bool { self.pendingCount == 0 }

    /// False once no further byte can make the text valid; nothing may be appended after that.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while self.pendingCount > 0, index < bytes.count {
            guard self.take(bytes[index]) else { return false }
            index += 1
        }
        let base = bytes.bytes
        while true {
            index = Self.skipASCII(bytes, from: index)
            guard index < bytes.count else { return true }
            let length = UTF8Sequence.length(at: base + index, available: bytes.count - index)
            if length > 0 {
                index += length
            } else {
                // Broken, or cut off by the end of this piece.
                guard bytes.count - index < 4 else { return false }
                while index < bytes.count {
                    guard self.take(bytes[index]) else { return false }
                    index += 1
                }
                return true
            }
        }
    }

    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var stream = UTF8Stream()
        return stream.append(bytes) && stream.isComplete
    }

    public static func isValid(_ bytes: RawSpan) -> Bool {
        bytes.withUnsafeBytes { Self.isValid($0) }
    }

    /// Adds one byte to the character that is under way; false if no character begins so.
    private mutating func take(_ byte: UInt8) -> Bool {
        if self.pendingCount == 0, byte < 0x80 { return true }
        self.pending[self.pendingCount] = byte
        self.pendingCount += 1
        guard let length = UTF8Sequence.expectedLength(lead: self.pending[0]) else { return false }
        // Bytes that have not come yet are replaced by the one continuation that the second byte's rules always admit.
        var whole = self.pending
        for index in self.pendingCount..<4 {
            whole[index] = index == 1 ? UTF8Sequence.admissibleSecond(lead: self.pending[0]) : 0x80
        }
        let isPossible = whole.span.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return false }
            return UTF8Sequence.length(at: base, available: 4) == length
        }
        if self.pendingCount == length { self.pendingCount = 0 }
        return isPossible
    }

    private static func skipASCII(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index &+ 8 <= bytes.count {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let high = word & 0x8080_8080_8080_8080
            guard high == 0 else { return index &+ high.trailingZeroBitCount >> 3 }
            index &+= 8
        }
        while index < bytes.count, bytes[index] < 0x80 { index &+= 1 }
        return index
    }
}
