/// How a server is spoken to.
enum Dialect: String, Sendable, CaseIterable {
    /// SocketCluster's protocol 2 over WebSocket.
    case socketCluster = "sc2"
    /// Text over WebSocket, a channel for each path (nchan).
    case plainWebSocket = "ws"
    /// MQTT 3.1.1 over TCP, QoS 0.
    case mqtt
    case redis
    case nats

    /// What a subscriber or publisher says before it is ready, and how each answer ends.
    func introduction(channel: Int, role: Role) -> [Step] {
        let name = Self.name(channel)
        switch self {
        case .socketCluster:
            var steps = [
                Step(send: Self.upgrade("/socketcluster/"), answer: .httpHead),
                Step(
                    send: Self.frame(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##),
                    answer: .control(#""rid":1"#)),
            ]
            if role == .subscriber {
                let text = ##"{"event":"#subscribe","data":{"channel":"\##(name)"},"cid":2}"##
                steps.append(Step(send: Self.frame(text), answer: .control(#""rid":2"#)))
            }
            return steps
        case .plainWebSocket:
            let path = role == .subscriber ? "/sub/" : "/pub/"
            return [Step(send: Self.upgrade(path + name), answer: .httpHead)]
        case .mqtt:
            let connect: [UInt8] = [0x10, 12, 0, 4] + Array("MQTT".utf8) + [4, 2, 0, 60, 0, 0]
            var steps = [Step(send: connect, answer: .control(""))]
            if role == .subscriber {
                let topic = Array(name.utf8)
                let subscribe = [0x82, UInt8(topic.count + 5), 0, 1, 0, UInt8(topic.count)] + topic + [0]
                steps.append(Step(send: subscribe, answer: .control("")))
            }
            return steps
        case .redis:
            guard role == .subscriber else { return [Step(send: Array("PING\r\n".utf8), answer: .control("PONG"))] }
            return [Step(send: Array("SUBSCRIBE \(name)\r\n".utf8), answer: .control("subscribe"))]
        case .nats:
            let connect = Array("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n".utf8)
            var steps = [Step(send: connect, answer: .control("PONG"))]
            if role == .subscriber {
                steps.append(Step(send: Array("SUB \(name) 1\r\nPING\r\n".utf8), answer: .control("PONG")))
            }
            return steps
        }
    }

    enum Role: Sendable {
        case subscriber, publisher
    }

    struct Step: Sendable {
        enum Answer: Sendable {
            /// Up to the empty line.
            case httpHead
            /// A message that is no delivery and contains this.
            case control(StaticString)
        }

        var send: [UInt8]
        var answer: Answer
    }

    static func name(_ channel: Int) -> String { "c\(channel)" }

    private static func upgrade(_ path: String) -> [UInt8] {
        Array(
            """
            GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n
            """.utf8)
    }

    private static func frame(_ text: String) -> [UInt8] { ClientFrame.masked(Array(text.utf8)) }
}

/// Frames of a WebSocket client (RFC 6455 5.2).
enum ClientFrame {
    /// Any key will do; it is not zero, so that a server does all of its work.
    private static let key: [UInt8] = [0x5A, 0x1F, 0xC3, 0x77]
    /// The same, its first byte the lowest.
    private static let keyWord: UInt32 = 0x77C3_1F5A

    static func masked(_ text: [UInt8]) -> [UInt8] {
        var frame: [UInt8] = [0x81]
        if text.count < 126 {
            frame.append(0x80 | UInt8(text.count))
        } else {
            precondition(text.count <= 0xFFFF, "a benchmark message has at most 64 KiB")
            frame += [0x80 | 126, UInt8(text.count >> 8), UInt8(text.count & 0xFF)]
        }
        frame += Self.key
        for (index, byte) in text.enumerated() { frame.append(byte ^ Self.key[index & 3]) }
        return frame
    }

    static func headerLength(_ text: Int) -> Int { text < 126 ? 6 : 8 }

    /// Masks in place what was written at an offset of the message.
    @inline(__always)
    static func mask(_ bytes: UnsafeMutableRawPointer, _ count: Int, messageOffset: Int) {
        let key = UInt64(Self.keyWord) | UInt64(Self.keyWord) << 32
        let turned = UInt64(messageOffset & 3) * 8
        let word = turned == 0 ? key : key >> turned | key << (64 - turned)
        var index = 0
        while index + 8 <= count {
            let bits = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            bytes.storeBytes(of: bits ^ word.littleEndian, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < count {
            let byte = bytes.load(fromByteOffset: index, as: UInt8.self)
            bytes.storeBytes(of: byte ^ Self.key[(messageOffset + index) & 3], toByteOffset: index, as: UInt8.self)
            index += 1
        }
    }
}

/// A publish of one stream, written once; what differs from one to the next is patched into a copy.
struct PublishTemplate: Sendable {
    /// Call IDs have this many digits, so that every publish has the same length; the first one is `firstCall`.
    static let callDigits = 10
    static let firstCall: UInt64 = 1_000_000_000

    private(set) var bytes: [UInt8]
    private let stream: UInt32
    /// Of the payload in `bytes`.
    private let payloadOffset: Int
    /// Of the call ID in `bytes`; nil without one.
    private let callOffset: Int?
    /// Where the masked message begins; nil when nothing is masked.
    private let maskedFrom: Int?

    init(_ dialect: Dialect, channel: Int, stream: UInt32, payloadSize: Int, isCall: Bool) {
        let name = Dialect.name(channel)
        let payload = Stamp(stream: stream, sequence: 0, due: 0).payload(size: payloadSize)
        self.stream = stream
        switch dialect {
        case .socketCluster:
            let head = Array(##"{"event":"#publish","data":{"channel":"\##(name)","data":"##.utf8)
            let tail = isCall ? #"},"cid":\#(Self.firstCall)}"# : "}}"
            let message = head + payload + Array(tail.utf8)
            let header = ClientFrame.headerLength(message.count)
            self.bytes = ClientFrame.masked(message)
            self.payloadOffset = header + head.count
            self.callOffset = isCall ? header + message.count - 1 - Self.callDigits : nil
            self.maskedFrom = header
        case .plainWebSocket:
            let header = ClientFrame.headerLength(payload.count)
            self.bytes = ClientFrame.masked(payload)
            self.payloadOffset = header
            self.callOffset = nil
            self.maskedFrom = header
        case .mqtt:
            let rest = 2 + name.utf8.count + payload.count
            var head: [UInt8] = [0x30]
            if rest < 128 { head.append(UInt8(rest)) } else { head += [UInt8(rest & 127) | 128, UInt8(rest >> 7)] }
            head += [0, UInt8(name.utf8.count)] + Array(name.utf8)
            self.bytes = head + payload
            self.payloadOffset = head.count
            self.callOffset = nil
            self.maskedFrom = nil
        case .redis:
            let head = Array("*3\r\n$7\r\nPUBLISH\r\n$\(name.utf8.count)\r\n\(name)\r\n$\(payload.count)\r\n".utf8)
            self.bytes = head + payload + Array("\r\n".utf8)
            self.payloadOffset = head.count
            self.callOffset = nil
            self.maskedFrom = nil
        case .nats:
            let head = Array("PUB \(name) \(payload.count)\r\n".utf8)
            self.bytes = head + payload + Array("\r\n".utf8)
            self.payloadOffset = head.count
            self.callOffset = nil
            self.maskedFrom = nil
        }
    }

    /// Writes one publish; `to` has room for `bytes.count`.
    @inline(__always)
    func write(sequence: UInt64, due: UInt64, to: UnsafeMutableRawPointer) {
        self.bytes.withUnsafeBytes { to.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        let payload = to + self.payloadOffset
        Stamp(stream: self.stream, sequence: sequence, due: due).write(to: payload)
        if let maskedFrom = self.maskedFrom {
            ClientFrame.mask(
                payload + Stamp.start, Stamp.letters, messageOffset: self.payloadOffset + Stamp.start - maskedFrom)
        }
        if let callOffset = self.callOffset {
            Self.write(call: Self.firstCall + sequence, to: to + callOffset)
            if let maskedFrom = self.maskedFrom {
                ClientFrame.mask(to + callOffset, Self.callDigits, messageOffset: callOffset - maskedFrom)
            }
        }
    }

    /// Writes the digits of a call ID.
    @inline(__always)
    static func write(call: UInt64, to: UnsafeMutableRawPointer) {
        var number = call
        for index in stride(from: Self.callDigits - 1, through: 0, by: -1) {
            to.storeBytes(of: UInt8(ascii: "0") + UInt8(number % 10), toByteOffset: index, as: UInt8.self)
            number /= 10
        }
    }
}
