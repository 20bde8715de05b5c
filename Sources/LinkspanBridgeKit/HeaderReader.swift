/// The header fields of one message as anyone may have written them, before they are believed. Pure.
package struct HeaderFields {
    /// More hops than any configuration allows; a longer list is forged.
    package static let hopLimit = 64

    package var origin: UnsafeRawBufferPointer?
    package var epoch: UInt64?
    package var sequence: UInt64?
    package var hops: UnsafeRawBufferPointer?
    package var acceptedAt: UInt64?

    package init(
        origin: UnsafeRawBufferPointer? = nil, epoch: UInt64? = nil, sequence: UInt64? = nil,
        hops: UnsafeRawBufferPointer? = nil, acceptedAt: UInt64? = nil
    ) {
        self.origin = origin
        self.epoch = epoch
        self.sequence = sequence
        self.hops = hops
        self.acceptedAt = acceptedAt
    }

    /// Unsigned decimal without sign or leading blank; nil for anything else, overflow included.
    package static func number(_ text: UnsafeRawBufferPointer) -> UInt64? {
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

/// Turns ``HeaderFields`` into headers, remembering the last origin and hops: messages come in runs of one origin.
package struct HeaderReader {
    private var originBytes: [UInt8] = []
    private var origin: InstanceID?
    private var hopBytes: [UInt8] = []
    private var hops: [InstanceID]? = []

    package init() {}

    /// Nil unless all five fields are present and well formed: a message with a damaged header is raw.
    package mutating func header(from fields: HeaderFields) -> EnvelopeHeader? {
        guard let originBytes = fields.origin, let epoch = fields.epoch, let sequence = fields.sequence, sequence > 0,
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
