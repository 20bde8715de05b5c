public import LinkspanBridgeKit
internal import LinkspanWire
public import NIOCore

/// One run of one instance. The nonce tells two runs apart that began in the same millisecond under one id.
public struct InstanceLife: Sendable, Hashable {
    public var instance: InstanceID
    /// Start of that run, milliseconds since 1970.
    public var epoch: UInt64
    public var nonce: UInt64

    public init(instance: InstanceID, epoch: UInt64, nonce: UInt64) {
        self.instance = instance
        self.epoch = epoch
        self.nonce = nonce
    }
}

/// A bridge of an instance: who sends probes.
public struct ProbeSender: Sendable, Hashable {
    public var instance: InstanceID
    public var bridge: String

    public init(instance: InstanceID, bridge: String) {
        self.instance = instance
        self.bridge = bridge
    }
}

/// What one sender has heard of another.
public struct ProbeSighting: Sendable, Hashable {
    public var sender: ProbeSender
    public var epoch: UInt64
    /// The newest probe heard.
    public var number: UInt64
    /// How long ago it came.
    public var age: Duration

    public init(sender: ProbeSender, epoch: UInt64, number: UInt64, age: Duration) {
        self.sender = sender
        self.epoch = epoch
        self.number = number
        self.age = age
    }
}

/// A sign of life that one bridge sends through its upstream, for itself and for the other instances. Its format is in docs/envelope.md.
public struct Probe: Sendable, Hashable {
    public var life: InstanceLife
    public var bridge: String
    /// Counts the probes of this bridge and life, from 1.
    public var number: UInt64
    public var every: Duration
    public var deadline: Duration
    /// Whether the sender withdraws subscriptions of instances that are gone: ``OccupancyTable``.
    public var keepsOccupancy: Bool
    /// Whom the sender heard of late, the latest first; at most ``sightingLimit``.
    public var seen: [ProbeSighting]

    public init(
        life: InstanceLife, bridge: String, number: UInt64, every: Duration, deadline: Duration,
        keepsOccupancy: Bool = false, seen: [ProbeSighting]
    ) {
        self.life = life
        self.bridge = bridge
        self.number = number
        self.every = every
        self.deadline = deadline
        self.keepsOccupancy = keepsOccupancy
        self.seen = seen
    }

    public var sender: ProbeSender { ProbeSender(instance: self.life.instance, bridge: self.bridge) }

    public static let sightingLimit = 64

    /// Larger ones are not read.
    static let byteLimit = 64 << 10
    private static let bridgeNameLimit = 256
    private static let longest = Duration.seconds(86_400)
}

extension Probe {
    /// - Parameter milliseconds: now, since 1970.
    public func header(at milliseconds: UInt64) -> EnvelopeHeader {
        EnvelopeHeader(
            origin: Origin(instance: self.life.instance, epoch: self.life.epoch, sequence: self.number),
            hops: [self.life.instance], acceptedAt: milliseconds)
    }

    /// The data of the message; identity and number are in the header.
    public var json: ByteBuffer {
        var json = ByteBuffer()
        json.put("{\"bridge\":")
        json.putJSONString(self.bridge)
        json.put(",\"nonce\":\"")
        json.put(verbatim: String(self.life.nonce, radix: 16))
        json.put("\",\"every\":")
        json.put(decimal: self.every.milliseconds)
        json.put(",\"deadline\":")
        json.put(decimal: self.deadline.milliseconds)
        if self.keepsOccupancy { json.put(",\"occupancy\":true") }
        json.put(",\"seen\":[")
        for (index, sighting) in self.seen.prefix(Self.sightingLimit).enumerated() {
            if index > 0 { json.put(",") }
            sighting.put(into: &json)
        }
        json.put("]}")
        return json
    }

    /// Nil when `data` is not a probe's, or says what no probe of ours could.
    public init?(header: EnvelopeHeader, data: ByteBuffer) {
        guard data.readableBytes <= Self.byteLimit else { return nil }
        var fields = ProbeFields()
        do throws(JSONError) {
            try fields.read(data)
        } catch {
            return nil
        }
        guard let bridge = fields.bridge, bridge.utf8.count <= Self.bridgeNameLimit, let nonce = fields.nonce,
            let every = fields.every, let deadline = fields.deadline
        else { return nil }
        self.init(
            life: InstanceLife(instance: header.origin.instance, epoch: header.origin.epoch, nonce: nonce),
            bridge: bridge, number: header.origin.sequence,
            every: min(max(every, .milliseconds(1)), Self.longest),
            deadline: min(max(deadline, .milliseconds(1)), Self.longest), keepsOccupancy: fields.keepsOccupancy,
            seen: fields.seen)
    }
}

