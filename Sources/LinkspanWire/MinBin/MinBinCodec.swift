/// Why bytes are not a packet of sc-codec-min-bin.
public enum MinBinError: Error, Hashable, Sendable, CaseIterable {
    /// The bytes end inside a value.
    case truncated
    /// Bytes are left behind the value.
    case trailingBytes
    /// An extension type, or the one byte that MessagePack never uses.
    case unsupportedType
    /// A map's key that is neither string nor integer.
    case unsupportedKey
    case invalidUTF8
    case tooDeep
    /// The JSON text would be longer than the limit.
    case tooLarge
    /// The text to encode is not valid JSON.
    case notJSON
}

/// sc-codec-min-bin 3.0: packets in a shortened form, as MessagePack in binary frames.
///
/// Transcodes to and from the JSON text of the same packet, so that everything behind it knows one format. Bytes travel
/// in JSON as `{"base64":true,"data":".."}`. Absent values are nil in this format: an absent `data` comes back as
/// `null`.
public struct MinBinCodec: Hashable, Sendable {
    public let limits: DecodingLimits
    /// Of the JSON text that one message becomes. Text is up to six times as long as what it was made of.
    public let maximumTextBytes: Int

    public init(limits: DecodingLimits = DecodingLimits(), maximumTextBytes: Int = 4 << 20) {
        self.limits = limits
        self.maximumTextBytes = maximumTextBytes
    }

    private var maximumDepth: Int { min(max(self.limits.depth, 1), 1024) }
}

extension MinBinCodec {
    /// Appends the JSON text of one message. A string that stands alone, such as the pong `#2`, comes without quotes,
    /// as a text message would carry it.
    public func decode(_ message: RawSpan, into text: inout [UInt8]) throws(MinBinError) {
        try message.withUnsafeBytes { bytes throws(MinBinError) in
            var reader = MessagePackReader(
                bytes, maximumDepth: self.maximumDepth, maximumTextBytes: text.count + self.maximumTextBytes)
            switch try reader.next() {
            case .string(let range):
                guard UTF8Stream.isValid(UnsafeRawBufferPointer(rebasing: bytes[range])) else { throw .invalidUTF8 }
                text.put(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[range]))
            case .map(let count):
                try reader.transcodePacket(memberCount: count, depth: 1, into: &text)
            case .array(let count):
                text.put("[")
                for index in 0..<count {
                    if index > 0 { text.put(",") }
                    try reader.transcodeElement(into: &text)
                }
                text.put("]")
            case let scalar:
                try reader.transcode(scalar, depth: 0, into: &text)
            }
            guard reader.position == bytes.count else { throw .trailingBytes }
            guard text.count <= reader.maximumTextBytes else { throw .tooLarge }
        }
    }
}

extension MessagePackReader {
    fileprivate mutating func transcodeElement(into text: inout [UInt8]) throws(MinBinError) {
        let item = try self.next()
        if case .map(let count) = item {
            try self.transcodePacket(memberCount: count, depth: 2, into: &text)
        } else {
            try self.transcode(item, depth: 1, into: &text)
        }
    }

    /// A packet's members, of which `p`, `e` and `r` stand for several.
    fileprivate mutating func transcodePacket(
        memberCount: Int, depth: Int, into text: inout [UInt8]
    ) throws(MinBinError) {
        guard depth <= self.maximumDepth else { throw .tooDeep }
        text.put("{")
        for index in 0..<memberCount {
            if index > 0 { text.put(",") }
            let keyStart = self.position
            if case .string(let key) = try self.next(), key.count == 1,
                try self.transcodeShortened(key, depth: depth, into: &text)
            {
                continue
            }
            self.position = keyStart
            try self.writeKey(into: &text)
            text.put(":")
            try self.transcode(depth: depth, into: &text)
        }
        text.put("}")
    }

    /// False, with nothing written, unless the key is one of the three and its value an array with the first element.
    private mutating func transcodeShortened(
        _ key: Range<Int>, depth: Int, into text: inout [UInt8]
    ) throws(MinBinError) -> Bool {
        guard case .array(let count) = try self.next(), count >= 1 else { return false }
        if self.equals(key, "p") {
            text.put("\"event\":\"#publish\",\"data\":{\"channel\":")
            try self.transcode(depth: depth + 2, into: &text)
            if count > 1 { try self.transcodeMember(",\"data\":", depth: depth + 2, into: &text) }
            text.put("}")
            if count > 2 { try self.transcodeCallID(depth: depth, into: &text) }
        } else if self.equals(key, "e") {
            try self.transcodeMember("\"event\":", depth: depth, into: &text)
            if count > 1 { try self.transcodeMember(",\"data\":", depth: depth, into: &text) }
            if count > 2 { try self.transcodeCallID(depth: depth, into: &text) }
        } else if self.equals(key, "r") {
            try self.transcodeMember("\"rid\":", depth: depth, into: &text)
            if count > 1 { try self.transcodeMember(",\"error\":", depth: depth, into: &text) }
            if count > 2 { try self.transcodeMember(",\"data\":", depth: depth, into: &text) }
        } else {
            return false
        }
        // JavaScript looks at the first three elements and lets the others be.
        var ignored: [UInt8] = []
        for _ in 0..<max(0, count - 3) {
            ignored.removeAll(keepingCapacity: true)
            try self.transcode(depth: depth, into: &ignored)
        }
        return true
    }

