public import NIOCore

/// How a segment file begins.
public enum SegmentFormat {
    /// Tells the format and its version; the records follow.
    public static let head: StaticString = "LSBUFv1\n"
    public static let headBytes = 8
    /// Most bytes that a record can have; a length beyond it is damage.
    public static let recordLimit = 1 << 30
    private static let family = [UInt8]("LSBUFv".utf8)

    /// Whether it is a segment of another version, which must not be taken for a damaged one of ours.
    public static func isForeign(_ bytes: ByteBuffer) -> Bool {
        guard let head = bytes.getBytes(at: bytes.readerIndex, length: Self.headBytes) else { return false }
        return head.starts(with: Self.family) && !head.elementsEqual("LSBUFv1\n".utf8)
    }
}

/// What one segment file of an earlier run holds.
public struct SegmentFindings: Sendable, Hashable {
    /// Whole records.
    public private(set) var count = 0
    /// Position behind the last of them; that of the first record the segment should have if there is none.
    public private(set) var end: UInt64
    /// Up to the end of the last whole record.
    public private(set) var byteCount = SegmentFormat.headBytes
    /// Bytes before that which belong to no whole record.
    public private(set) var damagedBytes = 0
    /// Bytes behind it: where writing was cut off.
    public private(set) var tornBytes = 0

    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - first: position of its first record, as the file's name says.
    public init(_ bytes: ByteBuffer, first: UInt64) {
        self.end = first
        let head = bytes.getString(at: bytes.readerIndex, length: SegmentFormat.headBytes)
        let isHeadWhole = head == "\(SegmentFormat.head)"
        var records = bytes
        if isHeadWhole { records.moveReaderIndex(forwardBy: SegmentFormat.headBytes) }
        var reader = RecordReader(
            records, at: isHeadWhole ? SegmentFormat.headBytes : 0, isLast: true)
        var damaged = 0
        while case .record(let record) = reader.next() {
            guard record.position >= self.end else { continue }
            self.count += 1
            self.end = record.position + 1
            self.byteCount = reader.offset
            damaged = reader.damagedBytes
        }
        self.damagedBytes = damaged
        self.tornBytes = max(0, bytes.readableBytes - self.byteCount)
    }
}
