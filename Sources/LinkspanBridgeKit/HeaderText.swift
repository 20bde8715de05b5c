/// Writes headers as one text, `origin/epoch/seq/at`, into memory of its own, so that a message allocates nothing.
///
/// Instances that a message passed beside its origin follow after a further `/`, all of its hops with commas between. So nobody on the way can
/// take the hops away and leave a header that is believed.
package struct HeaderText: ~Copyable {
    /// The longest text, without the byte zero behind it.
    package static let limit = 64 + 3 * (1 + 20) + HeaderFields.hopLimit * 65

    private let memory: UnsafeMutableRawBufferPointer
    /// Messages come in runs of one origin; its part of the text is written once per run.
    private var instance: InstanceID?
    private var epoch: UInt64 = 0
    private var originLength = 0

    package init() {
        self.memory = .allocate(byteCount: Self.limit + 1, alignment: 1)
    }

    deinit {
        self.memory.deallocate()
    }

    /// The text of `header` with a byte zero behind it, and how much of it is `origin/epoch/seq`; nil with more than ``HeaderFields/hopLimit`` hops.
    ///
    /// Valid until the next call.
    package mutating func write(_ header: EnvelopeHeader) -> (text: UnsafeRawBufferPointer, identityLength: Int)? {
        guard header.hops.count <= HeaderFields.hopLimit else { return nil }
        if header.origin.epoch != self.epoch || header.origin.instance != self.instance { self.begin(header.origin) }
        var end = self.put(header.origin.sequence, at: self.originLength)
        let identityLength = end
        end = self.put(header.acceptedAt, at: self.put(UInt8(ascii: "/"), at: end))
        if header.hops.count != 1 || header.hops[0] != header.origin.instance {
            end = self.put(UInt8(ascii: "/"), at: end)
            for index in header.hops.indices {
                if index > 0 { end = self.put(UInt8(ascii: ","), at: end) }
                end = self.put(header.hops[index].string, at: end)
            }
        }
        _ = self.put(UInt8(0), at: end)
        return (UnsafeRawBufferPointer(rebasing: self.memory[..<end]), identityLength)
    }

    private mutating func begin(_ origin: Origin) {
        var end = self.put(origin.instance.string, at: 0)
        end = self.put(origin.epoch, at: self.put(UInt8(ascii: "/"), at: end))
        self.originLength = self.put(UInt8(ascii: "/"), at: end)
        self.instance = origin.instance
        self.epoch = origin.epoch
    }

    /// - Returns: where the next byte belongs.
    private func put(_ byte: UInt8, at start: Int) -> Int {
        self.memory[start] = byte
        return start + 1
    }

    private func put(_ text: String, at start: Int) -> Int {
        var text = text
        return text.withUTF8 { utf8 in
            UnsafeMutableRawBufferPointer(rebasing: self.memory[start...]).copyMemory(
                from: UnsafeRawBufferPointer(utf8))
            return start + utf8.count
        }
    }

    private func put(_ number: UInt64, at start: Int) -> Int {
        UnsafeMutableRawBufferPointer(rebasing: self.memory[start...]).writeDecimal(number) + start
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Writes up to 20 digits at the beginning, and returns how many.
    package func writeDecimal(_ number: UInt64) -> Int {
        var digits = 1
        var rest = number / 10
        while rest > 0 {
            digits += 1
            rest /= 10
        }
        var value = number
        for position in stride(from: digits - 1, through: 0, by: -1) {
            self[position] = UInt8(ascii: "0") + UInt8(value % 10)
            value /= 10
        }
        return digits
    }
}
