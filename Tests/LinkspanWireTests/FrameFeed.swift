import LinkspanWire

/// Hands bytes to a parser as a connection would: gathered, and taken off the front frame by frame.
struct FrameFeed {
    var parser: WebSocketFrameParser
    private(set) var events: [Received] = []
    private(set) var error: WebSocketError?
    private var gathered: [UInt8] = []

    enum Received: Hashable {
        case message(WebSocketMessageKind, [UInt8], isCompressed: Bool = false)
        case ping([UInt8])
        case pong([UInt8])
        case close(CloseCode?, String)
    }

    init(_ parser: WebSocketFrameParser = WebSocketFrameParser(sender: .client)) {
        self.parser = parser
    }

    var unparsed: Int { self.gathered.count }

    mutating func receive(_ bytes: some Collection<UInt8>) {
        self.gathered.append(contentsOf: bytes)
        while self.error == nil {
            do throws(WebSocketError) {
                guard case .frame(let event, let consumed) = try self.parseNext() else { return }
                if let event { self.events.append(self.resolve(event)) }
                self.gathered.removeFirst(consumed)
            } catch {
                self.error = error
            }
        }
    }

    private mutating func parseNext() throws(WebSocketError) -> WebSocketFrameParser.Step {
        var gathered = self.gathered
        defer { self.gathered = gathered }
        var span = gathered.mutableSpan
        var bytes = span.mutableBytes
        return try self.parser.parse(&bytes)
    }

    private func resolve(_ event: WebSocketEvent) -> Received {
        switch event {
        case .message(let kind, let payload, let isCompressed):
            .message(kind, Array(self.gathered[payload]), isCompressed: isCompressed)
        case .assembled(let kind, let payload, let isCompressed): .message(kind, payload, isCompressed: isCompressed)
        case .ping(let payload): .ping(Array(self.gathered[payload]))
        case .pong(let payload): .pong(Array(self.gathered[payload]))
        case .close(let code, let reason): .close(code, String(decoding: self.gathered[reason], as: UTF8.self))
        }
    }
}
