public import NIOCore

/// Reads records off a stretch of a segment, and finds the next one behind whatever is damaged.
///
/// What is not a record, by mark, length, checksum and form, is passed over up to the next one. A record can only be taken for another's
/// damage if its checksum fails too.
public struct RecordReader {
    public enum Element {
        case record(StoredRecord)
        /// The rest is the beginning of a record, perhaps; more bytes would tell. At least so many from ``RecordReader/offset`` on.
        case needsMore(byteCount: Int)
        /// All has been read.
        case end
    }

    /// Where the next byte to look at is, counted as `offset` of the initializer is.
    public private(set) var offset: Int
    /// Bytes passed over so far because they were no record.
    public private(set) var damagedBytes = 0

    private var bytes: ByteBuffer
    private let isLast: Bool

    /// - Parameters:
    ///   - bytes: a stretch of the segment.
    ///   - offset: where in the segment it begins.
    ///   - isLast: whether the segment ends with it.
    public init(_ bytes: ByteBuffer, at offset: Int, isLast: Bool) {
        self.bytes = bytes
        self.offset = offset
        self.isLast = isLast
    }

    public mutating func next() -> Element {
        while self.bytes.readableBytes > 0 {
            switch StoredRecord.decode(self.bytes) {
            case .record(let record, let byteCount):
                self.advance(byteCount)
                return .record(record)
            case .incomplete(let byteCount) where !self.isLast:
                return .needsMore(byteCount: byteCount)
            case .incomplete, .invalid:
                self.skipToNextMark()
            }
        }
        return .end
    }

    private mutating func skipToNextMark() {
        let start = self.bytes.readerIndex
        let rest = self.bytes.readableBytesView.dropFirst()
        let next = rest.firstIndex(of: StoredRecord.markBytes[0]) ?? self.bytes.writerIndex
        self.damagedBytes += next - start
        self.advance(next - start)
    }

    private mutating func advance(_ count: Int) {
        self.bytes.moveReaderIndex(forwardBy: count)
        self.offset += count
    }
}
