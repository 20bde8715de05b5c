/// Reads MessagePack and writes what it says as JSON text. Bounded in depth and in what it writes; reads nothing past
/// the end.
struct MessagePackReader {
    /// What the first byte of a value, and the length behind it, announce.
    enum Item {
        case null
        case boolean(Bool)
        case integer(Int64)
        /// Only above `Int64.max`.
        case large(UInt64)
        case double(Double)
        case string(Range<Int>)
        case binary(Range<Int>)
        case array(Int)
        case map(Int)
    }

    let bytes: UnsafeRawBufferPointer
    let maximumDepth: Int
    let maximumTextBytes: Int
    var position = 0

    init(_ bytes: UnsafeRawBufferPointer, maximumDepth: Int, maximumTextBytes: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
        self.maximumTextBytes = maximumTextBytes
    }

    mutating func next() throws(MinBinError) -> Item {
        let byte = try self.unsigned(byteCount: 1)
        switch byte {
        case 0x00...0x7F: return .integer(Int64(byte))
        case 0x80...0x8F: return try self.container(Int(byte & 0x0F), itemsEach: 2)
        case 0x90...0x9F: return try self.container(Int(byte & 0x0F), itemsEach: 1)
        case 0xA0...0xBF: return .string(try self.body(Int(byte & 0x1F)))
        case 0xC0: return .null
        case 0xC2: return .boolean(false)
        case 0xC3: return .boolean(true)
        case 0xC4...0xC6: return .binary(try self.body(try self.length(byteCount: 1 << (byte - 0xC4))))
        case 0xCA: return .double(Double(Float(bitPattern: UInt32(try self.unsigned(byteCount: 4)))))
        case 0xCB: return .double(Double(bitPattern: try self.unsigned(byteCount: 8)))
        case 0xCC...0xCF:
            let value = try self.unsigned(byteCount: 1 << (byte - 0xCC))
            return Int64(exactly: value).map { .integer($0) } ?? .large(value)
        case 0xD0: return .integer(Int64(Int8(truncatingIfNeeded: try self.unsigned(byteCount: 1))))
        case 0xD1: return .integer(Int64(Int16(truncatingIfNeeded: try self.unsigned(byteCount: 2))))
        case 0xD2: return .integer(Int64(Int32(truncatingIfNeeded: try self.unsigned(byteCount: 4))))
        case 0xD3: return .integer(Int64(truncatingIfNeeded: try self.unsigned(byteCount: 8)))
        case 0xD9...0xDB: return .string(try self.body(try self.length(byteCount: 1 << (byte - 0xD9))))
        case 0xDC, 0xDD: return try self.container(try self.length(byteCount: 2 << (byte - 0xDC)), itemsEach: 1)
        case 0xDE, 0xDF: return try self.container(try self.length(byteCount: 2 << (byte - 0xDE)), itemsEach: 2)
        case 0xE0...0xFF: return .integer(Int64(byte) - 256)
        default: throw .unsupportedType
        }
    }

    /// Transcodes the next value, which lies inside `depth` containers.
    mutating func transcode(depth: Int, into text: inout [UInt8]) throws(MinBinError) {
        try self.transcode(try self.next(), depth: depth, into: &text)
    }

    mutating func transcode(_ item: Item, depth: Int, into text: inout [UInt8]) throws(MinBinError) {
        guard text.count <= self.maximumTextBytes else { throw .tooLarge }
        switch item {
        case .null: text.put("null")
        case .boolean(let value): text.put(value ? "true" : "false" as StaticString)
        case .integer(let value): text.put(decimal: value)
        case .large(let value): text.put(verbatim: String(value))
        case .double(let value): Self.write(value, into: &text)
        case .string(let range): try self.writeString(range, into: &text)
        case .binary(let range):
            guard range.count / 3 * 4 <= self.maximumTextBytes else { throw .tooLarge }
            text.put("{\"base64\":true,\"data\":\"")
            Base64.standard.encode(UnsafeRawBufferPointer(rebasing: self.bytes[range]), into: &text)
            text.put("\"}")
        case .array(let count):
            guard depth < self.maximumDepth else { throw .tooDeep }
            text.put("[")
            for index in 0..<count {
                if index > 0 { text.put(",") }
                try self.transcode(depth: depth + 1, into: &text)
            }
            text.put("]")
        case .map(let count):
            guard depth < self.maximumDepth else { throw .tooDeep }
            text.put("{")
            for index in 0..<count {
                if index > 0 { text.put(",") }
                try self.writeKey(into: &text)
                text.put(":")
                try self.transcode(depth: depth + 1, into: &text)
            }
            text.put("}")
        }
    }

    /// A map's key; JavaScript turns numbers into names.
    mutating func writeKey(into text: inout [UInt8]) throws(MinBinError) {
        switch try self.next() {
        case .string(let range): try self.writeString(range, into: &text)
        case .integer(let value):
            text.put("\"")
            text.put(decimal: value)
            text.put("\"")
        case .null, .boolean, .large, .double, .binary, .array, .map: throw .unsupportedKey
        }
    }

    func writeString(_ range: Range<Int>, into text: inout [UInt8]) throws(MinBinError) {
        let string = UnsafeRawBufferPointer(rebasing: self.bytes[range])
        guard UTF8Stream.isValid(string) else { throw .invalidUTF8 }
        text.put("\"")
        text.putEscaped(string)
        text.put("\"")
    }

    func equals(_ range: Range<Int>, _ other: StaticString) -> Bool {
        self.bytes[range].elementsEqual(
            UnsafeRawBufferPointer(start: other.utf8Start, count: other.utf8CodeUnitCount))
    }

    private mutating func unsigned(byteCount: Int) throws(MinBinError) -> UInt64 {
        let range = try self.body(byteCount)
        var value: UInt64 = 0
        for index in range { value = value << 8 | UInt64(self.bytes[index]) }
        return value
    }

    private mutating func length(byteCount: Int) throws(MinBinError) -> Int {
        // At most 32 bits, which an Int holds.
        Int(try self.unsigned(byteCount: byteCount))
    }

    private mutating func body(_ count: Int) throws(MinBinError) -> Range<Int> {
        guard count <= self.bytes.count - self.position else { throw .truncated }
        defer { self.position += count }
        return self.position..<self.position + count
    }

    /// Every item takes a byte at least, so a count that the rest cannot hold is refused before anything is made of it.
    private func container(_ count: Int, itemsEach: Int) throws(MinBinError) -> Item {
        guard count * itemsEach <= self.bytes.count - self.position else { throw .truncated }
        return itemsEach == 1 ? .array(count) : .map(count)
    }

    /// As `JSON.stringify`: whole numbers without a fraction, what is no number as `null`.
    private static func write(_ value: Double, into text: inout [UInt8]) {
        if let integer = value.asInteger {
            text.put(decimal: integer)
        } else if value.isFinite {
            text.put(verbatim: value.description)
        } else {
            text.put("null")
        }
    }
}

extension Double {
    /// The integer that this is, if 64 bits hold it. `Int64(exactly:)` would need the C library's `trunc`.
    var asInteger: Int64? {
        guard self > -0x1p63, self < 0x1p63 else { return nil }
        let integer = Int64(self)
        return Double(integer) == self ? integer : nil
    }
}
