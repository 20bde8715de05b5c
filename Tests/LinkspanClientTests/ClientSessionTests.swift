internal import LinkspanWire
internal import Testing

@testable internal import LinkspanClient

/// One connection of a client as a conversation.
struct ClientSessionTests {
    private let start = ContinuousClock.now

    @Test func `the handshake comes first and carries the token`() {
        var session = ClientSession(openedAt: self.start, connectTimeout: .seconds(20))
        #expect(session.start(authToken: "t") == [.send(.handshake(authToken: "t", callID: 1), .v2)])
        #expect(
            session.hears(#"{"rid":1,"data":{"id":"x","pingTimeout":5000,"isAuthenticated":true}}"#) == [
                .opened(isAuthenticated: true, authError: nil)
            ])
        #expect(session.phase == .open)
    }

    @Test func `nothing but the handshake is said before its answer`() {
        var session = ClientSession(openedAt: self.start, connectTimeout: .seconds(20))
        _ = session.start(authToken: nil)
        #expect(session.subscribe("news") == [])
        #expect(session.publish("news", nil, number: 1) == [])
        #expect(session.hears("") == [])
        #expect(session.hears("#1") == [])
        #expect(session.phase == .awaitingHandshake)
    }

    @Test func `a token that was not taken is told, and the session is open all the same`() {
        var session = ClientSession(openedAt: self.start, connectTimeout: .seconds(20))
        _ = session.start(authToken: "t")
        let answer =
            #"{"rid":1,"data":{"id":"x","isAuthenticated":false,"authError":{"name":"AuthTokenExpiredError","message":"jwt expired"}}}"#
        #expect(
            session.hears(answer) == [.opened(isAuthenticated: false, authError: "AuthTokenExpiredError: jwt expired")])
    }

    @Test func `a refused handshake ends the session`() {
        var session = ClientSession(openedAt: self.start, connectTimeout: .seconds(20))
        _ = session.start(authToken: nil)
        let expected = ClientError(.refused, "the server refused the handshake: no")
        #expect(session.hears(#"{"rid":1,"error":"no"}"#) == [.close(.handshakeFailed, expected)])
        #expect(session.phase == .closed)
        #expect(session.timePassed(to: self.start + .seconds(1000)) == [])
    }

    @Test func `pings of both protocols are answered in kind`() {
        var session = ClientSession.opened(at: self.start)
        #expect(session.hears("") == [.send(.pong, .v2)])
        #expect(session.hears("#1") == [.send(.pong, .v1)])
    }

    @Test func `a server that stops pinging is left with 4000`() {
        var session = ClientSession.opened(at: self.start, pingTimeout: 5000)
        #expect(session.timePassed(to: self.start + .seconds(4)) == [])
        _ = session.received([UInt8]().span.bytes, at: self.start + .seconds(4))
        #expect(session.timePassed(to: self.start + .seconds(8)) == [])
        #expect(
            session.timePassed(to: self.start + .seconds(9))
                == [.close(.pingTimedOut, ClientError(.lost, "the server sent no ping for 5.0 seconds"))])
        #expect(session.phase == .closed)
    }

    @Test func `a server that does not answer the handshake is left with 4007`() {
        var session = ClientSession(openedAt: self.start, connectTimeout: .seconds(20))
        _ = session.start(authToken: nil)
        #expect(
            session.timePassed(to: self.start + .seconds(20))
                == [
                    .close(
                        .connectTimedOut, ClientError(.unreachable, "the server did not answer the handshake in time"))
                ])
    }

    @Test func `subscriptions and publishes are answered by their call IDs`() throws {
        var session = ClientSession.opened(at: self.start)
        let data = try JSONText(validating: "[1]")
        #expect(
            session.subscribe("a") == [.send(.subscribe(channel: "a", data: nil, waitForAuth: false, callID: 2), .v2)])
        #expect(
            session.subscribe("b") == [.send(.subscribe(channel: "b", data: nil, waitForAuth: false, callID: 3), .v2)])
        #expect(session.publish("a", data, number: 7) == [.send(.publish(channel: "a", data: data, callID: 4), .v2)])
        #expect(session.publish("b", nil, number: 8) == [.send(.publish(channel: "b", data: nil, callID: 5), .v2)])
        #expect(
            session.hears(#"{"rid":3,"error":{"name":"X","message":"no"}}"#) == [
                .subscribeRefused("b", reason: "X: no")
            ])
        #expect(session.hears(#"{"rid":2}"#) == [.subscribed("a")])
        #expect(
            session.hears(#"[{"rid":5,"error":"full"},{"rid":4}]"#) == [.publishRefused(8, reason: "full"), .acked(7)])
        #expect(session.hears(#"{"rid":4}"#) == [])
        #expect(session.hears(#"{"rid":99}"#) == [])
    }

    @Test func `publishes are delivered as ranges of what was received`() {
        var session = ClientSession.opened(at: self.start)
        let text = ##"{"event":"#publish","data":{"channel":"n\u0065ws","data": {"a": 1} }}"##
        guard case .deliver("news", let range?)? = session.hears(text).first else {
            Issue.record("nothing was delivered")
            return
        }
        #expect(String(decoding: Array(text.utf8)[range], as: UTF8.self) == #"{"a": 1}"#)
        #expect(session.hears(##"{"event":"#publish","data":{"channel":"x"}}"##) == [.deliver(channel: "x", data: nil)])
        #expect(
            session.hears(##"{"event":"#kickOut","data":{"channel":"x","message":"bye"}}"##) == [
                .kickedOut("x", reason: "bye")
            ])
    }

    @Test(arguments: [
        "junk", "{}", "[]", "[[]]", "null", #"{"event":5}"#, ##"{"event":"#publish"}"##,
        ##"{"event":"#publish","data":{"channel":5}}"##,
        #"{"event":"custom","cid":4}"#, ##"{"event":"#disconnect","data":{"code":1}}"##, "#2", "\u{FEFF}{}",
    ])
    func `what has no meaning for a client is passed over`(_ text: String) {
        var session = ClientSession.opened(at: self.start)
        #expect(session.hears(text) == [])
        #expect(session.phase == .open)
    }

    @Test func `a handshake answer of strange types is one that says nothing`() {
        for data in [
            "5", "[]", #"{"pingTimeout":"x","isAuthenticated":1}"#, #"{"pingTimeout":-5}"#, #"{"pingTimeout":1e400}"#,
        ] {
            var session = ClientSession(openedAt: self.start, connectTimeout: .seconds(20))
            _ = session.start(authToken: nil)
            #expect(session.hears(#"{"rid":1,"data":\#(data)}"#) == [.opened(isAuthenticated: false, authError: nil)])
        }
    }
}

extension ClientSession {
    fileprivate mutating func hears(_ text: String) -> [Action] {
        self.received(Array(text.utf8).span.bytes, at: .now)
    }

    fileprivate static func opened(at now: Instant, pingTimeout: Int = 20_000) -> ClientSession {
        var session = ClientSession(openedAt: now, connectTimeout: .seconds(20))
        _ = session.start(authToken: nil)
        let answer = #"{"rid":1,"data":{"id":"x","pingTimeout":\#(pingTimeout),"isAuthenticated":false}}"#
        _ = session.received(Array(answer.utf8).span.bytes, at: now)
        return session
    }
}
