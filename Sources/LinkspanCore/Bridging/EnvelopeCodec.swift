public import LinkspanBridgeKit
internal import LinkspanWire
public import NIOCore

/// The JSON envelope of upstreams that carry nothing beside a payload, and the rules for messages that came without one.
///
/// `{"linkspan":1,"origin":"a","epoch":1,"seq":1,"hops":["a"],"at":1,"data":{}}`: recognised by its first key; `data` is passed on byte for byte and is
/// absent when the publish had none.
public struct EnvelopeCodec: Sendable, Hashable {
    /// Most bytes of `data` that the server takes in.
    public let dataLimit: Int

    /// Most instances that a header may name; more is not believed.
    public static let hopLimit = HeaderFields.hopLimit

    private let scanner: JSONScanner
    private let envelopeScanner: JSONScanner

    /// - Parameter jsonDepth: nesting that `data` may have.
    public init(dataLimit: Int, jsonDepth: Int) {
        self.dataLimit = dataLimit
        self.scanner = JSONScanner(maximumDepth: jsonDepth)
        self.envelopeScanner = JSONScanner(maximumDepth: jsonDepth + 1)
    }

    // MARK: Encoding

    /// Appends the envelope of one publish.
    ///
    /// - Parameter data: valid JSON, or empty for a publish without data.
    public static func encode(_ header: EnvelopeHeader, data: ByteBuffer, into buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.encodedBound(header, data: data)) { bytes in
            var sink = PointerSink(bytes)
            Self.encode(header, data: data, into: &sink)
            return sink.count
        }
    }

    private static func encode(_ header: EnvelopeHeader, data: ByteBuffer, into sink: inout PointerSink) {
        sink.put("{\"linkspan\":1,\"origin\":\"")
        sink.put(verbatim: header.origin.instance.string)
        sink.put("\",\"epoch\":")
        sink.put(decimal: Int64(clamping: header.origin.epoch))
        sink.put(",\"seq\":")
        sink.put(decimal: Int64(clamping: header.origin.sequence))
        sink.put(",\"hops\":[")
        for index in header.hops.indices {
            sink.put(index == 0 ? "\"" : ",\"")
            sink.put(verbatim: header.hops[index].string)
            sink.put(UInt8(ascii: "\""))
        }
        sink.put("],\"at\":")
        sink.put(decimal: Int64(clamping: header.acceptedAt))
        if data.readableBytes > 0 {
            sink.put(",\"data\":")
            data.withUnsafeReadableBytes { sink.put(contentsOf: $0) }
        }
        sink.put(UInt8(ascii: "}"))
    }

    /// A bound on the bytes that ``encode(_:data:into:)`` writes, so that a batch can be given its room at once.
    public static func encodedBound(_ header: EnvelopeHeader, data: ByteBuffer) -> Int {
        256 + header.hops.count * 67 + data.readableBytes
    }

    // MARK: Decoding

    /// Finds out what one message from an upstream says.
    public func decode(_ payload: ByteBuffer, header: EnvelopeHeader?) -> IngressContent {
        guard payload.readableBytes <= self.dataLimit + Self.envelopeAllowance else { return .refused(.tooLarge) }
        if let header, Self.isCredible(header) {
            return payload.readableBytes == 0 ? .envelope(header, payload) : self.json(of: payload, header: header)
        }
        if payload.readableBytes == 0 { return .refused(.empty) }
        if Self.looksLikeEnvelope(payload), let content = self.decodeEnvelope(payload) { return content }
        return self.json(of: payload, header: nil)
    }

    /// Room that the envelope around the largest data may take: 64 hops of 64 bytes and the rest.
    private static let envelopeAllowance = 8192

    /// Sequence numbers count from 1. A header that cannot be ours counts as none, as docs/envelope.md says.
    private static func isCredible(_ header: EnvelopeHeader) -> Bool {
        header.origin.sequence > 0 && header.hops.count <= Self.hopLimit
    }

    private static func looksLikeEnvelope(_ payload: ByteBuffer) -> Bool {
        payload.withUnsafeReadableBytes { bytes in
            var rest = bytes[...].drop(while: \.isJSONWhitespace)
            guard rest.popFirst() == UInt8(ascii: "{") else { return false }
            return rest.drop(while: \.isJSONWhitespace).starts(with: Self.firstKey.utf8)
        }
    }

    private static let firstKey = "\"linkspan\""

    /// Nil when the payload is not a valid envelope after all; it is then raw JSON of somebody else.
    private func decodeEnvelope(_ payload: ByteBuffer) -> IngressContent? {
        var fields = EnvelopeFields()
        do throws(JSONError) {
            let text = payload.readableBytesSpan
            let object = try self.envelopeScanner.scan(text)
            guard object.kind == .object else { return nil }
            try self.envelopeScanner.forEachMember(of: object, in: text) { key, member in
                fields.read(key, member, in: payload)
            }
            try self.readHops(of: &fields, in: payload)
        } catch {
            return error.reason == .tooDeep ? .refused(.invalid) : nil
        }
        guard let header = fields.header else { return nil }
        let data = fields.data.flatMap { payload.slice($0) } ?? ByteBuffer()
        return data.readableBytes <= self.dataLimit ? .envelope(header, data) : .refused(.tooLarge)
    }

    private func readHops(of fields: inout EnvelopeFields, in payload: ByteBuffer) throws(JSONError) {
        guard let array = fields.hopsValue else { return }
        guard array.kind == .array else { return fields.isValid = false }
        var hops: [InstanceID] = []
        var isValid = true
        try self.envelopeScanner.forEachElement(of: array, in: payload.readableBytesSpan) { element in
            guard isValid, hops.count < Self.hopLimit, let hop = payload.instance(element) else {
                return isValid = false
            }
            hops.append(hop)
        }
        fields.hops = hops
        fields.isValid = fields.isValid && isValid
    }

    // MARK: Raw payloads

    /// Valid JSON as it is; other UTF-8 as a JSON string; other bytes as `{"base64":true,"data":".."}`, SocketCluster's form of binary.
    private func json(of payload: ByteBuffer, header: EnvelopeHeader?) -> IngressContent {
        let data: ByteBuffer
        do throws(JSONError) {
            _ = try self.scanner.scan(payload.readableBytesSpan)
            data = payload
        } catch {
            if error.reason == .tooDeep { return .refused(.invalid) }
            data = Self.wrapped(payload)
        }
        guard data.readableBytes <= self.dataLimit else { return .refused(.tooLarge) }
        return header.map { .envelope($0, data) } ?? .raw(data)
    }

    private static func wrapped(_ payload: ByteBuffer) -> ByteBuffer {
        var wrapped = ByteBuffer()
        payload.withUnsafeReadableBytes { bytes in
            if let text = String(validating: bytes, as: UTF8.self) {
                wrapped.reserve(bytes.count + 2)
                wrapped.putJSONString(text)
            } else {
                wrapped.put("{\"base64\":true,\"data\":\"")
                Base64.standard.encode(bytes, into: &wrapped)
                wrapped.put("\"}")
            }
        }
        return wrapped
    }
}

