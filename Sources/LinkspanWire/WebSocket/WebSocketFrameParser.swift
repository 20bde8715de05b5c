/// What one side of a WebSocket connection has to be told about the bytes that came in.
public enum WebSocketEvent: Hashable, Sendable {
    /// A message that came in one frame; `payload` lies in the bytes that were parsed and is unmasked there.
    case message(WebSocketMessageKind, payload: Range<Int>, isCompressed: Bool)
    /// A message that came in fragments, joined.
    case assembled(WebSocketMessageKind, payload: [UInt8], isCompressed: Bool)
    /// To be answered with a pong of the same payload.
    case ping(payload: Range<Int>)
    case pong(payload: Range<Int>)
    /// To be answered with a close of the same code; nothing may follow. `code` is nil when the frame had none.
    case close(CloseCode?, reason: Range<Int>)
}

public enum WebSocketMessageKind: Hashable, Sendable {
    case text, binary
}

/// Why a connection must be failed (RFC 6455 7.1.7), and with which code.
public enum WebSocketError: Error, Hashable, Sendable, CaseIterable {
    case reservedBits, unknownOpcode, notMasked, masked, lengthNotMinimal, lengthTooLarge
    case fragmentedControlFrame, oversizedControlFrame
    case unexpectedContinuation, unfinishedMessage
    case malformedCloseFrame, forbiddenCloseCode, frameAfterClose
    case invalidUTF8
    case messageTooBig

    public var closeCode: CloseCode {
        switch self {
        case .invalidUTF8: .invalidPayload
        case .messageTooBig, .lengthTooLarge: .messageTooBig
        case .reservedBits, .unknownOpcode, .notMasked, .masked, .lengthNotMinimal, .fragmentedControlFrame,
            .oversizedControlFrame, .unexpectedContinuation, .unfinishedMessage, .malformedCloseFrame,
            .forbiddenCloseCode, .frameAfterClose:
            .protocolError
        }
    }
}

/// Reads the frames of one side of a connection (RFC 6455 5 and 7): a value without socket or clock.
///
/// The caller gathers bytes and hands in all that it has; the parser takes whole frames off the front. It refuses a
/// frame that is too big as soon as its header is there, so the caller never has to hold more than
/// ``Limits/messageBytes`` and 14 bytes. After an error or a close it accepts nothing more.
public struct WebSocketFrameParser: Sendable {
    public struct Limits: Hashable, Sendable {
        /// Bytes of one message, its fragments joined.
        public var messageBytes = 1 << 20
        /// Frames of one message: many empty ones cost work and no bytes.
        public var fragments = 100_000

        public init(messageBytes: Int = 1 << 20, fragments: Int = 100_000) {
            self.messageBytes = messageBytes
            self.fragments = fragments
        }
    }

    /// Which side sends the frames that are parsed.
    public enum Sender: Hashable, Sendable {
        /// Its frames must be masked.
        case client
        /// Its frames must not be masked.
        case server
    }

    public enum Step: Hashable, Sendable {
        /// The first frame is not complete. `needed` is how many bytes it takes in all, as far as is known.
        case incomplete(needed: Int)
        /// One frame of `consumed` bytes; nil for a fragment that is not the last of its message.
        case frame(WebSocketEvent?, consumed: Int)
    }

    public let limits: Limits
    private let sender: Sender
    private let allowsCompression: Bool
    private let checksText: Bool
    private var state = State.betweenMessages

    private enum State {
        case betweenMessages
        case inMessage(Fragments)
        case closed
    }

    private struct Fragments {
        var kind: WebSocketMessageKind
        var isCompressed: Bool
        var payload: [UInt8] = []
        var count = 0
        var utf8 = UTF8Stream()
    }

    /// - Parameters:
    ///   - allowsCompression: whether permessage-deflate was agreed on. Payloads are handed out as they came, and text
    ///     in them is not checked.
    ///   - checksText: whether text must be UTF-8 here. ``ClientDecoder`` checks what it admits, so a server may leave
    ///     it to that.
    public init(
        sender: Sender, limits: Limits = Limits(), allowsCompression: Bool = false, checksText: Bool = true
    ) {
        self.sender = sender
        self.limits = limits
        self.allowsCompression = allowsCompression
        self.checksText = checksText
    }

