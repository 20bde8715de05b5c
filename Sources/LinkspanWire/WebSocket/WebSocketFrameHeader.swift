/// Opcodes of RFC 6455 5.2.
public enum WebSocketOpcode: UInt8, Hashable, Sendable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    @inlinable
    public var isControl: Bool { self.rawValue & 0x8 != 0 }
}

/// The bytes in front of a frame's payload (RFC 6455 5.2), for writing.
public struct WebSocketFrameHeader: Hashable, Sendable {
    public var opcode: WebSocketOpcode
    public var payloadLength: Int
    public var isFinal: Bool
    /// RSV1 of the first frame of a message: permessage-deflate (RFC 7692).
    public var isCompressed: Bool
    /// Clients mask, servers do not.
    public var mask: WebSocketMask?

    public init(
        opcode: WebSocketOpcode, payloadLength: Int, isFinal: Bool = true, isCompressed: Bool = false,
        mask: WebSocketMask? = nil
    ) {
        self.opcode = opcode
        self.payloadLength = payloadLength
        self.isFinal = isFinal
        self.isCompressed = isCompressed
        self.mask = mask
    }

    /// Bytes of the header: 2 to 14.
    @inlinable
    public static func length(payloadLength: Int, isMasked: Bool) -> Int {
        let extended = payloadLength < 126 ? 0 : payloadLength <= 0xFFFF ? 2 : 8
        return 2 + extended + (isMasked ? 4 : 0)
    }

    public func encode(into sink: inout some ByteSink) {
        sink.put((self.isFinal ? 0x80 : 0) | (self.isCompressed ? 0x40 : 0) | self.opcode.rawValue)
        let maskBit: UInt8 = self.mask == nil ? 0 : 0x80
        switch self.payloadLength {
        case ..<126:
            sink.put(maskBit | UInt8(truncatingIfNeeded: self.payloadLength))
        case ...0xFFFF:
            sink.put(maskBit | 126)
            sink.put(bigEndian: UInt64(self.payloadLength), byteCount: 2)
        default:
            sink.put(maskBit | 127)
            sink.put(bigEndian: UInt64(self.payloadLength), byteCount: 8)
        }
        if let mask = self.mask { sink.put(bigEndian: UInt64(mask.key), byteCount: 4) }
    }
}

extension ByteSink {
    /// The low `byteCount` bytes of `value`, the highest first.
    mutating func put(bigEndian value: UInt64, byteCount: Int) {
        for index in (0..<byteCount).reversed() {
            self.put(UInt8(truncatingIfNeeded: value >> UInt64(8 * index)))
        }
    }
}
