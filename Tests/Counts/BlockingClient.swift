internal import Glibc
internal import LinkspanWire

/// A WebSocket client over a blocking socket, which allocates nothing once it is set up.
final class BlockingClient {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let descriptor: CInt
    private var buffer = [UInt8](repeating: 0, count: 1 << 20)

    /// Connected, upgraded and after the handshake.
    init(port: Int) throws {
        self.descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(self.descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failure(description: "connect: errno \(errno)") }
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        try self.send(
            Array(
                ("GET /socketcluster/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").utf8))
        try self.read(until: "\r\n\r\n")
        try self.send(Self.frame(##"{"event":"#handshake","data":{},"cid":1}"##))
        try self.read(until: "\"isAuthenticated\":false}}")
    }

    deinit {
        close(self.descriptor)
    }

    func subscribe(_ channel: String) throws {
        try self.send(Self.frame(##"{"event":"#subscribe","data":{"channel":"\##(channel)"},"cid":2}"##))
        try self.read(until: #"{"rid":2}"#)
    }

    /// One masked text frame.
    static func frame(_ text: String) -> [UInt8] {
        let mask = WebSocketMask(key: 0x1234_ABCD)
        var payload = Array(text.utf8)
        var bytes: [UInt8] = []
        WebSocketFrameHeader(opcode: .text, payloadLength: payload.count, mask: mask).encode(into: &bytes)
        payload.withUnsafeMutableBytes { mask.apply(to: $0) }
        return bytes + payload
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                Glibc.send(self.descriptor, bytes.baseAddress! + sent, bytes.count - sent, 0)
            }
            guard count > 0 else { throw Failure(description: "send: errno \(errno)") }
            sent += count
        }
    }

    /// Reads exactly `count` bytes.
    func read(_ count: Int) throws {
        let received = self.buffer.withUnsafeMutableBytes {
            recv(self.descriptor, $0.baseAddress, count, CInt(MSG_WAITALL))
        }
        guard received == count else { throw Failure(description: "recv: \(received) bytes, errno \(errno)") }
    }

    private func read(until end: String) throws {
        let end = Array(end.utf8)
        var count = 0
        while count < end.count || !self.buffer[..<count].suffix(end.count).elementsEqual(end) {
            let received = self.buffer.withUnsafeMutableBytes { recv(self.descriptor, $0.baseAddress! + count, 1, 0) }
            guard received == 1 else { throw Failure(description: "recv: errno \(errno)") }
            count += 1
        }
    }
}
