/// Writes JSON values as MessagePack, each in its shortest form, as sc-codec-min-bin 3 chooses it.
struct MessagePackWriter {
    /// What a container holds has to be said in front of it, so a first pass counts: one entry for each container, in
    /// the order in which they open.
    private var counts: [Int] = []
    private var nextCount = 0
    /// Stands for a count where an object is SocketCluster's form of bytes.
    private static let isBinary = -1

    /// Writes `value`, which has been scanned in this text.
    mutating func write(
        _ value: JSONValue, base: UnsafePointer<UInt8>, into sink: inout some ByteSink
    ) throws(JSONError) {
        self.counts.removeAll(keepingCapacity: true)
        self.nextCount = 0
        let bytes = UnsafeRawBufferPointer(start: base, count: value.range.upperBound)
        var counter = JSONReader(bytes, maximumDepth: .max, position: value.range.lowerBound)
        try self.count(&counter)
        var reader = JSONReader(bytes, maximumDepth: .max, position: value.range.lowerBound)
        try self.writeNext(&reader, into: &sink)
    }

    private mutating func count(_ reader: inout JSONReader) throws(JSONError) {
        reader.skipWhitespace()
        switch reader.current {
        case UInt8(ascii: "{"): try self.countMembers(&reader)
        case UInt8(ascii: "["):
            reader.position += 1
            let entry = self.counts.count
            self.counts.append(0)
            while try reader.nextElement(isFirst: self.counts[entry] == 0) {
                self.counts[entry] += 1
                try self.count(&reader)
            }
        default:
            _ = try reader.scanValue(depth: 0)
        }
    }

    private mutating func countMembers(_ reader: inout JSONReader) throws(JSONError) {
        let entry = self.counts.count
        self.counts.append(0)
        if Self.binary(at: reader) != nil {
            self.counts[entry] = Self.isBinary
            _ = try reader.scanValue(depth: 0)
            return
        }
        reader.position += 1
        while try reader.nextKey(isFirst: self.counts[entry] == 0) != nil {
            self.counts[entry] += 1
            try self.count(&reader)
        }
    }

    private mutating func writeNext(_ reader: inout JSONReader, into sink: inout some ByteSink) throws(JSONError) {
        reader.skipWhitespace()
        switch reader.current {
        case UInt8(ascii: "{"): try self.writeObject(&reader, into: &sink)
        case UInt8(ascii: "["):
            let count = self.takeCount()
            sink.putMessagePackArray(count)
            reader.position += 1
            var isFirst = true
            while try reader.nextElement(isFirst: isFirst) {
                isFirst = false
                try self.writeNext(&reader, into: &sink)
            }
        default:
            let value = try reader.scanValue(depth: 0)
            sink.putMessagePackScalar(value, base: reader.base)
        }
    }

    private mutating func writeObject(_ reader: inout JSONReader, into sink: inout some ByteSink) throws(JSONError) {
        let count = self.takeCount()
        if count == Self.isBinary, let slice = Self.binary(at: reader) {
            let text = UnsafeRawBufferPointer(start: reader.base + slice.range.lowerBound, count: slice.range.count)
            sink.putMessagePackBinary(base64: text)
            _ = try reader.scanValue(depth: 0)
            return
        }
        sink.putMessagePackMap(count)
        reader.position += 1
        var isFirst = true
        while let key = try reader.nextKey(isFirst: isFirst) {
            isFirst = false
            sink.putMessagePackString(key, base: reader.base)
            try self.writeNext(&reader, into: &sink)
        }
    }

    private mutating func takeCount() -> Int {
        defer { self.nextCount += 1 }
        return self.counts[self.nextCount]
    }

    /// The base64 text of `{"base64":true,"data":"..."}` with exactly these keys in this order, nil for any other
    /// object.
    private static func binary(at start: JSONReader) -> StringSlice? {
        var reader = start
        reader.position += 1
        do throws(JSONError) {
            guard let flag = try reader.nextKey(isFirst: true), flag.equals("base64", base: reader.base) else {
                return nil
            }
            let isTrue = reader.isTrue(try reader.scanValue(depth: 0))
            guard isTrue, let key = try reader.nextKey(isFirst: false), key.equals("data", base: reader.base) else {
                return nil
            }
            // Looking into a container here would look into each level of a deep one again and again.
            reader.skipWhitespace()
            guard reader.current == UInt8(ascii: "\""),
                let text = try reader.scanValue(depth: 0).string, !text.hasEscapes,
                try reader.nextKey(isFirst: false) == nil
            else { return nil }
            let bytes = UnsafeRawBufferPointer(start: reader.base + text.range.lowerBound, count: text.range.count)
            return Base64.standard.decodedCount(bytes) == nil ? nil : text
        } catch {
            return nil
        }
    }
}

