import LinkspanWire
import Testing

struct EncoderTests {
    private static func text(_ packet: PacketToClient, _ dialect: Dialect = .v2) -> String {
        var bytes: [UInt8] = []
        packet.encode(dialect: dialect, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func clientText(_ packet: PacketToServer, _ dialect: Dialect = .v2) -> String {
        var bytes: [UInt8] = []
        packet.encode(dialect: dialect, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func json(_ text: String) throws -> JSONText {
        try JSONText(validating: text)
    }

    @Test func `what a server says, key by key as SocketCluster says it`() throws {
        let status = HandshakeStatus(id: "AbC", pingTimeout: .seconds(20), isAuthenticated: false)
        #expect(
            Self.text(.handshakeAccepted(status, callID: 1))
                == ##"{"rid":1,"data":{"id":"AbC","pingTimeout":20000,"isAuthenticated":false}}"##)
        #expect(
            Self.text(.handshakeAccepted(status, callID: nil))
                == ##"{"data":{"id":"AbC","pingTimeout":20000,"isAuthenticated":false}}"##)
        var failed = status
        failed.authError = .tokenInvalid(.wrongSignature, dialect: .v2)
        failed.pingTimeout = .milliseconds(1500)
        #expect(
            Self.text(.handshakeAccepted(failed, callID: 2))
                == ##"{"rid":2,"data":{"id":"AbC","pingTimeout":1500,"authError":{"message":"invalid signature","##
                + ##""name":"AuthTokenInvalidError","isBadToken":true},"isAuthenticated":false}}"##)
        #expect(Self.text(.success(5)) == ##"{"rid":5}"##)
        #expect(Self.text(.success(5, data: .null)) == ##"{"rid":5,"data":null}"##)
        #expect(Self.text(.success(.literal("1.5"), data: try Self.json("[1]"))) == ##"{"rid":1.5,"data":[1]}"##)
        #expect(
            Self.text(.failure(.literal("\"a\""), .invalidAction("no")))
                == ##"{"rid":"a","error":{"message":"no","name":"InvalidActionError"}}"##)
        #expect(Self.text(.failureValue(5, JSONText(string: "no"))) == ##"{"rid":5,"error":"no"}"##)
        #expect(Self.text(.event(name: "hi", data: nil, callID: nil)) == ##"{"event":"hi"}"##)
        #expect(
            Self.text(.event(name: "hi", data: try Self.json("{}"), callID: 1))
                == ##"{"event":"hi","cid":1,"data":{}}"##)
        #expect(Self.text(.publish(channel: "c", data: nil)) == ##"{"event":"#publish","data":{"channel":"c"}}"##)
        #expect(
            Self.text(.publish(channel: "c", data: .null))
                == ##"{"event":"#publish","data":{"channel":"c","data":null}}"##)
        #expect(Self.text(.setAuthToken("t", callID: nil)) == ##"{"event":"#setAuthToken","data":{"token":"t"}}"##)
        #expect(
            Self.text(.setAuthToken("t", callID: 3)) == ##"{"event":"#setAuthToken","cid":3,"data":{"token":"t"}}"##)
    }

    @Test func `what the two protocols say differently`() throws {
        #expect(Self.text(PacketToClient.ping, .v2) == "")
        #expect(Self.text(PacketToClient.ping, .v1) == "#1")
        #expect(Self.clientText(PacketToServer.pong, .v2) == "")
        #expect(Self.clientText(PacketToServer.pong, .v1) == "#2")
        #expect(Self.text(.removeAuthToken(callID: nil), .v2) == ##"{"event":"#removeAuthToken"}"##)
        #expect(Self.text(.removeAuthToken(callID: nil), .v1) == ##"{"event":"#removeAuthToken","data":null}"##)
        let kickOut = PacketToClient.kickOut(channel: "c", message: "out")
        #expect(Self.text(kickOut, .v2) == ##"{"event":"#kickOut","data":{"channel":"c","message":"out"}}"##)
        #expect(Self.text(kickOut, .v1) == ##"{"event":"#kickOut","data":{"message":"out","channel":"c"}}"##)
        #expect(
            Self.text(.kickOut(channel: "c", message: nil), .v1) == ##"{"event":"#kickOut","data":{"channel":"c"}}"##)
        #expect(
            Self.text(PacketToClient.disconnect(code: .normal, data: JSONText(string: "bye")), .v1)
                == ##"{"event":"#disconnect","data":{"code":1000,"data":"bye"}}"##)
        let refused = PacketToClient.handshakeRefused(.invalidAction("no"), statusCode: .handshakeRejected, callID: 1)
        let error = ##"{"message":"no","name":"InvalidActionError"}"##
        #expect(Self.text(refused, .v2) == ##"{"rid":1,"error":\##(error)}"##)
        #expect(Self.text(refused, .v1) == ##"{"rid":1,"error":\##(error),"data":{"code":4008}}"##)
    }

    @Test func `what answers #authenticate`() {
        #expect(
            Self.text(.authenticated(AuthenticateStatus(isAuthenticated: true), callID: 2))
                == ##"{"rid":2,"data":{"isAuthenticated":true,"authError":null}}"##)
        let notYet = AuthenticateStatus(
            isAuthenticated: false, authError: .tokenNotActive(date: "2026-01-01T00:00:00.000Z", dialect: .v2))
        #expect(
            Self.text(.authenticated(notYet, callID: 2))
                == ##"{"rid":2,"data":{"isAuthenticated":false,"authError":{"message":"jwt not active","##
                + ##""name":"AuthTokenNotBeforeError","date":"2026-01-01T00:00:00.000Z","isBadToken":false}}}"##)
        let error = ProtocolError.tokenInvalid(.malformed, dialect: .v1)
        let both = AuthenticateStatus(isAuthenticated: false, authError: error, isFailure: true)
        let errorText = ##"{"message":"jwt malformed","name":"AuthTokenInvalidError"}"##
        #expect(
            Self.text(.authenticated(both, callID: 2), .v1)
                == ##"{"rid":2,"error":\##(errorText),"data":{"isAuthenticated":false,"authError":\##(errorText)}}"##)
    }

    @Test func `a batch is an array of its packets`() {
        var bytes: [UInt8] = []
        PacketToClient.encodeBatch([.success(1), .success(2, data: .null)], dialect: .v1, into: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == ##"[{"rid":1},{"rid":2,"data":null}]"##)
    }

    @Test func `what a client says, and that the server reads it so`() throws {
        let packets: [(PacketToServer, String, String)] = [
            (
                .handshake(authToken: nil, callID: 1), ##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##,
                "handshake token=- cid=1"
            ),
            (
                .handshake(authToken: "t", callID: 1), ##"{"event":"#handshake","data":{"authToken":"t"},"cid":1}"##,
                ##"handshake token="t" cid=1"##
            ),
            (
                .authenticate(token: "t", callID: 2), ##"{"event":"#authenticate","data":"t","cid":2}"##,
                ##"authenticate token="t" cid=2"##
            ),
            (.removeAuthToken, ##"{"event":"#removeAuthToken"}"##, "removeAuthToken"),
            (
                .subscribe(channel: "c", data: .null, waitForAuth: true, callID: 3),
                ##"{"event":"#subscribe","data":{"channel":"c","waitForAuth":true,"data":null},"cid":3}"##,
                "subscribe channel=c data=null cid=3 waitForAuth"
            ),
            (
                .unsubscribe(channel: "c", callID: nil), ##"{"event":"#unsubscribe","data":"c"}"##,
                "unsubscribe channel=c cid=-"
            ),
            (
                .publish(channel: "\"", data: try Self.json("1"), callID: 4),
                ##"{"event":"#publish","data":{"channel":"\"","data":1},"cid":4}"##, "publish channel=\" data=1 cid=4"
            ),
            (.event(name: "e", data: nil, callID: 5), ##"{"event":"e","cid":5}"##, "event e data=- cid=5"),
            (.success(6, data: nil), ##"{"rid":6}"##, "response rid=6 data=- error=-"),
            (
                .failure(7, .noTokenData),
                ##"{"rid":7,"error":{"message":"No token data provided by #setAuthToken event","name":"InvalidMessageError"}}"##,
                ##"response rid=7 data=- error={"message":"No token data provided by #setAuthToken event","name":"InvalidMessageError"}"##
            ),
            (
                .disconnect(code: .normal, data: nil), ##"{"event":"#disconnect","data":{"code":1000}}"##,
                "disconnect code=1000 data=-"
            ),
        ]
        for (packet, text, decoded) in packets {
            #expect(Self.clientText(packet) == text)
            #expect(DecodedText(text).fromClient() == [decoded])
        }
    }

    @Test func `what a server says is what a client reads`() throws {
        let status = HandshakeStatus(id: "x", pingTimeout: .seconds(1), isAuthenticated: true)
        let packets: [(PacketToClient, String)] = [
            (.ping, "ping v2"),
            (
                .handshakeAccepted(status, callID: 1),
                ##"response rid=1 data={"id":"x","pingTimeout":1000,"isAuthenticated":true} error=-"##
            ),
            (.success(2), "response rid=2 data=- error=-"),
            (.failureValue(3, .null), "response rid=3 data=- error=-"),
            (.failureValue(.literal("\"3\""), JSONText(string: "no")), ##"response rid="3" data=- error="no""##),
            (.event(name: "e", data: .null, callID: 4), "event e data=null cid=4"),
            (.publish(channel: "é\n", data: try Self.json("[1]")), "publish channel=é\n data=[1]"),
            (.setAuthToken("t", callID: nil), "setAuthToken t cid=-"),
            (.removeAuthToken(callID: 2), "removeAuthToken cid=2"),
            (.kickOut(channel: "c", message: "m"), "kickOut channel=c message=m"),
            (.kickOut(channel: "c", message: nil), "kickOut channel=c message=-"),
            (.disconnect(code: .normal, data: .null), "disconnect code=1000 data=null"),
        ]
        for (packet, decoded) in packets { #expect(DecodedText(Self.text(packet)).fromServer() == [decoded]) }
        #expect(DecodedText("#1").fromServer() == ["ping v1"])
        #expect(DecodedText("#2").fromServer() == ["raw notJSON"])
        #expect(
            DecodedText(##"[{"rid":1},{"event":"e"},7]"##).fromServer() == [
                "response rid=1 data=- error=-", "event e data=- cid=-", "raw notPacket",
            ])
        #expect(
            DecodedText(##"{"event":"#setAuthToken","data":{"token":5}}"##).fromServer() == ["setAuthToken - cid=-"])
        #expect(DecodedText(##"{"data":{}}"##).fromServer() == ["raw notPacket"])
    }

    @Test func `strings are escaped as JSON.stringify escapes them`() {
        let string = "\"\\/\u{8}\u{C}\n\r\t\u{0}\u{1F}\u{7F}é\u{2028}😀"
        #expect(JSONText(string: string).description == "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7F}é\u{2028}😀\"")
    }

    @Test func `integers of every length are written`() {
        for value in [0, 9, 10, -1, -10, 12345, .max, .min] as [Int64] {
            var bytes: [UInt8] = []
            bytes.put(decimal: value)
            #expect(String(decoding: bytes, as: UTF8.self) == String(value))
        }
    }

    @Test func `JSON text is checked when it is made from text`() throws {
        #expect(throws: JSONError(reason: .unexpectedByte, offset: 1)) { try JSONText(validating: "{x}") }
        #expect(try JSONText(validating: " [1.0] ").description == " [1.0] ")
    }

    @Test(arguments: [0, 1, 2, 80, 90, 100, 65_480, 65_490, 65_500, 70_000])
    func `the frame of a publish is the packet behind its header, of the length foretold`(dataLength: Int) throws {
        let encoder = PublishEncoder(channel: "news \"today\"")
        let data = dataLength == 0 ? [] : [UInt8](repeating: UInt8(ascii: "1"), count: dataLength)
        var packet: [UInt8] = []
        encoder.encodePacket(data: data.span.bytes, into: &packet)
        #expect(packet.count == encoder.packetLength(dataLength: dataLength))
        let json = try dataLength == 0 ? nil : Self.json(String(decoding: data, as: UTF8.self))
        #expect(String(decoding: packet, as: UTF8.self) == Self.text(.publish(channel: "news \"today\"", data: json)))

        var frame: [UInt8] = []
        encoder.encodeFrame(data: data.span.bytes, into: &frame)
        #expect(frame.count == encoder.frameLength(dataLength: dataLength))
        var parser = WebSocketFrameParser(sender: .server)
        let step = try frame.withUnsafeMutableBytes { try parser.parse($0) }
        let event = WebSocketEvent.message(
            .text, payload: frame.count - packet.count..<frame.count, isCompressed: false)
        #expect(step == .frame(event, consumed: frame.count))
        #expect(Array(frame.suffix(packet.count)) == packet)
    }

    @Test func `every close code is documented, ordered and below the range in which clients stay away`() {
        let codes = CloseCode.registry.map(\.rawValue)
        #expect(codes == codes.sorted())
        #expect(Set(codes).count == codes.count)
        for code in CloseCode.registry { #expect(code.text != nil, "\(code)") }
        #expect(CloseCode(rawValue: 4444).text == nil)
        for code in CloseCode.registry where code.rawValue >= 4100 { #expect(code.reaction == .afterBackoff) }
        #expect(CloseCode.normal.reaction == .stayClosed)
        #expect(CloseCode.pongTimedOut.reaction == .atOnce)
        #expect(CloseCode(rawValue: 4500).reaction == .stayClosed)
    }
}
