import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct DiskRecordTests {
    static func record(_ position: UInt64, _ data: String = #"{"a":1}"#, raw: Bool = false) -> StoredRecord {
        let origin = Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: position * 3)
        let header = EnvelopeHeader(
            origin: origin, hops: [InstanceID("fra-1")!, InstanceID("ams.2")!], acceptedAt: 1_795_216_176_999)
        return StoredRecord(
            position: position, storedAt: 1_795_216_177_000 + position, name: "sc/räume/\(position)",
            header: raw ? nil : header, data: ByteBuffer(string: data))
    }

    static func segment(_ records: [StoredRecord]) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.writeStaticString(SegmentFormat.head)
        for record in records { record.encode(into: &bytes) }
        return bytes
    }

    static func read(_ bytes: ByteBuffer, isLast: Bool = true) -> [StoredRecord] {
        var reader = RecordReader(bytes, at: 0, isLast: isLast)
        var records: [StoredRecord] = []
        while case .record(let record) = reader.next() { records.append(record) }
        return records
    }

    /// CRC-32C, one bit at a time.
    private static func plainChecksum(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(UInt32.max) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc & 1 == 1 ? 0x82F6_3B78 ^ (crc >> 1) : crc >> 1 }
        }
    }

    @Test func `the checksum is CRC-32C`() throws {
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        #expect(Self.plainChecksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        for length in [0, 1, 7, 8, 9, 1000] {
            var bytes = ByteBuffer()
            Self.record(1, String(repeating: "z", count: length)).encode(into: &bytes)
            let all = Array(bytes.readableBytesView)
            let written = try #require(bytes.getInteger(at: 16, endianness: .little, as: UInt32.self))
            #expect(written == Self.plainChecksum(Array(all[4..<16] + all[20...])))
        }
    }

    @Test func `a record is read as it was written, with or without header`() throws {
        for record in [
            Self.record(7), Self.record(8, "", raw: true), Self.record(9, String(repeating: "x", count: 70_000)),
        ] {
            var bytes = ByteBuffer()
            record.encode(into: &bytes)
            #expect(
                bytes.readableBytes
                    == StoredRecord.size(
                        name: record.name, header: record.header, dataBytes: record.data.readableBytes))
            let found = try #require(Self.read(bytes).first)
            #expect(found.position == record.position && found.storedAt == record.storedAt)
            #expect(found.name == record.name && found.header == record.header && found.data == record.data)
        }
    }

    @Test func `a segment cut off at any byte keeps its whole records`() {
        let records = (1...4).map { Self.record($0) }
        let bytes = Self.segment(records)
        var ends = [SegmentFormat.headBytes]
        for record in records {
            ends.append(
                ends[ends.count - 1]
                    + StoredRecord.size(
                        name: record.name, header: record.header, dataBytes: record.data.readableBytes))
        }
        for length in 0...bytes.readableBytes {
            let findings = SegmentFindings(bytes.getSlice(at: 0, length: length)!, first: 1)
            let whole = max(1, ends.count { $0 <= length }) - 1
            #expect(findings.count == whole && findings.end == UInt64(whole) + 1, "cut at \(length)")
            #expect(findings.byteCount == ends[whole], "cut at \(length)")
            #expect(findings.tornBytes == max(0, length - ends[whole]) && findings.damagedBytes == 0)
        }
    }

    @Test func `damage at any byte costs one record, and the others are found`() {
        let records = (1...3).map { Self.record($0) }
        let bytes = Self.segment(records)
        for offset in 0..<bytes.readableBytes {
            var damaged = bytes
            damaged.setInteger(~bytes.getInteger(at: offset, as: UInt8.self)!, at: offset)
            let findings = SegmentFindings(damaged, first: 1)
            #expect(findings.count >= (offset < SegmentFormat.headBytes ? 3 : 2), "damaged at \(offset)")
            damaged.moveReaderIndex(forwardBy: SegmentFormat.headBytes)
            for found in Self.read(damaged) {
                let original = records[Int(found.position) - 1]
                #expect(found.name == original.name && found.data == original.data, "damaged at \(offset)")
            }
        }
    }

    @Test func `zeros, noise and lengths without end are no records and end the reading`() {
        var random = SeededRandom()
        var noise = ByteBuffer()
        for _ in 0..<5000 { noise.writeInteger(UInt8.random(in: 0...255, using: &random)) }
        var marks = ByteBuffer(string: String(repeating: "LSR1", count: 500))
        marks.writeRepeatingByte(0xFF, count: 500)
        for bytes in [ByteBuffer(repeating: 0, count: 5000), noise, marks] {
            #expect(SegmentFindings(bytes, first: 5).count == 0, "seed \(random.seed)")
            #expect(SegmentFindings(bytes, first: 5).end == 5)
        }
    }

    @Test func `a reader that has not all bytes asks for more`() throws {
        var bytes = ByteBuffer()
        Self.record(1).encode(into: &bytes)
        let whole = bytes.readableBytes
        for length in 1..<whole {
            var reader = RecordReader(bytes.getSlice(at: 0, length: length)!, at: 100, isLast: false)
            guard case .needsMore(let needed) = reader.next() else {
                Issue.record("read \(length) of \(whole) bytes")
                continue
            }
            #expect(needed > length && needed <= whole && reader.offset == 100)
        }
    }

    @Test func `a segment of another version is not taken for a damaged one`() {
        #expect(!SegmentFormat.isForeign(Self.segment([])))
        #expect(SegmentFormat.isForeign(ByteBuffer(string: "LSBUFv2\n")))
        #expect(!SegmentFormat.isForeign(ByteBuffer(string: "LSB")))
    }

    @Test func `a mark that is not whole is none`() {
        let mark = PositionMark.encode(4711)
        #expect(PositionMark.decode(mark) == 4711)
        for index in mark.indices {
            var damaged = mark
            damaged[index] ^= 1
            #expect(PositionMark.decode(damaged) == nil)
            #expect(PositionMark.decode(Array(mark[..<index])) == nil)
        }
        #expect(PositionMark.decode([UInt8](repeating: 0, count: 12)) == nil)
    }
}
