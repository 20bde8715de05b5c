import LinkspanCore
import LinkspanWire
import Testing

@Suite struct ConnectionMiddlewareTests {
    private static let handshake = ##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##
    private static let error = ProtocolError(name: "Odd", message: "not you")

    @Test func `a handshake that the application does not want is answered with its error and closed with 4008`() {
        var second = ConnectionConversation(.v2)
        second.handshakeBlock = Self.error
        let error = #""error":{"message":"not you","name":"Odd","statusCode":4008}"#
        #expect(second.hears(Self.handshake) == [#"{"rid":1,\#(error)}"#, "close 4008"])
        #expect(second.machine.phase == .closing)

        var first = ConnectionConversation(.v1)
        first.handshakeBlock = Self.error
        #expect(
            first.hears(Self.handshake) == [
                #"{"rid":1,\#(error),"data":{"code":4008}}"#, ##"{"event":"#disconnect","data":{"code":4008}}"##,
                "close 4008",
            ])
    }

    @Test func `the error of a blocked handshake may name the close code`() {
        var client = ConnectionConversation(.v2)
        client.handshakeBlock = Self.error
        client.handshakeBlock?.fields = [.init("statusCode", .integer(4501)), .init("why", .string("full"))]
        #expect(
            client.hears(Self.handshake) == [
                #"{"rid":1,"error":{"message":"not you","name":"Odd","why":"full","statusCode":4501}}"#, "close 4501",
            ])
    }

    @Test(arguments: [1005, 0, -1, 70_000, 2000]) func `a close code that may not be sent gives way to 4008`(
        _ code: Int64
    ) {
        var client = ConnectionConversation(.v2)
        client.handshakeBlock = Self.error
        client.handshakeBlock?.fields = [.init("statusCode", .integer(code))]
        #expect(
            client.hears(Self.handshake) == [
                #"{"rid":1,"error":{"message":"not you","name":"Odd","statusCode":4008}}"#, "close 4008",
            ])
    }

    @Test func `a second handshake that is blocked ends the connection, and nothing follows`() {
        var client = ConnectionConversation.opened(.v2)
        client.handshakeBlock = Self.error
        #expect(client.hears(Self.handshake).last == "close 4008")
        #expect(client.hears(Self.handshake) == [])
    }

    @Test func `the application is not asked about whom the rules refuse`() {
        var client = ConnectionConversation(.v2) { $0.auth.anonymous = .deny }
        client.handshakeBlock = Self.error
        #expect(client.hears(Self.handshake).first?.contains("jwt must be provided") == true)

        var known = ConnectionConversation(.v2) { $0.auth.anonymous = .deny }
        known.handshakeBlock = Self.error
        #expect(
            known.hears(##"{"event":"#handshake","data":{"authToken":"t"},"cid":1}"##).dropFirst().first?
                .contains("not you") == true)
    }

    @Test func `a request keeps its channel and its call when its data is replaced`() throws {
        let text = ##"{"event":"#publish","data":{"channel":"a\u0062","data":1},"cid":4}"##
        let bytes = Array(text.utf8)
        guard case .packet(.publish(.name(let name), let data, let callID)) = ClientDecoder().decode(bytes.span.bytes)
        else {
            Issue.record("no publish")
            return
        }
        let action = ConnectionAction.publish(channel: name, data: data, callID: callID)
        for wanted in ["[2]", nil] {
            let changed = bytes.withUnsafeBytes { action.replacing(data: wanted.map { Array($0.utf8) }, in: $0) }
            guard case .publish(let channel, let range, let changedID) = changed.action else {
                Issue.record("no publish")
                return
            }
            #expect(channel.string(in: changed.text.span.bytes) == "ab")
            #expect(range.map { String(decoding: changed.text[$0], as: UTF8.self) } == wanted)
            #expect(changedID == .integer(4))
        }
    }
}
