import LinkspanCore
import Testing

private let socketID = "AAAAAAAAAAAAAAAAAAAB"

/// The table of malformed and unusual input in the description of the protocol, in both protocols, after the handshake.
@Suite struct ConnectionMalformedInputTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var input: String
        var v1: [String]
        var v2: [String]

        init(_ input: String, v1: [String] = [], v2: [String] = []) {
            self.input = input
            self.v1 = v1
            self.v2 = v2
        }

        var testDescription: String { self.input }

        static func error(_ name: String, _ message: String) -> [String] {
            [#"{"rid":7,"error":{"message":"\#(message)","name":"\#(name)"}}"#]
        }
    }

    static let rows: [Row] = [
        Row("plain text"), Row("{"), Row("123"), Row("null"), Row(#""text""#), Row("{}"), Row("[]"), Row("[[]]"),
        Row(#"[[{"event":"a"}]]"#), Row("\u{FEFF}{}"), Row("#1"),
        Row(#"{"event":5,"cid":7}"#),
        Row(#"{"rid":99}"#, v1: ["response 99"], v2: ["response 99"]),
        Row(#"{"rid":"x"}"#),
        Row(#"{"event":"unknown","cid":7}"#, v1: ["event unknown call 7"], v2: ["event unknown call 7"]),
        Row(##"{"event":"#unknown","cid":7}"##, v1: ["event #unknown call 7"], v2: ["event #unknown call 7"]),
        Row(
            ##"{"event":"#subscribe","cid":7}"##,
            v1: Row.error(
                "BrokerError",
                "Failed to subscribe socket to the undefined channel - Socket \(socketID) provided an invalid channel name"
            ),
            v2: Row.error("InvalidActionError", "Subscribe channel name was malformatted")),
        Row(
            ##"{"event":"#subscribe","data":{"channel":5},"cid":7}"##,
            v1: Row.error(
                "BrokerError",
                "Failed to subscribe socket to the 5 channel - Socket \(socketID) provided an invalid channel name"),
            v2: Row.error("InvalidActionError", "Subscribe channel name was malformatted")),
        Row(
            ##"{"event":"#subscribe","data":{"channel":"\ud800"},"cid":7}"##,
            v1: Row.error(
                "BrokerError",
                "Failed to subscribe socket to the \u{FFFD} channel - Socket \(socketID) provided an invalid channel name"
            ),
            v2: Row.error("InvalidActionError", "Subscribe channel name was malformatted")),
        Row(
            ##"{"event":"#publish","cid":7}"##,
            v1: Row.error("BrokerError", "Socket \(socketID) tried to publish to an invalid undefined channel"),
            v2: Row.error("InvalidActionError", "Publish channel name was malformatted")),
        Row(##"{"event":"#publish"}"##),
        Row(##"{"event":"#publish","data":{"channel":{}}}"##),
        Row(
            ##"{"event":"#unsubscribe","data":{"channel":"foo"},"cid":7}"##,
            v1: Row.error(
                "BrokerError",
                "Failed to unsubscribe socket from the [object Object] channel - Socket \(socketID) tried to unsubscribe from an invalid channel name"
            ),
            v2: Row.error("InvalidActionError", "Unsubscribe channel name was malformatted")),
        Row(##"{"event":"#unsubscribe","data":5}"##),
        Row(
            ##"{"event":"#unsubscribe","data":"foo","cid":7}"##,
            v1: Row.error(
                "BrokerError",
                "Failed to unsubscribe socket from the foo channel - Socket \(socketID) tried to unsubscribe from a channel which it is not subscribed to"
            ),
            v2: Row.error(
                "BrokerError",
                "Failed to unsubscribe socket from the foo channel - InvalidActionError: Socket \(socketID) tried to unsubscribe from a channel which it is not subscribed to"
            )),
        Row(##"{"event":"#unsubscribe","data":"foo"}"##),
    ]

    @Test(arguments: rows) func `protocol 1`(row: Row) {
        var client = ConnectionConversation.opened(.v1)
        #expect(client.hears(row.input) == row.v1)
        #expect(client.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":8}"##).last == #"{"rid":8}"#)
    }

    @Test(arguments: rows) func `protocol 2`(row: Row) {
        var client = ConnectionConversation.opened(.v2)
        #expect(client.hears(row.input) == row.v2)
        #expect(client.hears(##"{"event":"#publish","data":{"channel":"a"},"cid":8}"##).last == #"{"rid":8}"#)
    }
}
