public import LinkspanBridgeKit
public import NIOCore

/// One envelope as a disk buffer keeps it.
///
/// All numbers are little-endian. The checksum (CRC-32C) covers everything behind the mark but itself.
///
///     mark "LSR1" · bytes of the body u32 · position u64 · checksum u32 · body
///     body: stored at, ms since 1970 u64 · name u32+bytes · has header u8
///           [origin u8+bytes · epoch u64 · sequence u64 · accepted at u64 · hops u8 × (u8+bytes)] · data
public struct StoredRecord: Sendable {
    /// Counts the records of one buffer, from 1; the next one's is one more.
    public var position: UInt64
    /// When the buffer accepted it, milliseconds since 1970.
    public var storedAt: UInt64
    public var name: String
    public var header: EnvelopeHeader?
    public var data: ByteBuffer

    public init(position: UInt64, storedAt: UInt64, name: String, header: EnvelopeHeader?, data: ByteBuffer) {
        self.position = position
        self.storedAt = storedAt
        self.name = name
        self.header = header
        self.data = data
    }

    static let headBytes = 20

    /// Bytes of the record of such an envelope.
    public static func size(name: String, header: EnvelopeHeader?, dataBytes: Int) -> Int {
        var size = Self.headBytes + 8 + 4 + name.utf8.count + 1 + dataBytes
        if let header {
            size += 1 + header.origin.instance.string.utf8.count + 24 + 1
            size += header.hops.reduce(0) { $0 + 1 + $1.string.utf8.count }
        }
        return size
    }

    // MARK: Writing

    public func encode(into buffer: inout ByteBuffer) {
        let start = buffer.writerIndex
        let bodyBytes =
            Self.size(name: self.name, header: self.header, dataBytes: self.data.readableBytes) - Self.headBytes
        buffer.writeStaticString(Self.mark)
        buffer.writeInteger(UInt32(bodyBytes), endianness: .little)
        buffer.writeInteger(self.position, endianness: .little)
        buffer.writeInteger(UInt32(0))
        self.encodeBody(into: &buffer)
        let checksum = Self.checksum(of: buffer, at: start, bodyBytes: bodyBytes)
        buffer.setInteger(checksum, at: start + 16, endianness: .little)
    }

    private func encodeBody(into buffer: inout ByteBuffer) {
        buffer.writeInteger(self.storedAt, endianness: .little)
        buffer.writeInteger(UInt32(self.name.utf8.count), endianness: .little)
        buffer.writeString(self.name)
        buffer.writeInteger(UInt8(self.header == nil ? 0 : 1))
        if let header = self.header {
            buffer.writeInstance(header.origin.instance)
            buffer.writeInteger(header.origin.epoch, endianness: .little)
            buffer.writeInteger(header.origin.sequence, endianness: .little)
            buffer.writeInteger(header.acceptedAt, endianness: .little)
            buffer.writeInteger(UInt8(header.hops.count))
            for hop in header.hops { buffer.writeInstance(hop) }
        }
        buffer.writeImmutableBuffer(self.data)
    }

    /// "LSR1", by which a reader finds its way again behind damage.
    static let mark: StaticString = "LSR1"
    static let markBytes = [UInt8]("LSR1".utf8)

    private static func checksum(of buffer: ByteBuffer, at start: Int, bodyBytes: Int) -> UInt32 {
        buffer.withUnsafeReadableBytes { bytes in
            let record = UnsafeRawBufferPointer(rebasing: bytes[(start - buffer.readerIndex)...])
            let head = CRC32C.update(.max, UnsafeRawBufferPointer(rebasing: record[4..<16]))
            let body = record[Self.headBytes..<Self.headBytes + bodyBytes]
            return ~CRC32C.update(head, UnsafeRawBufferPointer(rebasing: body))
        }
    }

    // MARK: Reading

    enum Decoding {
        case record(StoredRecord, byteCount: Int)
        /// It goes on behind the bytes at hand, if its length is true.
        case incomplete(byteCount: Int)
        case invalid
    }

    /// Reads the record at the reader index, which stays.
    static func decode(_ buffer: ByteBuffer) -> Decoding {
        let start = buffer.readerIndex
        let known = min(buffer.readableBytes, Self.markBytes.count)
        guard let mark = buffer.viewBytes(at: start, length: known), mark.elementsEqual(Self.markBytes.prefix(known))
        else { return .invalid }
        guard let length = buffer.getInteger(at: start + 4, endianness: .little, as: UInt32.self),
            let position = buffer.getInteger(at: start + 8, endianness: .little, as: UInt64.self),
            let checksum = buffer.getInteger(at: start + 16, endianness: .little, as: UInt32.self)
        else { return .incomplete(byteCount: Self.headBytes) }
        let byteCount = Self.headBytes + Int(length)
        guard byteCount <= SegmentFormat.recordLimit else { return .invalid }
        guard byteCount <= buffer.readableBytes else { return .incomplete(byteCount: byteCount) }
        guard Self.checksum(of: buffer, at: start, bodyBytes: Int(length)) == checksum,
            var body = buffer.getSlice(at: start + Self.headBytes, length: Int(length)),
            let record = Self.decodeBody(&body, position: position)
        else { return .invalid }
        return .record(record, byteCount: byteCount)
    }

    private static func decodeBody(_ body: inout ByteBuffer, position: UInt64) -> StoredRecord? {
        guard let storedAt = body.readInteger(endianness: .little, as: UInt64.self),
            let nameBytes = body.readInteger(endianness: .little, as: UInt32.self),
            let name = body.readString(length: Int(nameBytes)),
            let hasHeader = body.readInteger(as: UInt8.self)
        else { return nil }
        var header: EnvelopeHeader?
        if hasHeader == 1 {
            header = Self.decodeHeader(&body)
            if header == nil { return nil }
        }
        return StoredRecord(position: position, storedAt: storedAt, name: name, header: header, data: body)
    }

    private static func decodeHeader(_ body: inout ByteBuffer) -> EnvelopeHeader? {
        guard let instance = body.readInstance(),
            let epoch = body.readInteger(endianness: .little, as: UInt64.self),
            let sequence = body.readInteger(endianness: .little, as: UInt64.self),
            let acceptedAt = body.readInteger(endianness: .little, as: UInt64.self),
            let hopCount = body.readInteger(as: UInt8.self)
        else { return nil }
        var hops: [InstanceID] = []
        for _ in 0..<hopCount {
            guard let hop = body.readInstance() else { return nil }
            hops.append(hop)
        }
        return EnvelopeHeader(
            origin: Origin(instance: instance, epoch: epoch, sequence: sequence), hops: hops, acceptedAt: acceptedAt)
    }
}

extension ByteBuffer {
    fileprivate mutating func writeInstance(_ instance: InstanceID) {
        self.writeInteger(UInt8(instance.string.utf8.count))
        self.writeString(instance.string)
    }

    fileprivate mutating func readInstance() -> InstanceID? {
        guard let count = self.readInteger(as: UInt8.self), let text = self.readString(length: Int(count)) else {
            return nil
        }
        return InstanceID(text)
    }
}
