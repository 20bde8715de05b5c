import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import TestSupport
import Testing

@Suite struct MiddlewareChecks {
    private static let denied = ProtocolError(name: "Denied", message: "not you", fields: [.init("level", .integer(3))])
    private static let deniedText = #"{"message":"not you","name":"Denied","level":3}"#

    /// What the data of a request asks its middleware for.
    private static func decision(_ data: JSONText?) -> MiddlewareDecision {
        switch data?.description {
        case #""silence""#: .block
        case #""error""#: .block(Self.denied)
        case #""string""#: .block(ErrorValue("just text"))
        case #""change""#: .replace(data: JSONText(string: "changed"))
        default: .allow
        }
    }

    private static func silence(_ choice: ProtocolChoice, _ old: String, _ new: String) -> String {
        choice == .v1
            ? #"{"message":"Action was silently blocked by \#(old) middleware","name":"SilentMiddlewareBlockedError","type":"\#(old)"}"#
            : #"{"message":"The \#(new) AGAction was blocked by inbound middleware","name":"SilentMiddlewareBlockedError","type":"inbound"}"#
    }

    private func withMiddleware(
        _ choice: ProtocolChoice,
        _ body: (_ client: RawClient, _ socket: ClientSocket, _ server: LinkspanServer) async throws -> Void
    ) async throws {
        try await withApplication(choice) { app in
            app.procedure("echo") { $0.data }
            app.middleware.inbound = { action in
                switch action.kind {
                case .transmit(_, let data), .invoke(_, let data), .subscribe(_, let data), .publishIn(_, let data):
                    Self.decision(data)
                case .authenticate: .allow
                }
            }
        } _: { client, socket, server in
            try await body(client, socket, server)
        }
    }

    @Test(arguments: bothProtocols)
    func `33: a blocked call is answered with the error, the string, or that it was blocked`(
        choice: ProtocolChoice
    ) async throws {
        try await self.withMiddleware(choice) { client, _, _ in
            for (data, answer) in [
                ("error", #""error":\#(Self.deniedText)"#), ("string", #""error":"just text""#),
                ("silence", #""error":\#(Self.silence(choice, "emit", "invoke"))"#), ("change", #""data":"changed""#),
                ("hello", #""data":"hello""#),
            ] {
                try await client.send(#"{"event":"echo","data":"\#(data)","cid":2}"#)
                try await client.expects(#"{"rid":2,\#(answer)}"#)
                if data != "change", data != "hello" {
                    try await client.send(#"{"event":"echo","data":"\#(data)"}"#)
                    try await client.expectsNothing()
                }
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `33: a blocked subscription is answered so, and is none`(choice: ProtocolChoice) async throws {
        try await self.withMiddleware(choice) { client, socket, _ in
            for (data, error) in [
                ("error", Self.deniedText), ("string", #""just text""#),
                ("silence", Self.silence(choice, "subscribe", "subscribe")),
            ] {
                try await client.send(
                    ##"{"event":"#subscribe","data":{"channel":"a","data":"\##(data)"},"cid":2}"##)
                try await client.expects(#"{"rid":2,"error":\#(error)}"#)
            }
            #expect(await socket.channels.isEmpty)
            try await client.publish("a", "1")
            try await client.expectsNothing()
            try await client.subscribe("a")
            try await client.publish("a", "1")
            try await client.expects(RawClient.delivery("a", "1"))
        }
    }

    @Test(arguments: bothProtocols)
    func `33: a blocked publish reaches nobody, and only a call hears of it`(choice: ProtocolChoice) async throws {
        try await self.withMiddleware(choice) { client, _, _ in
            try await client.subscribe("a")
            for (data, error) in [
                ("error", Self.deniedText), ("string", #""just text""#),
                ("silence", Self.silence(choice, "publishIn", "publishIn")),
            ] {
                try await client.publish("a", #""\#(data)""#, callID: 2)
                try await client.expects(#"{"rid":2,"error":\#(error)}"#)
                try await client.publish("a", #""\#(data)""#)
                try await client.expectsNothing()
            }
            try await client.publish("a", #""change""#)
            try await client.expects(RawClient.delivery("a", #""changed""#))
        }
    }

    @Test(arguments: bothProtocols)
    func `33: a blocked upgrade is HTTP 401, a blocked handshake an error and 4008 or the code that the error names`(
        choice: ProtocolChoice
    ) async throws {
        try await withServer(
            application: Application { app in
                app.middleware.handshake = { action in
                    switch action {
                    case .handshakeWS(let request, _):
                        return request.query == "closed" ? .block(Self.denied) : .allow
                    case .handshakeSC(let socket, _):
                        var error = Self.denied
                        if socket.request.query == "code" { error.fields = [.init("statusCode", .integer(4321))] }
                        return socket.request.query == nil ? .allow : .block(error)
                    }
                }
            }, { $0.protocolChoice = choice }
        ) { _, address in
            let closed = try await RawClient.connect(address)
            try await closed.send(bytes: Array(RawClient.request(path: "/socketcluster/?closed").utf8))
            guard case .response(let response) = try await closed.next("answer to the upgrade") else { return }
            #expect(response.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"))
            #expect(response.hasSuffix("\r\n\r\nnot you"))
            for (query, fields, code) in [
                ("deny", #","level":3,"statusCode":4008"#, 4008), ("code", #","statusCode":4321"#, 4321),
            ] as [(String, String, UInt16)] {
                let client = try await RawClient.open(address, path: "/socketcluster/?\(query)")
                try await client.send(##"{"event":"#handshake","data":{},"cid":1}"##)
                let data = choice == .v1 ? #","data":{"code":\#(code)}"# : ""
                try await client.expects(
                    #"{"rid":1,"error":{"message":"not you","name":"Denied"\#(fields)}\#(data)}"#)
                if choice == .v1 {
                    try await client.expects(##"{"event":"#disconnect","data":{"code":\##(code)}}"##)
                }
                try await client.expectsClose(code)
            }
            let welcome = try await RawClient.open(address)
            try await welcome.shakesHands()
        }
    }

    @Test(arguments: bothProtocols)
    func `33: what is blocked on its way out is kept from that subscriber alone`(choice: ProtocolChoice) async throws {
        try await withServer(
            application: Application { app in
                app.middleware.outbound = { action in
                    action.socket.request.query == "guest" ? Self.decision(action.data) : .allow
                }
            }, { $0.protocolChoice = choice }
        ) { server, address in
            let member = try await RawClient.ready(address)
            let guest = try await RawClient.open(address, path: "/socketcluster/?guest")
            try await guest.shakesHands()
            for client in [member, guest] { try await client.subscribe("a") }
            for data in ["error", "silence", "string", "change", "hello"] {
                try await member.publish("a", #""\#(data)""#, callID: 2)
                let came = [try await member.nextText(), try await member.nextText()]
                #expect(Set(came) == [#"{"rid":2}"#, RawClient.delivery("a", #""\#(data)""#)])
            }
            try await guest.expects(RawClient.delivery("a", #""changed""#))
            try await guest.expects(RawClient.delivery("a", #""hello""#))
            #expect(server.counters.deliveriesBlocked == 3)
        }
    }
}
