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
    /// - Parameter reader: remembers the last origin and hops, from one message to the next.
    mutating func add(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, _ reader: inout HeaderReader) {
        guard name.count > 3, name[0] == UInt8(ascii: "l"), name[1] == UInt8(ascii: "s"), name[2] == UInt8(ascii: "-")
        else {
            return
        }
        if Self.equal(name, HeaderKey.header) {
            Self.keep(reader.header(value), in: &self.whole, &self.isBroken)
        } else if Self.equal(name, HeaderKey.sequence) {
            Self.keep(HeaderFields.number(value), in: &self.sequence, &self.isBroken)
        } else if Self.equal(name, HeaderKey.epoch) {
            Self.keep(HeaderFields.number(value), in: &self.epoch, &self.isBroken)
        } else if Self.equal(name, HeaderKey.acceptedAt) {
            Self.keep(HeaderFields.number(value), in: &self.acceptedAt, &self.isBroken)
        } else if Self.equal(name, HeaderKey.origin) {
            Self.keep(reader.origin(value[...]), in: &self.origin, &self.isBroken)
        } else if Self.equal(name, HeaderKey.hops) {
            Self.keep(reader.hops(value[...]), in: &self.hops, &self.isBroken)
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
}