    /// Takes the first frame off the front of `bytes`, and unmasks its payload there.
    public mutating func parse(_ bytes: UnsafeMutableRawBufferPointer) throws(WebSocketError) -> Step {
        guard bytes.count > 0 else { return .incomplete(needed: 1) }
        do throws(WebSocketError) {
            if case .closed = self.state { throw WebSocketError.frameAfterClose }
            guard let header = try Header(UnsafeRawBufferPointer(bytes)) else {
                return .incomplete(needed: bytes.count + 1)
            }
            try self.check(header)
            let end = header.length + header.payloadLength
            guard bytes.count >= end else { return .incomplete(needed: end) }
            let payload = header.length..<end
            header.mask?.apply(to: UnsafeMutableRawBufferPointer(rebasing: bytes[payload]))
            return .frame(try self.receive(header, payload, in: UnsafeRawBufferPointer(bytes)), consumed: end)
        } catch {
            self.state = .closed
            throw error
        }
    }

    public mutating func parse(_ bytes: inout MutableRawSpan) throws(WebSocketError) -> Step {
        try bytes.withUnsafeMutableBytes { bytes throws(WebSocketError) in try self.parse(bytes) }
    }

    private func check(_ header: Header) throws(WebSocketError) {
        guard header.isMasked == (self.sender == .client) else {
            throw self.sender == .client ? .notMasked : .masked
        }
        guard !header.isCompressed || self.mayBeCompressed(header) else { throw .reservedBits }
        if header.opcode.isControl {
            guard header.isFinal else { throw .fragmentedControlFrame }
            guard header.payloadLength <= 125 else { throw .oversizedControlFrame }
            return
        }
        var gathered = 0
        switch (self.state, header.opcode) {
        case (.inMessage(let fragments), .continuation):
            gathered = fragments.payload.count
            guard fragments.count < self.limits.fragments else { throw .messageTooBig }
        case (.inMessage, _): throw .unfinishedMessage
        case (_, .continuation): throw .unexpectedContinuation
        case (_, _): break
        }
        guard header.payloadLength <= self.limits.messageBytes - gathered else { throw .messageTooBig }
    }

    /// RSV1 belongs to the first frame of a data message alone (RFC 7692 6).
    private func mayBeCompressed(_ header: Header) -> Bool {
        self.allowsCompression && (header.opcode == .text || header.opcode == .binary)
    }

    private mutating func receive(
        _ header: Header, _ payload: Range<Int>, in bytes: UnsafeRawBufferPointer
    ) throws(WebSocketError) -> WebSocketEvent? {
        switch header.opcode {
        case .ping: return .ping(payload: payload)
        case .pong: return .pong(payload: payload)
        case .close: return try self.receiveClose(payload, in: bytes)
        case .text: return try self.receiveFirst(.text, header, payload, in: bytes)
        case .binary: return try self.receiveFirst(.binary, header, payload, in: bytes)
        case .continuation:
            guard case .inMessage(let fragments) = self.state else { throw .unexpectedContinuation }
            // The array must have one owner, or each fragment would copy those before it.
            self.state = .betweenMessages
            return try self.receiveFragment(fragments, header, payload, in: bytes)
        }
    }

    private mutating func receiveFirst(
        _ kind: WebSocketMessageKind, _ header: Header, _ payload: Range<Int>, in bytes: UnsafeRawBufferPointer
    ) throws(WebSocketError) -> WebSocketEvent? {
        guard header.isFinal else {
            let fragments = Fragments(kind: kind, isCompressed: header.isCompressed)
            return try self.receiveFragment(fragments, header, payload, in: bytes)
        }
        if kind == .text, self.checksText, !header.isCompressed {
            guard UTF8Stream.isValid(UnsafeRawBufferPointer(rebasing: bytes[payload])) else { throw .invalidUTF8 }
        }
        return .message(kind, payload: payload, isCompressed: header.isCompressed)
    }

