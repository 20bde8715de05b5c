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
        /// Entries that a group had not acknowledged when Redis dropped them.
        var dropped: UInt64 = 0
        var last: EntryID?
    }

    private var names = NameCache()
    private var headers = HeaderReader()

    /// Calls `body` for each message in order.
    ///
    /// - Throws: ``UpstreamError`` when the reply is not of that form.
    mutating func read(_ reader: ReplyReader, _ body: (StreamEntry) -> Void) throws(UpstreamError) -> Summary {
        // *1, *2, key, *entries.
        guard reader.tokens.count >= 4, reader.tokens[1].kind == .array, reader.tokens[1].length == 2 else {
            throw Self.violation
        }
        return try self.read(reader, at: 3) { _, entry in
            if let entry { body(entry) }
        }.summary
    }

    /// Calls `body` for each entry of an array of them, with the index of its id, and with nil for what is no message.
    ///
    /// - Returns: the index behind the array as well.
    mutating func read(
        _ reader: ReplyReader, at array: Int, _ body: (_ id: Int, StreamEntry?) -> Void
    ) throws(UpstreamError) -> (summary: Summary, end: Int) {
        var summary = Summary()
        let tokens = reader.tokens
        guard array < tokens.count, tokens[array].kind == .array else { throw Self.violation }
        // *2, id, *fields for each.
        var index = array + 1
        var lastID: Int?
        for _ in 0..<tokens[array].length {
            // Redis 6.2 hands over in this form what was dropped meanwhile.
            if index < tokens.count, tokens[index].kind == .null {
                summary.dropped += 1
                index += 1
                continue
            }
            guard index + 2 < tokens.count, tokens[index].kind == .array, tokens[index + 1].kind == .string else {
                throw Self.violation
            }
            summary.entries += 1
            let id = index + 1
            lastID = id
            let fields = tokens[index + 2]
            index += 3
            // A deleted entry may come without fields.
            guard fields.kind == .array else {
                summary.dropped += 1
                body(id, nil)
                continue
            }
            guard index + fields.length <= tokens.count, fields.length % 2 == 0 else { throw Self.violation }
            let entry = self.entry(reader, index..<index + fields.length)
            if entry == nil { summary.strangers += 1 }
            body(id, entry)
            index += fields.length
        }
        if let lastID {
            guard let id = EntryID(reader.text(at: lastID)) else { throw Self.violation }
            summary.last = id
        }
        return (summary, index)
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
                case 7 where reader.isString(at: index, HeaderKey.hops): header.hops = text
                case 4 where reader.isString(at: index, FieldName.data): data = value
                case 5 where reader.isString(at: index, HeaderKey.acceptedAt):
                    header.acceptedAt = HeaderFields.number(text)
                case 6 where reader.isString(at: index, HeaderKey.sequence): header.sequence = HeaderFields.number(text)
                case 8 where reader.isString(at: index, HeaderKey.epoch): header.epoch = HeaderFields.number(text)
                case 9 where reader.isString(at: index, HeaderKey.header): header.text = text
                case 9 where reader.isString(at: index, HeaderKey.origin): header.origin = text
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
