internal import LinkspanCore
internal import LinkspanWire

/// Writes messages in the forms that take more than copying; one for each owner and each shard.
struct FormWriter {
    private let minBin: MinBinCodec
    private let compressions: [CompressionSettings]
    /// Made when they are first needed.
    private var deflaters: [Deflater?]
    private let counters: LoopCounters
    private var text = FrameBlock(capacity: 512)
    private var coded = FrameBlock(capacity: 512)

    /// A block that one large message made large is not kept.
    private static let blockByteLimit = 256 << 10

    init(context: ServerContext, counters: LoopCounters) {
        self.minBin = context.minBin
        self.compressions = context.compressions
        self.deflaters = Array(repeating: nil, count: context.compressions.count)
        self.counters = counters
    }

    /// Appends one frame with the packet that `encode` writes as JSON, and returns where it lies; nil, with nothing appended, when it is
    /// no packet.
    mutating func put(
        _ form: FrameForm, into block: FrameBlock, _ encode: (inout FrameBlock) -> Void
    ) -> Range<Int>? {
        defer { self.clear() }
        encode(&self.text)
        var opcode = WebSocketOpcode.text
        var payload = UnsafeRawBufferPointer(start: self.text.base, count: self.text.count)
        if form.codec == .minBin {
            do throws(MinBinError) {
                try self.minBin.encode(payload.bytes, into: &self.coded)
            } catch {
                return nil
            }
            opcode = .binary
            payload = UnsafeRawBufferPointer(start: self.coded.base, count: self.coded.count)
        }
        if let range = self.putCompressed(payload, opcode, form, into: block) { return range }
        return block.putFrame(opcode) { $0.put(contentsOf: payload) }
    }

    /// Nil when it is not worth it.
    private mutating func putCompressed(
        _ payload: UnsafeRawBufferPointer, _ opcode: WebSocketOpcode, _ form: FrameForm, into block: FrameBlock
    ) -> Range<Int>? {
        guard form.compression > 0 else { return nil }
        let index = form.compression - 1
        guard payload.count >= self.compressions[index].minimumBytes else { return nil }
        if self.deflaters[index] == nil { self.deflaters[index] = Deflater(self.compressions[index]) }
        guard let deflater = self.deflaters[index] else { return nil }
        let start = block.count
        var isCompressed = false
        let range = block.putFrame(opcode, isCompressed: true) { block in
            isCompressed = deflater.deflate(payload, into: block)
        }
        guard isCompressed, range.count < payload.count else {
            block.truncate(to: start)
            return nil
        }
        self.counters.messagesCompressed.add(1)
        return range
    }

    private mutating func clear() {
        if self.text.capacity > Self.blockByteLimit { self.text = FrameBlock(capacity: 512) }
        if self.coded.capacity > Self.blockByteLimit { self.coded = FrameBlock(capacity: 512) }
        self.text.clear()
        self.coded.clear()
    }
}

@available(*, unavailable)
extension FormWriter: Sendable {}
