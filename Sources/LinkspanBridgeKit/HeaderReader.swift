/// The header fields of one message as anyone may have written them, before they are believed. Pure.
package struct HeaderFields {
    /// More hops than any configuration allows; a longer list is forged.
    package static let hopLimit = 64

    /// The whole header in one text, as ``HeaderText`` writes it.
    package var text: UnsafeRawBufferPointer?

    package var origin: UnsafeRawBufferPointer?
    package var epoch: UInt64?
    package var sequence: UInt64?
    package var hops: UnsafeRawBufferPointer?
    package var acceptedAt: UInt64?

    package init(
        text: UnsafeRawBufferPointer? = nil, origin: UnsafeRawBufferPointer? = nil, epoch: UInt64? = nil,
        sequence: UInt64? = nil, hops: UnsafeRawBufferPointer? = nil, acceptedAt: UInt64? = nil
    ) {
        self.text = text
        self.origin = origin
        self.epoch = epoch
        self.sequence = sequence
        self.hops = hops
        self.acceptedAt = acceptedAt
    }

    /// Whether any of the five fields is there.
    package var hasFields: Bool {
        self.origin != nil || self.epoch != nil || self.sequence != nil || self.hops != nil || self.acceptedAt != nil
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
    /// The hops of a message that passed nobody but its origin.
    private var originAlone: [InstanceID] = []
    private var hopBytes: [UInt8] = []
    private var hops: [InstanceID]? = []

    package init() {}

    /// Nil unless the text, or else all five fields, are there and well formed: a message with a damaged header is raw, and so is one with both.
    package mutating func header(from fields: HeaderFields) -> EnvelopeHeader? {
        if let text = fields.text { return fields.hasFields ? nil : self.header(text) }
        guard let originBytes = fields.origin, let epoch = fields.epoch, let sequence = fields.sequence, sequence > 0,
            let hopBytes = fields.hops, let acceptedAt = fields.acceptedAt,
            let origin = self.origin(originBytes[...]), let hops = self.hops(hopBytes[...])
        else { return nil }
        return EnvelopeHeader(
            origin: Origin(instance: origin, epoch: epoch, sequence: sequence), hops: hops, acceptedAt: acceptedAt)
    }

    /// `origin/epoch/seq/at`, and `/` with the hops where they are others than the origin alone.
    package mutating func header(_ text: UnsafeRawBufferPointer) -> EnvelopeHeader? {
        guard text.count <= HeaderText.limit else { return nil }
        var rest = text[...]
        guard let originBytes = Self.part(of: &rest), let epoch = Self.part(of: &rest).flatMap(Self.number),
            let sequence = Self.part(of: &rest).flatMap(Self.number), sequence > 0
        else { return nil }
        // What follows the fourth part are hops, even when nothing follows but its separator: a message that passed nobody.
        let direct = rest
        let acceptedAt = Self.part(of: &rest) ?? direct
        guard let acceptedAt = Self.number(acceptedAt), let origin = self.origin(originBytes) else { return nil }
        let isDirect = rest.startIndex == direct.startIndex
        guard let hops = isDirect ? self.originAlone : self.hops(rest) else { return nil }
        return EnvelopeHeader(
            origin: Origin(instance: origin, epoch: epoch, sequence: sequence), hops: hops, acceptedAt: acceptedAt)
    }

    /// What stands before the next `/`, which no ``InstanceID`` contains, and moves behind that; nil when there is none.
    private static func part(of rest: inout UnsafeRawBufferPointer.SubSequence) -> UnsafeRawBufferPointer.SubSequence? {
        guard let separator = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        defer { rest = rest[(separator + 1)...] }
        return rest[..<separator]
    }

    private static func number(_ part: UnsafeRawBufferPointer.SubSequence) -> UInt64? {
        HeaderFields.number(UnsafeRawBufferPointer(rebasing: part))
    }

    /// Nil unless it is the name of an instance.
    package mutating func origin(_ bytes: UnsafeRawBufferPointer.SubSequence) -> InstanceID? {
        guard bytes.count <= 64 else { return nil }
        if !self.originBytes.elementsEqual(bytes) {
            self.originBytes = Array(bytes)
            self.origin = InstanceID(String(decoding: bytes, as: UTF8.self))
            self.originAlone = self.origin.map { [$0] } ?? []
        }
        return self.origin
    }

    /// Instances separated by commas, which no ``InstanceID`` contains; empty text is no hop.
    package mutating func hops(_ bytes: UnsafeRawBufferPointer.SubSequence) -> [InstanceID]? {
        guard bytes.count <= HeaderFields.hopLimit * 65 else { return nil }
        if !self.hopBytes.elementsEqual(bytes) {
            self.hopBytes = Array(bytes)
            self.hops = Self.instances(bytes)
        }
        return self.hops
    }

    private static func instances(_ bytes: UnsafeRawBufferPointer.SubSequence) -> [InstanceID]? {
        guard !bytes.isEmpty else { return [] }
        var instances: [InstanceID] = []
        for part in bytes.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            guard instances.count < HeaderFields.hopLimit,
                let instance = InstanceID(String(decoding: part, as: UTF8.self))
            else { return nil }
            instances.append(instance)
        }
        return instances
    }
}
