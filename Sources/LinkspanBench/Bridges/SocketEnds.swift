internal import Glibc

/// A SocketCluster client that publishes into channel c0, and says nothing else.
struct SocketSource: FlowSource {
    private let socket: ClientSocket
    private var frames: [UInt8] = []
    /// The last one; nil when it asks for no answers.
    private var call: UInt64?

    /// - Parameter asksForAnswers: whether each publish is a call.
    init(port: UInt16, asksForAnswers: Bool = false) throws {
        self.socket = try ClientSocket(port: port, role: .publisher)
        self.call = asksForAnswers ? 1 : nil
    }

    var room: Int { 4096 }

    mutating func publish(_ payload: UnsafeRawBufferPointer) throws {
        var tail = "}}"
        if let call = self.call {
            self.call = call + 1
            tail = #"},"cid":\#(call + 1)}"#
        }
        let text = Array(##"{"event":"#publish","data":{"channel":"c0","data":"##.utf8) + payload + Array(tail.utf8)
        self.frames += ClientFrame.masked(text)
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
    private var unread: [UInt8] = []
    private var buffer = [UInt8](repeating: 0, count: 1 << 18)

    init(port: UInt16, role: Dialect.Role) throws {
        self.descriptor = try Loopback.connect(port: port)
        for step in Dialect.socketCluster.introduction(channel: 0, role: role) {
            try self.send(step.send)
            try self.awaitAnswer(step.answer)
        }
    }

    deinit {
        close(self.descriptor)
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
        while let message = try self.next() {
            switch message.kind {
            case .delivery: message.payload.withUnsafeBytes { body($0) }
            case .ping: try self.send([0x81, 0x80, 0, 0, 0, 0])
            case .control: break
            }
        }
        self.unread.removeFirst(self.used)
        self.used = 0
    }

    private var used = 0

    private func next() throws -> (kind: IncomingMessage.Kind, payload: ArraySlice<UInt8>)? {
        try self.unread.withUnsafeBytes { bytes in
            let rest = UnsafeRawBufferPointer(rebasing: bytes[self.used...])
            guard let message = try IncomingMessage.first(of: rest, in: .socketCluster) else { return nil }
            self.used += message.length
            let start = message.body.baseAddress.map { $0 - bytes.baseAddress! } ?? 0
            return (message.kind, self.unread[start..<start + message.body.count])
        }
    }

    private func awaitAnswer(_ answer: Dialect.Step.Answer) throws {
        let deadline = MonotonicClock.nanoseconds() + 10_000_000_000
        while MonotonicClock.nanoseconds() < deadline {
            guard self.poll(Int16(POLLIN), 100), try self.read() else { continue }
            let isAnswered =
                switch answer {
                case .httpHead: self.unread.withUnsafeBytes { contains($0, "\r\n\r\n") }
                case .control(let text): self.unread.withUnsafeBytes { contains($0, text) }
                }
            if isAnswered { return self.unread.removeAll(keepingCapacity: true) }
        }
        throw BenchError("the server does not answer")
    }

    private func read() throws -> Bool {
        let count = recv(self.descriptor, &self.buffer, self.buffer.count, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { return false }
        guard count > 0 else { throw BenchError("the server closed a connection") }
        self.unread += self.buffer[..<count]
        return true
    }

    private func poll(_ events: Int16, _ milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: self.descriptor, events: events, revents: 0)
        return Glibc.poll(&entry, 1, milliseconds) > 0
    }
}