/// What a message from an upstream turned out to be. Data is valid JSON, or empty for a publish without data.
public enum IngressContent: Sendable, Hashable {
    case envelope(EnvelopeHeader, ByteBuffer)
    /// From a program that knows nothing of Linkspan.
    case raw(ByteBuffer)
    case refused(IngressRefusal)
}

/// The members of an envelope while it is read; of duplicate keys the last one counts.
private struct EnvelopeFields {
    var version: Int64?
    var instance: InstanceID?
    var epoch: UInt64?
    var sequence: UInt64?
    var acceptedAt: UInt64? = 0
    var hopsValue: JSONValue?
    var hops: [InstanceID] = []
    var data: Range<Int>?
    var isValid = true

    mutating func read(_ key: StringSlice, _ member: JSONValue, in payload: ByteBuffer) {
        let text = payload.readableBytesSpan
        if key.equals("data", in: text) {
            self.data = member.range
        } else if key.equals("linkspan", in: text) {
            self.version = member.integer(in: text)
        } else if key.equals("origin", in: text) {
            self.instance = payload.instance(member)
        } else if key.equals("epoch", in: text) {
            self.epoch = member.integer(in: text).flatMap { UInt64(exactly: $0) }
        } else if key.equals("seq", in: text) {
            self.sequence = member.integer(in: text).flatMap { UInt64(exactly: $0) }
        } else if key.equals("at", in: text) {
            self.acceptedAt = member.integer(in: text).flatMap { UInt64(exactly: $0) }
        } else if key.equals("hops", in: text) {
            self.hopsValue = member
        }
    }

    var header: EnvelopeHeader? {
        guard self.isValid, self.version == 1, let instance, let epoch, let sequence, sequence > 0, let acceptedAt
        else { return nil }
        return EnvelopeHeader(
            origin: Origin(instance: instance, epoch: epoch, sequence: sequence), hops: self.hops,
            acceptedAt: acceptedAt)
    }
}

/// Writes into room that was made before: an envelope is a dozen small writes, and growing is asked about once.
private struct PointerSink: ByteSink {
    private let bytes: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ bytes: UnsafeMutableRawBufferPointer) {
        self.bytes = bytes
    }

    mutating func put(_ byte: UInt8) {
        self.bytes[self.count] = byte
        self.count += 1
    }

    mutating func put(contentsOf bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: self.bytes[self.count...]).copyMemory(from: bytes)
        self.count += bytes.count
    }

    func reserve(_ count: Int) {
        precondition(self.bytes.count - self.count >= count, "an envelope is longer than its bound")
    }
}

extension ByteBuffer {
    /// The readable bytes at these offsets, sharing storage.
    fileprivate func slice(_ range: Range<Int>) -> ByteBuffer? {
        self.getSlice(at: self.readerIndex + range.lowerBound, length: range.count)
    }

    fileprivate func instance(_ value: JSONValue) -> InstanceID? {
        // Longer than any escaped spelling of an instance's name: not worth reading.
        guard let string = value.string, string.range.count <= 6 * 64 else { return nil }
        return InstanceID(string.string(in: self.readableBytesSpan))
    }
}

extension UInt8 {
    fileprivate var isJSONWhitespace: Bool {
        self == UInt8(ascii: " ") || self == UInt8(ascii: "\n") || self == UInt8(ascii: "\r")
            || self == UInt8(ascii: "\t")
    }
}