extension ProbeSighting {
    fileprivate func put(into json: inout ByteBuffer) {
        json.put("{\"instance\":\"")
        json.put(verbatim: self.sender.instance.string)
        json.put("\",\"bridge\":")
        json.putJSONString(self.sender.bridge)
        json.put(",\"epoch\":")
        json.put(decimal: Int64(clamping: self.epoch))
        json.put(",\"seq\":")
        json.put(decimal: Int64(clamping: self.number))
        json.put(",\"age\":")
        json.put(decimal: self.age.milliseconds)
        json.put("}")
    }
}

/// The members of a probe while it is read; of duplicate keys the last one counts.
private struct ProbeFields {
    var bridge: String?
    var nonce: UInt64?
    var every: Duration?
    var deadline: Duration?
    var keepsOccupancy = false
    var seen: [ProbeSighting] = []

    private static let scanner = JSONScanner(maximumDepth: 8)

    mutating func read(_ data: ByteBuffer) throws(JSONError) {
        let text = data.readableBytesSpan
        let object = try Self.scanner.scan(text)
        guard object.kind == .object else { return }
        var list: JSONValue?
        var fields = ProbeFields()
        try Self.scanner.forEachMember(of: object, in: text) { key, value in
            let text = data.readableBytesSpan
            if key.equals("bridge", in: text) {
                fields.bridge = value.string?.string(in: text)
            } else if key.equals("nonce", in: text) {
                fields.nonce = value.string.flatMap { UInt64($0.string(in: text), radix: 16) }
            } else if key.equals("every", in: text) {
                fields.every = value.milliseconds(in: text)
            } else if key.equals("deadline", in: text) {
                fields.deadline = value.milliseconds(in: text)
            } else if key.equals("occupancy", in: text) {
                fields.keepsOccupancy = value.boolean(in: text) ?? false
            } else if key.equals("seen", in: text), value.kind == .array {
                list = value
            }
        }
        self = fields
        if let list { try self.readSightings(list, in: data) }
    }

    private mutating func readSightings(_ list: JSONValue, in data: ByteBuffer) throws(JSONError) {
        var elements: [JSONValue] = []
        try Self.scanner.forEachElement(of: list, in: data.readableBytesSpan) { element in
            if element.kind == .object, elements.count < Probe.sightingLimit { elements.append(element) }
        }
        for element in elements {
            if let sighting = try Self.sighting(element, in: data) { self.seen.append(sighting) }
        }
    }

    private static func sighting(_ value: JSONValue, in data: ByteBuffer) throws(JSONError) -> ProbeSighting? {
        var instance: InstanceID?
        var bridge: String?
        var epoch: UInt64?
        var number: UInt64?
        var age: Duration?
        try Self.scanner.forEachMember(of: value, in: data.readableBytesSpan) { key, member in
            let text = data.readableBytesSpan
            if key.equals("instance", in: text) {
                instance = member.string.flatMap { InstanceID($0.string(in: text)) }
            } else if key.equals("bridge", in: text) {
                bridge = member.string?.string(in: text)
            } else if key.equals("epoch", in: text) {
                epoch = member.integer(in: text).flatMap { UInt64(exactly: $0) }
            } else if key.equals("seq", in: text) {
                number = member.integer(in: text).flatMap { UInt64(exactly: $0) }
            } else if key.equals("age", in: text) {
                age = member.milliseconds(in: text)
            }
        }
        guard let instance, let bridge, let epoch, let number, let age else { return nil }
        return ProbeSighting(
            sender: ProbeSender(instance: instance, bridge: bridge), epoch: epoch, number: number, age: age)
    }
}

extension JSONValue {
    fileprivate func milliseconds(in text: RawSpan) -> Duration? {
        guard let count = self.integer(in: text), (0...Int64(1 << 40)).contains(count) else { return nil }
        return .milliseconds(count)
    }
}
