/// What the text of one WebSocket message is, before anybody asks which side sent it (rule of sc-formatter).
enum MessageText {
    case empty
    /// `#1`, the ping of v1.
    case numberedPing
    /// `#2`, the pong of v1.
    case numberedPong
    case object
    case array
    case other

    init(_ reader: inout JSONReader) {
        switch (reader.count, reader.current) {
        case (0, _): self = .empty
        case (2, UInt8(ascii: "#")) where reader.base[1] == UInt8(ascii: "1"): self = .numberedPing
        case (2, UInt8(ascii: "#")) where reader.base[1] == UInt8(ascii: "2"): self = .numberedPong
        default:
            reader.skipWhitespace()
            switch reader.current {
            case UInt8(ascii: "{"): self = .object
            case UInt8(ascii: "["): self = .array
            default: self = .other
            }
        }
    }
}

extension JSONReader {
    /// Reads the one object that the text is.
    mutating func onlyPacket() throws(JSONError) -> PacketFields {
        let fields = try PacketFields(&self, depth: 0)
        try self.expectEnd()
        return fields
    }

    /// Checks the whole array, so that a fault in its last element spoils its first as well: the array is one JSON
    /// text.
    mutating func wholeBatch() throws(JSONError) -> PacketBatch {
        self.position &+= 1
        var batch = PacketBatch(count: 0, position: self.position)
        while try self.nextElement(isFirst: batch.count == 0) {
            _ = try self.scanValue(depth: 1)
            batch.count &+= 1
        }
        try self.expectEnd()
        return batch
    }
}

extension PacketBatch {
    /// Moves past the next element; its fields if it is an object, nil if it is anything else.
    mutating func nextFields(_ reader: inout JSONReader) throws(JSONError) -> PacketFields? {
        self.count &-= 1
        defer { self.position = reader.position }
        reader.skipWhitespace()
        if reader.current == UInt8(ascii: ",") { reader.position &+= 1 }
        reader.skipWhitespace()
        guard reader.current == UInt8(ascii: "{") else {
            _ = try reader.scanValue(depth: 1)
            return nil
        }
        return try PacketFields(&reader, depth: 1)
    }
}

extension RawReason {
    init(_ error: JSONError) {
        switch error.reason {
        case .unexpectedByte, .unexpectedEnd: self = .notJSON
        case .invalidUTF8: self = .notUTF8
        case .tooDeep: self = .tooDeep
        }
    }
}