    private mutating func transcodeMember(
        _ key: StaticString, depth: Int, into text: inout [UInt8]
    ) throws(MinBinError) {
        text.put(key)
        try self.transcode(depth: depth, into: &text)
    }

    private mutating func transcodeCallID(depth: Int, into text: inout [UInt8]) throws(MinBinError) {
        let item = try self.next()
        if case .null = item { return }
        text.put(",\"cid\":")
        try self.transcode(item, depth: depth, into: &text)
    }
}

extension MinBinCodec {
    /// Appends the message that `text` is in this format: a packet, an array of packets, or a ping or pong of v1.
    ///
    /// The empty ping of v2 is not for this codec; it stays an empty text frame.
    public func encode(_ text: RawSpan, into sink: inout some ByteSink) throws(MinBinError) {
        try text.withUnsafeBytes { bytes throws(MinBinError) in
            var reader = JSONReader(bytes, maximumDepth: self.maximumDepth)
            do throws(JSONError) {
                switch MessageText(&reader) {
                case .object:
                    try MinBinPacket(try reader.onlyPacket()).encode(base: reader.base, into: &sink)
                case .array:
                    var batch = try reader.wholeBatch()
                    reader.position = batch.position
                    sink.putMessagePackArray(batch.count)
                    while batch.count > 0 {
                        let fields = try batch.nextFields(&reader)
                        try MinBinPacket(fields ?? PacketFields()).encode(base: reader.base, into: &sink)
                    }
                case .numberedPing, .numberedPong:
                    sink.putMessagePackString(bytes)
                case .empty, .other:
                    throw JSONError(reason: .unexpectedEnd, offset: 0)
                }
            } catch {
                throw error.reason == .tooDeep ? .tooDeep : .notJSON
            }
        }
    }
}

/// A packet on its way into the shortened form.
private struct MinBinPacket {
    let fields: PacketFields

    init(_ fields: PacketFields) {
        self.fields = fields
    }

    func encode(base: UnsafePointer<UInt8>, into sink: inout some ByteSink) throws(JSONError) {
        var writer = MessagePackWriter()
        if let event = self.fields.event {
            let isPublish = event.string.flatMap { ReservedEvent($0, base: base) } == .publish
            let inner = isPublish && self.fields.data?.kind == .object ? self.fields.inner : nil
            let callID = self.fields.callID?.unlessNull
            sink.putMessagePackMap(1)
            sink.putShortKey(inner == nil ? "e" : "p")
            sink.putMessagePackArray(callID == nil ? 2 : 3)
            try writer.write(optional: inner == nil ? event : inner?.channel, base: base, into: &sink)
            try writer.write(optional: inner == nil ? self.fields.data : inner?.data, base: base, into: &sink)
            if let callID { try writer.write(callID, base: base, into: &sink) }
        } else if let responseID = self.fields.responseID {
            sink.putMessagePackMap(1)
            sink.putShortKey("r")
            sink.putMessagePackArray(3)
            try writer.write(responseID, base: base, into: &sink)
            try writer.write(optional: self.fields.error, base: base, into: &sink)
            try writer.write(optional: self.fields.data, base: base, into: &sink)
        } else {
            // An answer to a handshake without a call ID has neither; no client can tie it to anything.
            sink.putMessagePackMap(self.fields.data == nil ? 0 : 1)
            guard let data = self.fields.data else { return }
            sink.putShortKey("data")
            try writer.write(data, base: base, into: &sink)
        }
    }
}

extension MessagePackWriter {
    fileprivate mutating func write(
        optional value: JSONValue?, base: UnsafePointer<UInt8>, into sink: inout some ByteSink
    ) throws(JSONError) {
        guard let value else {
            sink.put(0xC0)
            return
        }
        try self.write(value, base: base, into: &sink)
    }
}

extension ByteSink {
    fileprivate mutating func putShortKey(_ key: StaticString) {
        self.putMessagePackString(UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
    }
}
