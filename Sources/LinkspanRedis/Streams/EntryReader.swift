internal import LinkspanBridgeKit
internal import NIOCore

/// One entry of a stream that is a message.
struct StreamEntry {
    var name: String
    /// Where the payload lies in the reader's bytes.
    var start: Int
    var length: Int
    var header: EnvelopeHeader?
}

/// Finds the messages in a reply to XREAD: streams, each with its key and entries, each with its id and fields.
struct EntryReader {
    /// What one reply held.
    struct Summary: Equatable {
        var entries: UInt64 = 0
        /// Entries that are no messages: without `channel` or without `data`.
        var strangers = 0
        var last: EntryID?
    }

    private var names = NameCache()
    private var headers = HeaderReader()

    /// Calls `body` for each message in order.
    ///
    /// - Throws: ``UpstreamError`` when the reply is not of that form.
    mutating func read(_ reader: ReplyReader, _ body: (StreamEntry) -> Void) throws(UpstreamError) -> Summary {
        var summary = Summary()
        let tokens = reader.tokens
        // *1, *2, key, *entries, and then *2, id, *fields for each.
        guard tokens.count >= 4, tokens[1].kind == .array, tokens[1].length == 2, tokens[3].kind == .array else {
            throw Self.violation
        }
        var index = 4
        var lastID: Int?
        for _ in 0..<tokens[3].length {
            guard index + 2 < tokens.count, tokens[index].kind == .array, tokens[index + 1].kind == .string else {
                throw Self.violation
            }
            summary.entries += 1
            lastID = index + 1
            let fields = tokens[index + 2]
            index += 3
            // A deleted entry may come without fields.
            guard fields.kind == .array else { continue }
            guard index + fields.length <= tokens.count, fields.length % 2 == 0 else { throw Self.violation }
            if let entry = self.entry(reader, index..<index + fields.length) {
                body(entry)
            } else {
                summary.strangers += 1
            }
            index += fields.length
        }
        if let lastID {
            guard let id = EntryID(reader.text(at: lastID)) else { throw Self.violation }
            summary.last = id
        }
        return summary
    }

    private static var violation: UpstreamError {
        UpstreamError(.protocolViolation, "Redis answered XREAD in a form of its own")
    }

    private mutating func entry(_ reader: ReplyReader, _ fields: Range<Int>) -> StreamEntry? {
        reader.withBytes { bytes in
            var (name, data): (ReplyToken?, ReplyToken?)
            var header = HeaderFields()
            for index in stride(from: fields.lowerBound, to: fields.upperBound, by: 2) {
                let (key, value) = (reader.token(at: index), reader.token(at: index + 1))
                guard key.kind == .string, value.kind == .string else { return nil }
                let text = UnsafeRawBufferPointer(rebasing: bytes[value.start..<value.start + value.length])
                switch key.length {
                case 7 where reader.isString(at: index, FieldName.channel): name = value
                case 7 where reader.isString(at: index, FieldName.hops): header.hops = text
                case 4 where reader.isString(at: index, FieldName.data): data = value
                case 5 where reader.isString(at: index, FieldName.acceptedAt):
                    header.acceptedAt = HeaderFields.number(text)
                case 6 where reader.isString(at: index, FieldName.sequence): header.sequence = HeaderFields.number(text)
                case 8 where reader.isString(at: index, FieldName.epoch): header.epoch = HeaderFields.number(text)
                case 9 where reader.isString(at: index, FieldName.origin): header.origin = text
                default: break
                }
            }
            guard let name, let data else { return nil }
            let text = UnsafeRawBufferPointer(rebasing: bytes[name.start..<name.start + name.length])
            return StreamEntry(
                name: self.names.name(text), start: data.start, length: data.length,
                header: self.headers.header(from: header))
        }
    }
}

/// The header fields of one entry as anyone may have written them, before they are believed.
struct HeaderFields {
    /// More hops than any configuration allows; a longer list is forged.
    static let hopLimit = 64

    var origin: UnsafeRawBufferPointer?
    var epoch: UInt64?
    var sequence: UInt64?
    var hops: UnsafeRawBufferPointer?
    var acceptedAt: UInt64?

    /// Unsigned decimal without sign or leading blank; nil for anything else, overflow included.
    static func number(_ text: UnsafeRawBufferPointer) -> UInt64? {
        guard !text.isEmpty, text.count <= 20 else { return nil }
        var value: UInt64 = 0
        for byte in text {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let (product, overflows) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowsToo) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !overflows, !overflowsToo else { return nil }
            value = sum
        }
        return value
    }
}

/// Turns ``HeaderFields`` into headers, and remembers the last origin and hops: messages come in runs of one origin.
struct HeaderReader {
    private var originBytes: [UInt8] = []
    private var origin: InstanceID?
    private var hopBytes: [UInt8] = []
    private var hops: [InstanceID]? = []

    /// Nil unless all five fields are there and well formed: a message with a damaged header is raw.
    mutating func header(from fields: HeaderFields) -> EnvelopeHeader? {
        guard let originBytes = fields.origin, let epoch = fields.epoch, let sequence = fields.sequence,
            let hopBytes = fields.hops, let acceptedAt = fields.acceptedAt,
            originBytes.count <= 64, hopBytes.count <= HeaderFields.hopLimit * 65
        else { return nil }
        if !self.originBytes.elementsEqual(originBytes) {
            self.originBytes = Array(originBytes)
            self.origin = InstanceID(String(decoding: originBytes, as: UTF8.self))
        }
        if !self.hopBytes.elementsEqual(hopBytes) {
            self.hopBytes = Array(hopBytes)
            self.hops = Self.hops(hopBytes)
        }
        guard let origin = self.origin, let hops = self.hops else { return nil }
        return EnvelopeHeader(
            origin: Origin(instance: origin, epoch: epoch, sequence: sequence), hops: hops, acceptedAt: acceptedAt)
    }

    /// Instances separated by commas, which no ``InstanceID`` contains; empty text is no hop.
    private static func hops(_ bytes: UnsafeRawBufferPointer) -> [InstanceID]? {
        guard !bytes.isEmpty else { return [] }
        var hops: [InstanceID] = []
        for part in bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard hops.count < HeaderFields.hopLimit, let hop = InstanceID(String(decoding: part, as: UTF8.self)) else {
                return nil
            }
            hops.append(hop)
        }
        return hops
    }
}
