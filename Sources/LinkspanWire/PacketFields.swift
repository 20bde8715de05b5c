/// The keys of a packet that mean something, in either direction; of a repeated key the last counts, unknown ones are
/// passed over.
struct PacketFields {
    var event: JSONValue?
    var data: JSONValue?
    var callID: JSONValue?
    var responseID: JSONValue?
    var error: JSONValue?
    /// The keys of `data`, taken down in the same pass: `event` may come after it, so they are looked at for every
    /// event.
    var inner = DataFields()

    init() {}

    /// Reads the object that starts here, which lies inside `depth` others.
    init(_ reader: inout JSONReader, depth: Int) throws(JSONError) {
        reader.position &+= 1
        var isFirst = true
        while let key = try reader.nextKey(isFirst: isFirst) {
            isFirst = false
            switch PacketKey(key, base: reader.base) {
            case .event: self.event = try reader.scanValue(depth: depth &+ 1)
            case .cid: self.callID = try reader.scanValue(depth: depth &+ 1)
            case .rid: self.responseID = try reader.scanValue(depth: depth &+ 1)
            case .error: self.error = try reader.scanValue(depth: depth &+ 1)
            case .data: try self.readData(&reader, depth: depth &+ 1)
            case .channel, .waitForAuth, .batch, .authToken, .code, .message, .token, nil:
                _ = try reader.scanValue(depth: depth &+ 1)
            }
        }
    }

    private mutating func readData(_ reader: inout JSONReader, depth: Int) throws(JSONError) {
        self.inner = DataFields()
        reader.skipWhitespace()
        guard reader.current == UInt8(ascii: "{") else {
            self.data = try reader.scanValue(depth: depth)
            return
        }
        guard depth < reader.maximumDepth else { throw JSONError(reason: .tooDeep, offset: reader.position) }
        let start = reader.position
        try self.inner.read(&reader, depth: depth)
        self.data = JSONValue(kind: .object, range: start..<reader.position)
    }
}

/// The keys of `data` that some reserved event gives a meaning.
struct DataFields {
    var channel: JSONValue?
    var data: JSONValue?
    var waitForAuth = false
    var wantsBatch = false
    var authToken: JSONValue?
    var code: JSONValue?
    var message: JSONValue?
    var token: JSONValue?

    mutating func read(_ reader: inout JSONReader, depth: Int) throws(JSONError) {
        reader.position &+= 1
        var isFirst = true
        while let key = try reader.nextKey(isFirst: isFirst) {
            isFirst = false
            let meaning = PacketKey(key, base: reader.base)
            let value = try reader.scanValue(depth: depth &+ 1)
            switch meaning {
            case .channel: self.channel = value
            case .data: self.data = value
            case .waitForAuth: self.waitForAuth = reader.isTrue(value)
            case .batch: self.wantsBatch = reader.isTrue(value)
            case .authToken: self.authToken = value
            case .code: self.code = value
            case .message: self.message = value
            case .token: self.token = value
            case .event, .cid, .rid, .error, nil: break
            }
        }
    }

    /// The channel that `data` names as its member.
    func channelField(base: UnsafePointer<UInt8>) -> NameField {
        guard let channel = self.channel else { return .missing }
        return NameField(channel, base: base)
    }
}

extension NameField {
    init(_ value: JSONValue, base: UnsafePointer<UInt8>) {
        if let slice = value.string, slice.isRepresentable(base: base) {
            self = .name(slice)
        } else {
            self = .malformed(value)
        }
    }
}

extension JSONValue {
    /// Nil for `null`, which most fields take for absent.
    var unlessNull: JSONValue? {
        self.kind == .null ? nil : self
    }
}

extension JSONValue {
    /// Nil for what JavaScript takes for false: `data.authToken || null` (`serversocket.js`).
    func unlessFalsy(base: UnsafePointer<UInt8>) -> JSONValue? {
        switch self.kind {
        case .null: nil
        case .boolean: base[self.range.lowerBound] == UInt8(ascii: "t") ? self : nil
        case .string: self.string?.range.isEmpty == true ? nil : self
        case .number: self.integer(base: base) == 0 ? nil : self
        case .object, .array: self
        }
    }
}

extension JSONReader {
    func isTrue(_ value: JSONValue) -> Bool {
        value.kind == .boolean && self.base[value.range.lowerBound] == UInt8(ascii: "t")
    }
}

/// Keys told apart by their length first; the bytes are compared only where the length fits.
enum PacketKey {
    case event, data, cid, rid, error, channel, waitForAuth, batch, authToken, code, message, token

    @inline(__always)
    init?(_ key: StringSlice, base: UnsafePointer<UInt8>) {
        // An escaped key is legal and never seen; it pays for a string.
        guard !key.hasEscapes else {
            var name = key.string(base: base)
            let found = name.withUTF8 { Self.find($0.baseAddress ?? base, count: $0.count) }
            guard let found else { return nil }
            self = found
            return
        }
        guard let found = Self.find(base + key.range.lowerBound, count: key.range.count) else { return nil }
        self = found
    }

    @inline(__always)
    private static func find(_ bytes: UnsafePointer<UInt8>, count: Int) -> PacketKey? {
        switch count {
        case 3:
            if Self.matches(bytes, "cid") { return .cid }
            if Self.matches(bytes, "rid") { return .rid }
        case 4:
            if Self.matches(bytes, "data") { return .data }
            if Self.matches(bytes, "code") { return .code }
        case 5:
            if Self.matches(bytes, "event") { return .event }
            if Self.matches(bytes, "error") { return .error }
            if Self.matches(bytes, "batch") { return .batch }
            if Self.matches(bytes, "token") { return .token }
        case 7:
            if Self.matches(bytes, "channel") { return .channel }
            if Self.matches(bytes, "message") { return .message }
        case 9:
            if Self.matches(bytes, "authToken") { return .authToken }
        case 11:
            if Self.matches(bytes, "waitForAuth") { return .waitForAuth }
        default:
            break
        }
        return nil
    }

    @inline(__always)
    private static func matches(_ bytes: UnsafePointer<UInt8>, _ name: StaticString) -> Bool {
        for index in 0..<name.utf8CodeUnitCount where bytes[index] != name.utf8Start[index] { return false }
        return true
    }
}