extension ByteSink {
    mutating func putMessagePackScalar(_ value: JSONValue, base: UnsafePointer<UInt8>) {
        switch value.kind {
        case .null: self.put(0xC0)
        case .boolean: self.put(base[value.range.lowerBound] == UInt8(ascii: "t") ? 0xC3 : 0xC2)
        case .string:
            if let string = value.string { self.putMessagePackString(string, base: base) }
        case .number: self.putMessagePackNumber(value, base: base)
        case .object, .array: break
        }
    }

    mutating func putMessagePackArray(_ count: Int) {
        self.putMessagePackLength(count, short: 0x90, shortLimit: 16, tag16: 0xDC, tag32: 0xDD)
    }

    mutating func putMessagePackMap(_ count: Int) {
        self.putMessagePackLength(count, short: 0x80, shortLimit: 16, tag16: 0xDE, tag32: 0xDF)
    }

    mutating func putMessagePackString(_ slice: StringSlice, base: UnsafePointer<UInt8>) {
        guard slice.hasEscapes else {
            self.putMessagePackString(
                UnsafeRawBufferPointer(start: base + slice.range.lowerBound, count: slice.range.count))
            return
        }
        var string = slice.string(base: base)
        string.withUTF8 { self.putMessagePackString(UnsafeRawBufferPointer($0)) }
    }

    mutating func putMessagePackString(_ utf8: UnsafeRawBufferPointer) {
        self.putMessagePackLength(
            utf8.count, short: 0xA0, shortLimit: 32, tag8: 0xD9, tag16: 0xDA, tag32: 0xDB)
        self.put(contentsOf: utf8)
    }

    mutating func putMessagePackBinary(base64 text: UnsafeRawBufferPointer) {
        self.putMessagePackLength(Base64.standard.decodedCount(text) ?? 0, tag8: 0xC4, tag16: 0xC5, tag32: 0xC6)
        Base64.standard.decode(text, into: &self)
    }

    /// Integers past 32 bits go as doubles, which is what JavaScript holds them in; what no double holds goes as nil.
    private mutating func putMessagePackNumber(_ value: JSONValue, base: UnsafePointer<UInt8>) {
        if let integer = value.integer(base: base), (Int64(Int32.min)...Int64(UInt32.max)).contains(integer) {
            self.putMessagePackInteger(integer)
            return
        }
        let text = UnsafeBufferPointer(start: base + value.range.lowerBound, count: value.range.count)
        guard let double = Double(String(decoding: text, as: UTF8.self)), double.isFinite else {
            self.put(0xC0)
            return
        }
        if let integer = double.asInteger, (Int64(Int32.min)...Int64(UInt32.max)).contains(integer) {
            self.putMessagePackInteger(integer)
            return
        }
        self.put(0xCB)
        self.put(bigEndian: double.bitPattern, byteCount: 8)
    }

    private mutating func putMessagePackInteger(_ value: Int64) {
        let bits = UInt64(bitPattern: value)
        switch value {
        case -32..<128: self.put(UInt8(truncatingIfNeeded: value))
        case 128...0xFF: self.putTagged(0xCC, bits, byteCount: 1)
        case 0x100...0xFFFF: self.putTagged(0xCD, bits, byteCount: 2)
        case 0x10000...: self.putTagged(0xCE, bits, byteCount: 4)
        case Int64(Int8.min)...: self.putTagged(0xD0, bits, byteCount: 1)
        case Int64(Int16.min)...: self.putTagged(0xD1, bits, byteCount: 2)
        default: self.putTagged(0xD2, bits, byteCount: 4)
        }
    }

    private mutating func putTagged(_ tag: UInt8, _ value: UInt64, byteCount: Int) {
        self.put(tag)
        self.put(bigEndian: value, byteCount: byteCount)
    }

    /// `short` carries counts below `shortLimit` in its own bits; longer ones follow `tag8` (where there is one),
    /// `tag16` or `tag32`.
    private mutating func putMessagePackLength(
        _ count: Int, short: UInt8 = 0, shortLimit: Int = 0, tag8: UInt8? = nil, tag16: UInt8, tag32: UInt8
    ) {
        if count < shortLimit {
            self.put(short | UInt8(count))
        } else if let tag8, count <= 0xFF {
            self.putTagged(tag8, UInt64(count), byteCount: 1)
        } else if count <= 0xFFFF {
            self.putTagged(tag16, UInt64(count), byteCount: 2)
        } else {
            self.putTagged(tag32, UInt64(count), byteCount: 4)
        }
    }
}
