internal import LinkspanBridgeKit

/// Gathers the header of one incoming message from its user properties, which anybody may have written.
///
/// A header is believed only when it is whole and well-formed. Otherwise the message counts as raw: nothing is lost, and raw
/// messages are never carried onward, so a forged or mutilated header cannot make a loop.
struct HeaderProperties {
    /// Properties looked at per message; our own come first, and a hostile sender gets no more of our time than this.
    static let propertyLimit = 64

    /// From the property that has it all.
    private var whole: EnvelopeHeader?

    private var origin: InstanceID?
    private var epoch: UInt64?
    private var sequence: UInt64?
    private var hops: [InstanceID]?
    private var acceptedAt: UInt64?
    private var isBroken = false

    /// Takes in one property; names that are not ours are skipped.
    ///
    /// - Parameter reader: remembers the last origin, from one message to the next.
    mutating func add(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, _ reader: inout HeaderReader) {
        guard name.count > 3, name[0] == UInt8(ascii: "l"), name[1] == UInt8(ascii: "s"), name[2] == UInt8(ascii: "-")
        else {
            return
        }
        if Self.equal(name, HeaderKey.header) {
            Self.keep(reader.header(value), in: &self.whole, &self.isBroken)
        } else if Self.equal(name, HeaderKey.sequence) {
            Self.keep(Self.number(value), in: &self.sequence, &self.isBroken)
        } else if Self.equal(name, HeaderKey.epoch) {
            Self.keep(Self.number(value), in: &self.epoch, &self.isBroken)
        } else if Self.equal(name, HeaderKey.acceptedAt) {
            Self.keep(Self.number(value), in: &self.acceptedAt, &self.isBroken)
        } else if Self.equal(name, HeaderKey.origin) {
            Self.keep(Self.instance(value), in: &self.origin, &self.isBroken)
        } else if Self.equal(name, HeaderKey.hops) {
            Self.keep(Self.list(value), in: &self.hops, &self.isBroken)
        }
    }

    /// The header; nil when there is none that can be believed.
    func header() -> EnvelopeHeader? {
        if self.isBroken { return nil }
        if let whole { return self.hasFields ? nil : whole }
        guard let origin, let epoch, let sequence, let hops, let acceptedAt else { return nil }
        return EnvelopeHeader(
            origin: Origin(instance: origin, epoch: epoch, sequence: sequence), hops: hops, acceptedAt: acceptedAt)
    }

    private var hasFields: Bool {
        self.origin != nil || self.epoch != nil || self.sequence != nil || self.hops != nil || self.acceptedAt != nil
    }

    /// A field that is malformed or comes twice breaks the header.
    private static func keep<Value>(_ value: Value?, in field: inout Value?, _ isBroken: inout Bool) {
        if value == nil || field != nil { isBroken = true }
        field = value
    }

    private static func equal(_ bytes: UnsafeRawBufferPointer, _ key: StaticString) -> Bool {
        bytes.count == key.utf8CodeUnitCount
            && bytes.elementsEqual(UnsafeBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
    }

    /// A decimal number of up to 20 digits and nothing else.
    private static func number(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard (1...20).contains(bytes.count) else { return nil }
        var result: UInt64 = 0
        for byte in bytes {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let (product, overflows) = result.multipliedReportingOverflow(by: 10)
            let (sum, carries) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            if overflows || carries { return nil }
            result = sum
        }
        return result
    }

    private static func instance(_ bytes: UnsafeRawBufferPointer) -> InstanceID? {
        guard bytes.count <= 64 else { return nil }
        return InstanceID(String(decoding: bytes, as: UTF8.self))
    }

    /// Identifiers separated by commas, at most ``HeaderFields/hopLimit``; none when the text is empty.
    private static func list(_ bytes: UnsafeRawBufferPointer) -> [InstanceID]? {
        if bytes.isEmpty { return [] }
        guard bytes.count <= HeaderFields.hopLimit * 65 else { return nil }
        var result: [InstanceID] = []
        var start = 0
        for end in 0...bytes.count where end == bytes.count || bytes[end] == UInt8(ascii: ",") {
            guard result.count < HeaderFields.hopLimit,
                let hop = Self.instance(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            else { return nil }
            result.append(hop)
            start = end + 1
        }
        return result
    }
}
