import LinkspanCore
import LinkspanWire
import NIOCore
import Testing

private let socketID = "AAAAAAAAAAAAAAAAAAAB"

@Suite struct ConnectionStateMachineTests {
    // MARK: Handshake

    @Test(arguments: [1, 77]) func `a handshake is answered under its call ID`(callID: Int) {
        var client = ConnectionConversation(.v2)
        #expect(
            client.hears(##"{"event":"#handshake","data":{"authToken":null},"cid":\##(callID)}"##) == [
                #"{"rid":\#(callID),"data":{"id":"\#(socketID)","pingTimeout":20000,"isAuthenticated":false}}"#
            ])
        #expect(client.machine.phase == .open)
    }

    @Test func `a handshake needs no data`() {
        var client = ConnectionConversation(.v2)
        #expect(client.hears(##"{"event":"#handshake","cid":1}"##).count == 1)
        #expect(client.machine.phase == .open)
    }

    @Test(arguments: [##"{"event":"#handshake"}"##, ##"{"event":"#handshake","cid":"1"}"##])
    func `protocol 2 refuses a handshake without a numeric call ID`(handshake: String) {
        var client = ConnectionConversation(.v2)
        #expect(client.hears(handshake) == ["close 4008"])
        #expect(client.hears(##"{"event":"#handshake","cid":1}"##) == [])
    }

    @Test func `protocol 1 opens without an answer when the handshake has no call ID`() {
        var client = ConnectionConversation(.v1)
        #expect(client.hears(##"{"event":"#handshake","data":{}}"##) == [])
        #expect(client.machine.phase == .open)
    }

    @Test func `a listener for both answers a handshake without call ID, and echoes one that is a string`() {
        let answer = #""data":{"id":"\#(socketID)","pingTimeout":20000,"isAuthenticated":false}}"#
        var first = ConnectionConversation(.auto)
        #expect(first.hears(##"{"event":"#handshake"}"##) == ["{" + answer])
        var second = ConnectionConversation(.auto)
        #expect(second.hears(##"{"event":"#handshake","cid":"x"}"##) == [#"{"rid":"x","# + answer])
    }

    @Test(arguments: [
        "junk", "{", "123", #"{"event":"chat"}"#, #"{"event":"call","cid":1}"#, #"{"rid":1}"#, "", "#2",
        ##"{"event":"#publish","data":{"channel":"a"}}"##, ##"{"event":"#subscribe","data":{"channel":"a"},"cid":1}"##,
    ]) func `anything before the handshake closes the connection`(message: String) {
        for choice in ProtocolChoice.allCases {
            var client = ConnectionConversation(choice)
            #expect(client.hears(message) == ["close 4009"])
            #expect(client.hears(message) == [], "nothing follows a close")
        }
    }

    @Test func `a lenient listener lets clients publish before the handshake, and nothing else`() {
        var client = ConnectionConversation(.v2) { $0.requiresHandshakeFirst = false }
        #expect(client.hears("junk") == [])
        #expect(client.hears("") == [])
        #expect(client.hears(#"{"event":"call","cid":3}"#) == [])
        #expect(
            client.hears(##"{"event":"#publish","data":{"channel":"a","data":1},"cid":4}"##) == [
                "publish a 1", #"{"rid":4}"#,
            ])
        #expect(
            client.hears(##"{"event":"#subscribe","data":{"channel":"a"},"cid":5}"##) == [
                #"{"rid":5,"error":{"message":"Cannot subscribe socket to a channel before it has completed the handshake","name":"InvalidActionError"}}"#
            ])
        #expect(client.machine.phase == .awaitingHandshake)
    }

    @Test func `protocol 2 takes the handshake out of an array, protocol 1 does not`() {
        let array = ##"[{"event":"#handshake","cid":1},{"event":"#subscribe","data":{"channel":"a"},"cid":2}]"##
        var second = ConnectionConversation(.v2)
        #expect(second.hears(array).suffix(2) == ["subscribe a", #"{"rid":2}"#])
        var first = ConnectionConversation(.v1)
        #expect(first.hears(array) == ["close 4009"])
    }

    @Test func `a second handshake is answered in protocol 2 and ignored in protocol 1`() {
        var second = ConnectionConversation.opened(.v2)
        #expect(second.hears(##"{"event":"#handshake","cid":9}"##).first?.hasPrefix(#"{"rid":9,"#) == true)
        var first = ConnectionConversation.opened(.v1)
        #expect(first.hears(##"{"event":"#handshake","cid":9}"##) == [])
    }

    // MARK: Tokens

    @Test func `a good token authenticates`() {
        var client = ConnectionConversation(.v2)
        #expect(
            client.hears(##"{"event":"#handshake","data":{"authToken":"a.b.c"},"cid":1}"##) == [
                #"judge "a.b.c""#,
                #"{"rid":1,"data":{"id":"\#(socketID)","pingTimeout":20000,"isAuthenticated":true}}"#,
            ])
        #expect(client.machine.isAuthenticated)
        #expect(client.hears(##"{"event":"#removeAuthToken","cid":5}"##) == ["deauthenticate"])
        #expect(!client.machine.isAuthenticated)
    }

    @Test func `a bad token is removed after the answer in protocol 2 and before it in protocol 1`() {
        let handshake = ##"{"event":"#handshake","data":{"authToken":"x"},"cid":1}"##
        var second = ConnectionConversation(.v2)
        second.verdict = .failed(.tokenInvalid(.malformed, dialect: .v2), isBad: true)
        #expect(
            second.hears(handshake).dropFirst() == [
                #"{"rid":1,"data":{"id":"\#(socketID)","pingTimeout":20000,"authError":{"message":"jwt malformed","name":"AuthTokenInvalidError","isBadToken":true},"isAuthenticated":false}}"#,
                ##"{"event":"#removeAuthToken"}"##,
            ])
        var first = ConnectionConversation(.v1)
        first.verdict = .failed(.tokenInvalid(.malformed, dialect: .v1), isBad: true)
        #expect(first.hears(handshake).dropFirst().first == ##"{"event":"#removeAuthToken","data":null}"##)
    }

    @Test func `authenticate answers what became of the token`() {
        var client = ConnectionConversation.opened(.v2)
        let request = ##"{"event":"#authenticate","data":"t","cid":2}"##
        #expect(client.hears(request).last == #"{"rid":2,"data":{"isAuthenticated":true,"authError":null}}"#)
        client.verdict = .failed(.tokenInvalid(.wrongSignature, dialect: .v2), isBad: true)
        #expect(
            client.hears(request).dropFirst() == [
                #"{"rid":2,"error":{"message":"invalid signature","name":"AuthTokenInvalidError","isBadToken":true}}"#,
                ##"{"event":"#removeAuthToken"}"##,
            ])
        #expect(!client.machine.isAuthenticated)
        #expect(client.hears(##"{"event":"#authenticate","data":"t"}"##) == ["close 4008"])
    }

    // MARK: Subscribing

    @Test func `a subscription is answered each time, and made once`() {
        var client = ConnectionConversation.opened(.v2)
        let request = ##"{"event":"#subscribe","data":{"channel":"news"},"cid":2}"##
        #expect(client.hears(request) == ["subscribe news", #"{"rid":2}"#])
        #expect(client.hears(request) == ["subscribe news", #"{"rid":2}"#])
        #expect(client.machine.subscriptionCount == 1)
    }

    @Test(arguments: ["", "hasOwnProperty", "ünï ☃", #"a\"b\\c"#]) func `any string names a channel`(name: String) {
        var client = ConnectionConversation.opened(.v2)
        let said = client.hears(##"{"event":"#subscribe","data":{"channel":"\##(name)"},"cid":2}"##)
        #expect(said.last == #"{"rid":2}"#)
    }

    @Test func `a subscription without call ID is made for protocol 1 and not for protocol 2`() {
        let request = ##"{"event":"#subscribe","data":{"channel":"a"}}"##
        var first = ConnectionConversation.opened(.v1)
        #expect(first.hears(request) == ["subscribe a"])
        var second = ConnectionConversation.opened(.v2)
        #expect(second.hears(request) == [])
        var both = ConnectionConversation.opened(.auto)
        #expect(both.hears(request) == ["subscribe a"])
    }

    @Test func `a bare string names a channel in protocol 1 only`() {
        let request = ##"{"event":"#subscribe","data":"a","cid":2}"##
        var first = ConnectionConversation.opened(.v1)
        #expect(first.hears(request) == ["subscribe a", #"{"rid":2}"#])
        var second = ConnectionConversation.opened(.v2)
        #expect(
            second.hears(request) == [
                #"{"rid":2,"error":{"message":"Subscribe channel name was malformatted","name":"InvalidActionError"}}"#
            ])
    }

    @Test func `no more channels than the limit, also not one that is subscribed already`() {
        var second = ConnectionConversation.opened(.v2) { $0.limits.channelsPerConnection = 2 }
        for name in ["a", "b"] {
            _ = second.hears(##"{"event":"#subscribe","data":{"channel":"\##(name)"},"cid":2}"##)
        }
        #expect(
            second.hears(##"{"event":"#subscribe","data":{"channel":"b"},"cid":3}"##) == [
                #"{"rid":3,"error":{"message":"Failed to subscribe socket to the b channel - InvalidActionError: Socket \#(socketID) tried to exceed the channel subscription limit of 2","name":"BrokerError"}}"#
            ])
        #expect(second.hears(##"{"event":"#unsubscribe","data":"a","cid":4}"##) == ["unsubscribe a", #"{"rid":4}"#])
        #expect(second.hears(##"{"event":"#subscribe","data":{"channel":"c"},"cid":5}"##).last == #"{"rid":5}"#)
    }

    @Test func `names that are ours or too long are refused`() {
        var client = ConnectionConversation.opened(.auto) { $0.limits.channelNameBytes = 12 }
        #expect(
            client.hears(##"{"event":"#subscribe","data":{"channel":"$linkspan/x"},"cid":2}"##) == [
                #"{"rid":2,"error":{"message":"Channels that begin with `$linkspan/` are reserved: $linkspan/x","name":"InvalidActionError"}}"#
            ])
        #expect(
            client.hears(##"{"event":"#publish","data":{"channel":"\u0024linkspan/x"},"cid":2}"##).first?.contains(
                "reserved") == true)
        #expect(
            client.hears(##"{"event":"#publish","data":{"channel":"thirteen byte"},"cid":3}"##) == [
                #"{"rid":3,"error":{"message":"Channel name is longer than 12 bytes","name":"InvalidActionError"}}"#
            ])
        #expect(
            client.hears(##"{"event":"#publish","data":{"channel":"\u0061\u0061\u0061"},"cid":4}"##) == [
                "publish aaa", #"{"rid":4}"#,
            ])
        #expect(client.hears(##"{"event":"#publish","data":{"channel":"$other"},"cid":5}"##).last == #"{"rid":5}"#)
    }

    // MARK: Time

    @Test func `the handshake has ten seconds`() {
        var client = ConnectionConversation(.v2)
        #expect(client.waits(.milliseconds(9_999)) == ["ping in v2"])
        #expect(client.waits(.milliseconds(1)) == ["close 4005"])
    }

    @Test func `pings count from the opening, and silence from the last pong`() {
        var client = ConnectionConversation.opened(.v2)
        #expect(client.waits(.seconds(8)) == ["ping in v2"])
        #expect(client.hears("") == [])
        #expect(client.waits(.seconds(8)) == ["ping in v2"])
        #expect(client.hears(#"{"event":"chat"}"#) == ["event chat"])
        #expect(client.waits(.seconds(8)) == ["ping in v2"])
        #expect(client.waits(.milliseconds(3_999)) == [])
        #expect(client.waits(.milliseconds(1)) == ["close 4001"])
        #expect(client.waits(.seconds(5)) == ["cut"])
    }

    @Test func `in protocol 1 any message is a sign of life`() {
        var client = ConnectionConversation.opened(.v1)
        #expect(client.waits(.seconds(8)) == ["ping in v1"])
        #expect(client.waits(.seconds(8)) == ["ping in v1"])
        #expect(client.hears(#"{"event":"chat"}"#) == ["event chat"])
        #expect(client.waits(.seconds(8)) == ["ping in v1"])
        #expect(client.waits(.seconds(11)) == ["ping in v1"])
        #expect(client.waits(.seconds(1)) == [##"{"event":"#disconnect","data":{"code":4001}}"##, "close 4001"])
    }

    @Test(arguments: [("#2", "ping in v1"), ("", "ping in v2")]) func `the first pong tells the dialect`(
        pong: String, ping: String
    ) {
        var client = ConnectionConversation.opened(.auto)
        #expect(client.waits(.seconds(8)) == ["ping in both"])
        #expect(client.hears(pong) == [])
        #expect(client.waits(.seconds(8)) == [ping])
        // A client that answers both pings keeps the dialect of its first answer.
        #expect(client.hears(pong == "" ? "#2" : "") == [])
        #expect(client.waits(.seconds(8)) == [ping])
    }

    @Test func `a listener for both does not take a message for a pong before it knows the dialect`() {
        var client = ConnectionConversation.opened(.auto)
        _ = client.waits(.seconds(8))
        _ = client.hears(#"{"event":"chat"}"#)
        _ = client.waits(.seconds(8))
        #expect(client.waits(.seconds(4)) == ["close 4001"])
    }

    @Test func `silence that we caused ourselves closes nothing`() {
        var client = ConnectionConversation.opened(.v2)
        _ = client.waits(.seconds(8))
        #expect(client.waits(.seconds(13), isReadingPaused: true) == ["ping in v2"])
        client.machine.readingResumed(at: client.now, rules: client.rules)
        #expect(client.waits(.seconds(19)) == ["ping in v2"])
        #expect(client.waits(.seconds(1)) == ["close 4001"])
    }

    @Test func `after a long stall one ping is due`() {
        var client = ConnectionConversation.opened(.v2) { $0.timing.pingTimeout = .seconds(100) }
        #expect(client.waits(.seconds(50)) == ["ping in v2"])
        #expect(client.waits(.seconds(1)) == [])
    }

    @Test func `without pings nobody is closed for silence`() {
        var client = ConnectionConversation.opened(.v2) { $0.timing.pingTimeoutDisabled = true }
        #expect(client.waits(.hours(24)) == [])
        #expect(client.machine.liveness.nextDeadline == .distantFuture)
    }

    // MARK: Closing

    @Test func `protocol 1 announces a close and understands an announced one`() {
        var client = ConnectionConversation.turnedOutToSpeak("#2")
        #expect(
            client.hears(##"{"event":"#disconnect","data":{"code":4444,"data":"bye"}}"##) == [
                ##"{"event":"#disconnect","data":{"code":4444}}"##, "close 4444",
            ])
        #expect(client.hears(#"{"event":"chat"}"#) == [])
        var second = ConnectionConversation.turnedOutToSpeak("")
        #expect(second.hears(##"{"event":"#disconnect","data":{"code":4444}}"##) == [])
        #expect(second.closes(.draining) == ["close 4101"])
    }

    @Test(arguments: [1005, 70000, -1]) func `a disconnect with a code that no frame may carry closes normally`(
        code: Int
    ) {
        var client = ConnectionConversation.opened(.v1)
        #expect(client.hears(##"{"event":"#disconnect","data":{"code":\##(code)}}"##).last == "close 1000")
    }

    // MARK: Call IDs

    @Test(arguments: ["0", "-4", "1.5", "1e3"]) func `protocol 2 echoes any number`(callID: String) {
        var client = ConnectionConversation.opened(.v2)
        #expect(
            client.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":\##(callID)}"##) == [
                "publish a", #"{"rid":\#(callID)}"#,
            ])
    }

    @Test func `protocol 1 takes 0 for none and answers strings, protocol 2 takes strings for none`() {
        var first = ConnectionConversation.opened(.v1)
        #expect(first.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":0}"##) == ["publish a"])
        #expect(
            first.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":"x"}"##) == ["publish a", #"{"rid":"x"}"#])
        var second = ConnectionConversation.opened(.v2)
        #expect(second.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":"x"}"##) == ["publish a"])
        #expect(second.hears(#"{"event":"call","cid":"x"}"#) == ["event call"])
    }

    @Test func `publishing can be switched off`() {
        var client = ConnectionConversation.opened(.v2) { $0.allowsClientPublish = false }
        #expect(
            client.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":2}"##) == [
                #"{"rid":2,"error":{"message":"Client publish feature is disabled","name":"InvalidActionError"}}"#
            ])
        #expect(client.hears(##"{"event":"#publish","data":{"channel":"a"}}"##) == [])
    }
}
