internal import Glibc

/// A SocketCluster client that publishes into channel c0, and says nothing else.
///
/// A frame costs it a copy and the mask, no more than the libraries of the brokers: what the generator takes is not the instance's.
struct SocketSource: FlowSource {
    private static let head = Array(##"{"event":"#publish","data":{"channel":"c0","data":"##.utf8)

    private let socket: ClientSocket
    private var frames: [UInt8] = []
    /// A frame with a payload of zeros, for payloads of one size.
    private var template: [UInt8] = []
    private var payloadSize = 0
    /// Where the text begins in `template`.
    private var textOffset = 0
    /// The next one; nil when it asks for no answers.
    private var call: UInt64?

    /// - Parameter asksForAnswers: whether each publish is a call.
    init(port: UInt16, asksForAnswers: Bool = false) throws {
        self.socket = try ClientSocket(port: port, role: .publisher)
        self.call = asksForAnswers ? PublishTemplate.firstCall : nil
    }

    var room: Int { 4096 }

    mutating func publish(_ payload: UnsafeRawBufferPointer) throws {
        if payload.count != self.payloadSize { self.makeTemplate(payload.count) }
        let start = self.frames.count
        self.frames += self.template
        let (end, call, textOffset) = (self.frames.count, self.call, self.textOffset)
        self.frames.withUnsafeMutableBytes { bytes in
            let text = bytes.baseAddress! + start + textOffset
            let data = text + Self.head.count
            data.copyMemory(from: payload.baseAddress!, byteCount: payload.count)
            ClientFrame.mask(data, payload.count, messageOffset: Self.head.count)
            if let call {
                let digits = bytes.baseAddress! + end - 1 - PublishTemplate.callDigits
                PublishTemplate.write(call: call, to: digits)
                ClientFrame.mask(digits, PublishTemplate.callDigits, messageOffset: digits - text)
            }
        }
        if let call { self.call = call + 1 }
    }

    private mutating func makeTemplate(_ payloadSize: Int) {
        self.payloadSize = payloadSize
        let tail = self.call.map { #"},"cid":\#($0)}"# } ?? "}}"
        let text = Self.head + [UInt8](repeating: 0, count: payloadSize) + Array(tail.utf8)
        self.textOffset = ClientFrame.headerLength(text.count)
        self.template = ClientFrame.masked(text)
    }

    mutating func turn() throws {
        try self.socket.send(self.frames)
        self.frames.removeAll(keepingCapacity: true)
        try self.socket.receive(within: 0) { _ in }
    }
}

/// A SocketCluster client that is subscribed to channel c0.
struct SocketSink: FlowSink {
    private let socket: ClientSocket

    init(port: UInt16) throws {
        self.socket = try ClientSocket(port: port, role: .subscriber)
    }

    mutating func receive(within milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        try self.socket.receive(within: milliseconds, body)
    }
}

/// One connection of a client that waits for each step. Lives on one thread.
final class ClientSocket {
    private let descriptor: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
    /// Bytes at the start of `buffer` that were read and not handled yet.
    private var unread = 0

    init(port: UInt16, role: Dialect.Role) throws {
        self.descriptor = try Loopback.connect(port: port)
        for step in Dialect.socketCluster.introduction(channel: 0, role: role) {
            try self.send(step.send)
            try self.awaitAnswer(step.answer)
        }
    }

    deinit {
        close(self.descriptor)
        self.buffer.deallocate()
    }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(self.descriptor, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent > 0 {
                rest = rest.dropFirst(sent)
            } else if errno == EAGAIN {
                _ = self.poll(Int16(POLLOUT), 100)
            } else {
                throw BenchError("a connection broke (errno \(errno))")
            }
        }
    }

    /// Hands over the payloads that come within the time; answers pings.
    func receive(within milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        guard self.poll(Int16(POLLIN), milliseconds), try self.read() else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: self.buffer[..<self.unread])
        var used = 0
        while let message = try IncomingMessage.first(
            of: UnsafeRawBufferPointer(rebasing: bytes[used...]), in: .socketCluster)
        {
            used += message.length
            switch message.kind {
            case .delivery: body(message.body)
            case .ping: try self.send([0x81, 0x80, 0, 0, 0, 0])
            case .control: break
            }
        }
        self.forget(used)
    }

    private func awaitAnswer(_ answer: Dialect.Step.Answer) throws {
        let deadline = MonotonicClock.nanoseconds() + 10_000_000_000
        while MonotonicClock.nanoseconds() < deadline {
            guard self.poll(Int16(POLLIN), 100), try self.read() else { continue }
            let bytes = UnsafeRawBufferPointer(rebasing: self.buffer[..<self.unread])
            let isAnswered =
                switch answer {
                case .httpHead: contains(bytes, "\r\n\r\n")
                case .control(let text): contains(bytes, text)
                }
            if isAnswered { return self.forget(self.unread) }
        }
        throw BenchError("the server does not answer")
    }

    private func forget(_ count: Int) {
        self.unread -= count
        guard count > 0, self.unread > 0 else { return }
        memmove(self.buffer.baseAddress!, self.buffer.baseAddress! + count, self.unread)
    }

    private func read() throws -> Bool {
        let room = self.buffer.count - self.unread
        let count = recv(self.descriptor, self.buffer.baseAddress! + self.unread, room, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return false }
        guard count > 0 else { throw BenchError("the server closed a connection") }
        self.unread += count
        return true
    }

    private func poll(_ events: Int16, _ milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: self.descriptor, events: events, revents: 0)
        return Glibc.poll(&entry, 1, milliseconds) > 0
    }
}
