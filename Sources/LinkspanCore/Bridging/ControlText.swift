internal import LinkspanBridgeKit
internal import LinkspanWire
internal import NIOCore

/// Reads the JSON by which instances talk to each other: members by name, elements in order, nothing believed that does not fit.
struct ControlText {
    let bytes: ByteBuffer
    private let scanner = JSONScanner(maximumDepth: 1024)

    /// Nil when `bytes` are not JSON.
    init?(_ bytes: ByteBuffer, root: (JSONValue) -> Void) {
        self.bytes = bytes
        guard let value = try? self.scanner.scan(bytes.readableBytesSpan) else { return nil }
        root(value)
    }

    func members(of value: JSONValue?) -> [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        guard let value, value.kind == .object else { return members }
        let text = self.bytes.readableBytesSpan
        try? self.scanner.forEachMember(of: value, in: text) { key, member in
            if key.range.count <= Self.keyLimit { members[key.string(in: text)] = member }
        }
        return members
    }

    /// Bytes of the longest key that means anything here.
    private static let keyLimit = 16

    /// Nil unless `value` is an array of at most `limit` elements.
    func elements(of value: JSONValue?, limit: Int) -> [JSONValue]? {
        guard let value, value.kind == .array else { return nil }
        var elements: [JSONValue] = []
        var count = 0
        try? self.scanner.forEachElement(of: value, in: self.bytes.readableBytesSpan) { element in
            count += 1
            if count <= limit { elements.append(element) }
        }
        return count <= limit ? elements : nil
    }

    func string(_ value: JSONValue?) -> String? {
        value?.string?.string(in: self.bytes.readableBytesSpan)
    }

    func instance(_ value: JSONValue?) -> InstanceID? {
        guard let value, value.range.count <= 6 * 64 + 2 else { return nil }
        return self.string(value).flatMap { InstanceID($0) }
    }

    func number(_ value: JSONValue?) -> UInt64? {
        value?.integer(in: self.bytes.readableBytesSpan).flatMap { UInt64(exactly: $0) }
    }

    func slice(_ value: JSONValue?) -> ByteBuffer? {
        value.flatMap { self.bytes.getSlice(at: self.bytes.readerIndex + $0.range.lowerBound, length: $0.range.count) }
    }
}

extension ByteBuffer {
    mutating func put(number: UInt64) {
        self.put(decimal: Int64(clamping: number))
    }

    /// What identifies a stream of messages: `"channel":..,"origin":..,"epoch":..`.
    mutating func putStream(_ channel: ChannelName, _ instance: InstanceID, _ epoch: UInt64) {
        self.put("\"channel\":")
        self.putJSONString(channel.string)
        self.put(",\"origin\":\"")
        self.put(verbatim: instance.string)
        self.put("\",\"epoch\":")
        self.put(number: epoch)
    }
}
