/// Builds the `#publish` frames of one channel: everything that depends on the channel's name alone is made once.
///
/// A server frame is not masked, so every subscriber gets the same bytes. For the hot path: nothing is allocated,
/// unless the sink grows.
public struct PublishEncoder: Hashable, Sendable {
    /// `{"event":"#publish","data":{"channel":"name"`
    private let head: [UInt8]
    private static let dataKey: StaticString = ",\"data\":"
    private static let tail: StaticString = "}}"

    public init(channel: String) {
        var head: [UInt8] = []
        head.put("{\"event\":\"#publish\",\"data\":{\"channel\":")
        head.putJSONString(channel)
        self.head = head
    }

    /// Bytes of the packet for a publish with `dataLength` bytes of data; 0 means that it has none.
    @inlinable
    public func packetLength(dataLength: Int) -> Int {
        self.headLength + (dataLength == 0 ? 2 : 10 + dataLength)
    }

    /// Bytes of the whole WebSocket frame.
    @inlinable
    public func frameLength(dataLength: Int) -> Int {
        let packetLength = self.packetLength(dataLength: dataLength)
        return WebSocketFrameHeader.length(payloadLength: packetLength, isMasked: false) + packetLength
    }

    /// Where the data lies in a packet of this encoder that has `packetLength` bytes; nil when it has none.
    public func dataRange(packetLength: Int) -> Range<Int>? {
        packetLength == self.headLength + 2 ? nil : self.headLength + 8..<packetLength - 2
    }

    /// Appends one unmasked text frame.
    /// - Parameter data: JSON text that has been validated; empty for a publish without data.
    public func encodeFrame(data: RawSpan, into sink: inout some ByteSink) {
        let length = self.packetLength(dataLength: data.byteCount)
        sink.reserve(length + 10)
        WebSocketFrameHeader(opcode: .text, payloadLength: length).encode(into: &sink)
        self.encodePacket(data: data, into: &sink)
    }

    /// Appends the packet alone.
    public func encodePacket(data: RawSpan, into sink: inout some ByteSink) {
        sink.put(self.head.span.bytes)
        if data.byteCount > 0 {
            sink.put(Self.dataKey)
            sink.put(data)
        }
        sink.put(Self.tail)
    }

    @usableFromInline
    var headLength: Int { self.head.count }
}
