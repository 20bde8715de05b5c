import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import Testing

/// The words of the protocol checks: what a client sends, and what it then expects, to the byte.
///
/// The checks are the thirty-six of the protocol's description, by number. Each runs over a real socket against a server of its own, in both
/// protocols where both have it.
extension RawClient {
    /// The next text, pings aside, is `text`.
    func expects(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let next = try await self.nextText("\(text)")
        #expect(next == text, sourceLocation: sourceLocation)
    }

    /// Nothing came for what was sent so far: a call that is always answered is answered next.
    func expectsNothing(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await self.send(##"{"event":"#unsubscribe","data":"never subscribed","cid":4242}"##)
        let next = try await self.nextText("answer to a call that is always answered")
        #expect(next.hasPrefix(#"{"rid":4242,"error":"#), "\(next)", sourceLocation: sourceLocation)
    }

    func expectsClose(
        _ code: UInt16?, reason: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let event = try await self.next("close frame") { event in
            switch event {
            case .close, .disconnected: true
            case .text(let text): !text.isEmpty && text != "#1"
            case .response, .binary, .compressed, .pong: true
            }
        }
        #expect(event == .close(code, reason: reason), sourceLocation: sourceLocation)
    }

    /// Sends a `#handshake`, checks the whole answer, and returns the identifier of the socket.
    @discardableResult
    func shakesHands(
        callID: Int = 1, pingTimeout: Int = 20_000, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        try await self.send(##"{"event":"#handshake","data":{"authToken":null},"cid":\##(callID)}"##)
        return try await self.expectsHandshake(
            callID: callID, pingTimeout: pingTimeout, sourceLocation: sourceLocation)
    }

    /// The next text accepts the handshake without a token; returns the identifier of the socket.
    @discardableResult
    func expectsHandshake(
        callID: Int, pingTimeout: Int = 20_000, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let answer = try await self.nextText("answer to the handshake")
        let head = #"{"rid":\#(callID),"data":{"id":""#
        let id = String(answer.dropFirst(head.count).prefix(20))
        #expect(
            answer == head + id + #"","pingTimeout":\#(pingTimeout),"isAuthenticated":false}}"#,
            sourceLocation: sourceLocation)
        #expect(
            id.utf8.count == 20 && id.utf8.allSatisfy(Self.isIdentifier), "\(answer)", sourceLocation: sourceLocation)
        return id
    }

    private static func isIdentifier(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// `{"rid":5,"error":{"message":"..","name":".."}}`
func failure(_ callID: Int, _ name: String, _ message: String) -> String {
    #"{"rid":\#(callID),"error":{"message":"\#(message)","name":"\#(name)"}}"#
}

/// Both protocols, each fixed by the listener.
let bothProtocols: [ProtocolChoice] = [.v1, .v2]

/// A server that speaks one protocol, and one client of it that has shaken hands.
func withConversation(
    _ choice: ProtocolChoice, _ change: (inout ServerSettings) -> Void = { _ in },
    _ body: (_ client: RawClient, _ socketID: String, _ address: SocketAddress) async throws -> Void
) async throws {
    var pingTimeout = Duration.zero
    try await withServer({
        $0.protocolChoice = choice
        change(&$0)
        pingTimeout = $0.timing.pingTimeout
    }) { _, address in
        let client = try await RawClient.open(address)
        let socketID = try await client.shakesHands(pingTimeout: Int(pingTimeout / .milliseconds(1)))
        try await body(client, socketID, address)
    }
}

/// A server with an application behind it, and its address.
func withApplicationServer(
    _ protocolChoice: ProtocolChoice = .v2, _ configure: (inout Application) -> Void,
    change: (inout ServerSettings) -> Void = { _ in },
    _ body: (LinkspanServer, SocketAddress) async throws -> Void
) async throws {
    try await withServer(
        application: Application(configure),
        { settings in
            settings.auth = TestTokens.settings
            settings.protocolChoice = protocolChoice
            change(&settings)
        }, body)
}

/// As above, with an application behind the server, and the client as that application sees it.
func withApplication(
    _ choice: ProtocolChoice, _ configure: (inout Application) -> Void = { _ in },
    change: (inout ServerSettings) -> Void = { _ in },
    _ body: (_ client: RawClient, _ socket: ClientSocket, _ server: LinkspanServer) async throws -> Void
) async throws {
    try await withApplicationServer(choice, configure, change: change) { server, address in
        let client = try await RawClient.open(address)
        let socketID = try await client.shakesHands()
        let socket = try #require(await server.sockets.first { $0.id == socketID })
        try await body(client, socket, server)
    }
}

func json(_ text: String) throws -> JSONText { try JSONText(validating: text) }