    private mutating func receiveFragment(
        _ gathered: consuming Fragments, _ header: Header, _ payload: Range<Int>, in bytes: UnsafeRawBufferPointer
    ) throws(WebSocketError) -> WebSocketEvent? {
        var fragments = gathered
        let fragment = UnsafeRawBufferPointer(rebasing: bytes[payload])
        if fragments.kind == .text, self.checksText, !fragments.isCompressed {
            // Checked fragment by fragment: text that has gone wrong is refused before the rest of it is taken in.
            guard fragments.utf8.append(fragment) else { throw .invalidUTF8 }
            guard !header.isFinal || fragments.utf8.isComplete else { throw .invalidUTF8 }
        }
        fragments.payload.append(contentsOf: fragment)
        fragments.count += 1
        guard header.isFinal else {
            self.state = .inMessage(fragments)
            return nil
        }
        self.state = .betweenMessages
        return .assembled(fragments.kind, payload: fragments.payload, isCompressed: fragments.isCompressed)
    }

    private mutating func receiveClose(
        _ payload: Range<Int>, in bytes: UnsafeRawBufferPointer
    ) throws(WebSocketError) -> WebSocketEvent {
        self.state = .closed
        guard payload.count > 0 else { return .close(nil, reason: payload) }
        guard payload.count >= 2 else { throw .malformedCloseFrame }
        let code = CloseCode(rawValue: UInt16(bytes[payload.lowerBound]) << 8 | UInt16(bytes[payload.lowerBound + 1]))
        guard code.isAllowedOnWire else { throw .forbiddenCloseCode }
        let reason = payload.lowerBound + 2..<payload.upperBound
        guard UTF8Stream.isValid(UnsafeRawBufferPointer(rebasing: bytes[reason])) else { throw .invalidUTF8 }
        return .close(code, reason: reason)
    }
}

/// A frame's header as read.
private struct Header {
    var opcode: WebSocketOpcode
    var isFinal: Bool
    var isCompressed: Bool
    var isMasked: Bool
    var mask: WebSocketMask?
    var payloadLength: Int
    var length: Int

    /// Nil while bytes are missing. Faults of the first two bytes are found before the others have come.
    init?(_ bytes: UnsafeRawBufferPointer) throws(WebSocketError) {
        guard bytes.count >= 2 else { return nil }
        guard bytes[0] & 0x30 == 0 else { throw .reservedBits }
        guard let opcode = WebSocketOpcode(rawValue: bytes[0] & 0x0F) else { throw .unknownOpcode }
        self.opcode = opcode
        self.isFinal = bytes[0] & 0x80 != 0
        self.isCompressed = bytes[0] & 0x40 != 0
        self.isMasked = bytes[1] & 0x80 != 0
        guard let (payloadLength, lengthEnd) = try Self.payloadLength(bytes) else { return nil }
        self.payloadLength = payloadLength
        self.length = lengthEnd + (self.isMasked ? 4 : 0)
        guard bytes.count >= self.length else { return nil }
        if self.isMasked {
            self.mask = WebSocketMask(key: UInt32(Self.bigEndian(bytes, from: lengthEnd, byteCount: 4)))
        }
    }

    private static func payloadLength(_ bytes: UnsafeRawBufferPointer) throws(WebSocketError) -> (Int, end: Int)? {
        switch bytes[1] & 0x7F {
        case 127:
            guard bytes.count >= 10 else { return nil }
            let length = Self.bigEndian(bytes, from: 2, byteCount: 8)
            guard length > 0xFFFF else { throw .lengthNotMinimal }
            // Half of what an Int holds, so that adding a header cannot overflow.
            guard length <= UInt64(Int.max / 2) else { throw .lengthTooLarge }
            return (Int(length), 10)
        case 126:
            guard bytes.count >= 4 else { return nil }
            let length = Self.bigEndian(bytes, from: 2, byteCount: 2)
            guard length >= 126 else { throw .lengthNotMinimal }
            return (Int(length), 4)
        case let length:
            return (Int(length), 2)
        }
    }

    private static func bigEndian(_ bytes: UnsafeRawBufferPointer, from start: Int, byteCount: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in start..<start + byteCount { value = value << 8 | UInt64(bytes[index]) }
        return value
    }
}
