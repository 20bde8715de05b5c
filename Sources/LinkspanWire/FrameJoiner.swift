/// Joins the packets that wait for one client into an array, which JavaScript clients take apart again.
///
/// Works on the server frames that were made for the client anyway, JSON or MessagePack, so nothing that makes them has to know of it. Pings
/// and pongs never wait; a close frame, or a compressed one, takes what waits along in front of it.
public struct FrameJoiner: Hashable, Sendable {
    /// Packets, with commas between them where they are JSON.
    private var packets: [UInt8] = []
    private var count = 0
    private var isBinary = false

    public init() {}

    /// Bytes that wait.
    public var byteCount: Int { self.packets.count }

    /// Takes whole server frames and hands on, by `send`, what does not wait.
    public mutating func join(_ frames: UnsafeRawBufferPointer, _ send: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        while start < frames.count {
            let rest = UnsafeRawBufferPointer(rebasing: frames[start...])
            let payload = Self.payload(ofFirstFrameIn: rest)
            self.joinFrame(UnsafeRawBufferPointer(rebasing: rest[..<payload.upperBound]), payload: payload, send)
            start += payload.upperBound
        }
    }

    /// The frame of the array of all that waits; nil when nothing does.
    public mutating func takeArray() -> [UInt8]? {
        guard self.count > 0 else { return nil }
        let head = self.arrayHead
        let length = head.count + self.packets.count + (self.isBinary ? 0 : 1)
        var frame: [UInt8] = []
        frame.reserveCapacity(length + 10)
        WebSocketFrameHeader(opcode: self.isBinary ? .binary : .text, payloadLength: length).encode(into: &frame)
        frame += head
        frame += self.packets
        if !self.isBinary { frame.put(UInt8(ascii: "]")) }
        self.packets.removeAll(keepingCapacity: true)
        self.count = 0
        return frame
    }

    private var arrayHead: [UInt8] {
        guard self.isBinary else { return [UInt8(ascii: "[")] }
        var head: [UInt8] = []
        head.putMessagePackArray(self.count)
        return head
    }

    private mutating func joinFrame(
        _ frame: UnsafeRawBufferPointer, payload: Range<Int>, _ send: (UnsafeRawBufferPointer) -> Void
    ) {
        // What is compressed cannot be joined, and comes after what waits.
        if frame[0] & 0x40 != 0 {
            self.sendArray(send)
            return send(frame)
        }
        let bytes = UnsafeRawBufferPointer(rebasing: frame[payload])
        // RSV1 (RFC 7692, section 6).
        let isCompressed = frame[0] & 0x40 != 0
        var packets: (bytes: UnsafeRawBufferPointer, count: Int)?
        switch WebSocketOpcode(rawValue: frame[0] & 0x0F) {
        case .close: self.sendArray(send)
        // What is compressed already cannot be joined; it keeps its place.
        case .text where isCompressed, .binary where isCompressed: self.sendArray(send)
        case .text: packets = Self.packets(ofText: bytes)
        case .binary: packets = Self.packets(ofBinary: bytes)
        case .continuation, .ping, .pong, nil: break
        }
        guard let packets else { return send(frame) }
        let isBinary = frame[0] & 0x0F == WebSocketOpcode.binary.rawValue
        if isBinary != self.isBinary { self.sendArray(send) }
        self.isBinary = isBinary
        guard packets.count > 0 else { return }
        if !isBinary, self.count > 0 { self.packets.put(UInt8(ascii: ",")) }
        self.packets.put(contentsOf: packets.bytes)
        self.count += packets.count
    }

    private mutating func sendArray(_ send: (UnsafeRawBufferPointer) -> Void) {
        self.takeArray()?.withUnsafeBytes(send)
    }

    /// What stands between the brackets where the text is an array already; nil for a ping.
    private static func packets(ofText text: UnsafeRawBufferPointer) -> (bytes: UnsafeRawBufferPointer, count: Int)? {
        switch text.first {
        case UInt8(ascii: "{"): return (text, 1)
        case UInt8(ascii: "["):
            let inside = UnsafeRawBufferPointer(rebasing: text.dropFirst().dropLast())
            return (inside, inside.isEmpty ? 0 : 1)
        default: return nil
        }
    }

    /// As ``packets(ofText:)``, in MessagePack: a packet is a map there, and a ping a string.
    private static func packets(ofBinary bytes: UnsafeRawBufferPointer) -> (bytes: UnsafeRawBufferPointer, count: Int)?
    {
        switch bytes.first {
        case .some(0x80...0x8F), 0xDE, 0xDF: (bytes, 1)
        case .some(let first) where 0x90...0x9F ~= first:
            (UnsafeRawBufferPointer(rebasing: bytes.dropFirst()), Int(first & 0x0F))
        case 0xDC: (UnsafeRawBufferPointer(rebasing: bytes.dropFirst(3)), Self.bigEndian(bytes[1..<3]))
        case 0xDD: (UnsafeRawBufferPointer(rebasing: bytes.dropFirst(5)), Self.bigEndian(bytes[1..<5]))
        default: nil
        }
    }

    private static func payload(ofFirstFrameIn bytes: UnsafeRawBufferPointer) -> Range<Int> {
        let (start, length) =
            switch bytes[1] {
            case 126: (4, Self.bigEndian(bytes[2..<4]))
            case 127: (10, Self.bigEndian(bytes[2..<10]))
            case let short: (2, Int(short))
            }
        return start..<start + length
    }

    private static func bigEndian(_ bytes: Slice<UnsafeRawBufferPointer>) -> Int {
        bytes.reduce(0) { $0 << 8 | Int($1) }
    }
}
