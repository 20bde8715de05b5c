import LinkspanWire
import Testing

struct ClientDecoderTests {
    private static func decode(_ text: String) -> [String] {
        DecodedText(text).fromClient()
    }

    @Test(arguments: [
        (##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##, "handshake token=- cid=1"),
        (##"{"event":"#handshake","data":{"authToken":"a.b.c"},"cid":57}"##, ##"handshake token="a.b.c" cid=57"##),
        (##"{"event":"#handshake","data":{"authToken":123},"cid":1}"##, "handshake token=123 cid=1"),
        (##"{"event":"#handshake","data":{},"cid":1}"##, "handshake token=- cid=1"),
        (##"{"event":"#handshake","data":null,"cid":1}"##, "handshake token=- cid=1"),
        (##"{"event":"#handshake"}"##, "handshake token=- cid=-"),
        (##"{"event":"#authenticate","data":"a.b.c","cid":2}"##, ##"authenticate token="a.b.c" cid=2"##),
        (##"{"event":"#authenticate","data":null,"cid":2}"##, "authenticate token=- cid=2"),
        (##"{"event":"#removeAuthToken","cid":2}"##, "removeAuthToken"),
        (##"{"event":"#subscribe","data":{"channel":"foo"},"cid":2}"##, "subscribe channel=foo data=- cid=2"),
        (
            ##"{"event":"#subscribe","data":{"channel":"foo","data":{"a":1},"waitForAuth":true,"batch":true},"cid":2}"##,
            ##"subscribe channel=foo data={"a":1} cid=2 waitForAuth batch"##
        ),
        (
            ##"{"event":"#subscribe","data":{"waitForAuth":1,"batch":"yes","channel":"foo"}}"##,
            "subscribe channel=foo data=- cid=-"
        ),
        (##"{"event":"#subscribe","data":"foo","cid":2}"##, "subscribe channel=foo data=- cid=2 bare"),
        (##"{"event":"#subscribe","cid":2}"##, "subscribe channel missing data=- cid=2"),
        (##"{"event":"#subscribe","data":{"channel":5},"cid":2}"##, "subscribe channel malformed 5 data=- cid=2"),
        (##"{"event":"#subscribe","data":[],"cid":2}"##, "subscribe channel missing data=- cid=2"),
        (##"{"event":"#unsubscribe","data":"foo"}"##, "unsubscribe channel=foo cid=-"),
        (
            ##"{"event":"#unsubscribe","data":{"channel":"foo"},"cid":3}"##,
            ##"unsubscribe channel malformed {"channel":"foo"} cid=3"##
        ),
        (##"{"event":"#unsubscribe","cid":3}"##, "unsubscribe channel missing cid=3"),
        (##"{"event":"#publish","data":{"channel":"","data":[1]},"cid":4}"##, "publish channel= data=[1] cid=4"),
        (##"{"event":"#publish","data":{"channel":"foo"}}"##, "publish channel=foo data=- cid=-"),
        (##"{"event":"#publish","data":{"channel":"foo","data":null}}"##, "publish channel=foo data=null cid=-"),
        (##"{"event":"#publish","data":{"data":1}}"##, "publish channel missing data=1 cid=-"),
        (##"{"event":"#publish"}"##, "publish channel missing data=- cid=-"),
        (##"{"event":"#publish","data":"foo"}"##, "publish channel missing data=- cid=-"),
        (##"{"event":"#disconnect","data":{"code":4999,"data":"bye"}}"##, ##"disconnect code=4999 data="bye""##),
        (##"{"event":"#disconnect","data":{"code":"x"}}"##, "disconnect code=- data=-"),
        (##"{"event":"#disconnect"}"##, "disconnect code=- data=-"),
        (##"{"event":"login","data":{"user":"bob"},"cid":5}"##, ##"event login data={"user":"bob"} cid=5"##),
        (##"{"event":"hello"}"##, "event hello data=- cid=-"),
        (##"{"event":""}"##, "event  data=- cid=-"),
        (##"{"event":"#other","data":null,"cid":5}"##, "event #other data=null cid=5"),
        (##"{"event":"#Publish","data":{"channel":"foo"}}"##, ##"event #Publish data={"channel":"foo"} cid=-"##),
        (##"{"event":"#publish ","data":1}"##, "event #publish  data=1 cid=-"),
        (##"{"event":"#setAuthToken","data":1}"##, "event #setAuthToken data=1 cid=-"),
        (##"{"rid":1,"data":{"a":1}}"##, ##"response rid=1 data={"a":1} error=-"##),
        (##"{"rid":1,"error":{"message":"no"}}"##, ##"response rid=1 data=- error={"message":"no"}"##),
        (##"{"rid":0,"error":null}"##, "response rid=0 data=- error=-"),
        (##"{"rid":-1.5}"##, "response rid=-1.5 data=- error=-"),
        (##"{"rid":"1"}"##, "raw notPacket"), (##"{"rid":null}"##, "raw notPacket"), ("{}", "raw notPacket"),
        (##"{"event":5,"cid":1}"##, "raw notPacket"), (##"{"event":5,"rid":1}"##, "response rid=1 data=- error=-"),
        (##"{"event":null}"##, "raw notPacket"), (##"{"event":{"a":1}}"##, "raw notPacket"),
    ])
    func `a packet is read as what it is`(text: String, expected: String) {
        #expect(Self.decode(text) == [expected])
    }

    @Test func `an empty message and #2 are pongs, #1 is not`() {
        #expect(Self.decode("") == ["pong v2"])
        #expect(Self.decode("#2") == ["pong v1"])
        #expect(Self.decode("#1") == ["raw notJSON"])
        #expect(Self.decode("#2 ") == ["raw notJSON"])
        #expect(Self.decode(" ") == ["raw notJSON"])
    }

    @Test(arguments: [
        "hello", "123", "null", "true", "\"text\"", "{", "[", "{\"event\":\"a\"", "{\"event\":\"a\"}}", "\u{FEFF}{}",
        "{\"event\":\"a\",}",
        "\u{0B}{}",
    ])
    func `what is no JSON container is raw`(text: String) {
        #expect(Self.decode(text) == ["raw notJSON"])
    }

    @Test func `bytes that are not UTF-8 are told apart, wherever they stand`() {
        for text in ["{\"event\":\"a\u{1}", "{\"event\":\"a\",\"data\":{\"x\":[\"\u{1}", "{\"\u{1}"] {
            let bytes = Array(text.utf8).map { $0 == 1 ? 0xFF : $0 } + Array("\"".utf8)
            #expect(DecodedText(bytes).fromClient() == ["raw notUTF8"])
        }
    }

    @Test func `whitespace and unknown keys change nothing`() {
        let text =
            " \r\n\t{ \"x\" : [ 1 , {\"event\":\"no\"} ] , \"event\" : \"#publish\" , \"data\" : { \"extra\" : {\"channel\":\"no\"} , \"channel\" : \"foo\" , \"data\" : [ 1 , 2 ] } , \"cid\" : 3 } \n"
        #expect(Self.decode(text) == ["publish channel=foo data=[ 1 , 2 ] cid=3"])
    }

    @Test func `keys may come in any order`() {
        let members = [##""event":"#publish""##, ##""data":{"data":7,"channel":"foo"}"##, ##""cid":9"##, ##""z":0"##]
        for first in members {
            for second in members where second != first {
                for third in members where third != first && third != second {
                    let fourth = members.first { ![first, second, third].contains($0) } ?? ""
                    let text = "{" + [first, second, third, fourth].joined(separator: ",") + "}"
                    #expect(Self.decode(text) == ["publish channel=foo data=7 cid=9"])
                }
            }
        }
    }

    @Test func `of a repeated key the last counts`() {
        #expect(
            Self.decode(
                ##"{"event":"a","cid":1,"event":"#publish","data":{"channel":"x","data":1},"cid":2,"data":{"channel":"y"}}"##
            )
                == ["publish channel=y data=- cid=2"])
        #expect(
            Self.decode(##"{"event":"#publish","data":{"channel":"x","channel":"y","data":1,"data":2}}"##)
                == ["publish channel=y data=2 cid=-"])
        #expect(
            Self.decode(##"{"event":"#subscribe","data":{"channel":"x"},"data":"z"}"##) == [
                "subscribe channel=z data=- cid=- bare"
            ])
        #expect(
            Self.decode(##"{"event":"#handshake","data":{"authToken":"t"},"data":null}"##) == [
                "handshake token=- cid=-"
            ])
    }

    @Test func `escaped keys and names mean what they say`() {
        #expect(
            Self.decode(
                ##"{"\u0065vent":"\u0023publish","d\u0061ta":{"ch\u0061nnel":"f\u006fo","data":"\u00e9"},"cid":1}"##)
                == [##"publish channel=foo data="\u00e9" cid=1"##])
    }

    @Test func `half a surrogate pair names nothing`() {
        #expect(
            Self.decode(##"{"event":"#subscribe","data":{"channel":"\ud83d"},"cid":1}"##)
                == [##"subscribe channel malformed "\ud83d" data=- cid=1"##])
        #expect(
            Self.decode(##"{"event":"#unsubscribe","data":"a\ude00b"}"##) == [
                ##"unsubscribe channel malformed "a\ude00b" cid=-"##
            ])
        #expect(Self.decode(##"{"event":"#unsubscribe","data":"\ud83d\ude00"}"##) == ["unsubscribe channel=😀 cid=-"])
        #expect(
            Self.decode(##"{"event":"#publish","data":{"channel":"a","data":"\ud83d"}}"##)
                == [##"publish channel=a data="\ud83d" cid=-"##])
    }

    @Test(arguments: [
        ("0", "0"), ("-0", "0"), ("-3", "-3"), ("1.5", "1.5"), ("1e3", "1e3"), ("\"abc\"", "\"abc\""), ("\"\"", "\"\""),
        ("9223372036854775807", "9223372036854775807"), ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775808", "-9223372036854775808"), ("null", "-"), ("true", "-"), ("[]", "-"), ("{}", "-"),
    ])
    func `a call ID is echoed byte for byte, or absent`(cid: String, expected: String) {
        #expect(Self.decode("{\"event\":\"a\",\"cid\":\(cid)}") == ["event a data=- cid=\(expected)"])
    }

    @Test func `only numbers are numbers among call IDs`() {
        #expect(CallID.integer(1).isNumber)
        #expect(CallID.literal("1.5").isNumber)
        #expect(!CallID.literal("\"1\"").isNumber)
    }

    @Test func `a call ID longer than any counter is absent`() {
        let longest = String(repeating: "1", count: CallID.maximumLiteralLength)
        #expect(Self.decode("{\"event\":\"a\",\"cid\":\(longest)}") == ["event a data=- cid=\(longest)"])
        #expect(Self.decode("{\"event\":\"a\",\"cid\":\(longest)1}") == ["event a data=- cid=-"])
    }

    @Test func `a batch gives its packets in order, and what is no packet as raw`() {
        #expect(
            Self.decode(
                ##" [ {"event":"a"} , 5,[{"event":"no"}],{"event":"#publish","data":{"channel":"c"}},{},"s",{"rid":1} ] "##
            )
                == [
                    "event a data=- cid=-", "raw notPacket", "raw notPacket", "publish channel=c data=- cid=-",
                    "raw notPacket", "raw notPacket", "response rid=1 data=- error=-",
                ])
        #expect(Self.decode("[]").isEmpty)
        #expect(Self.decode("[ ]").isEmpty)
    }

    @Test func `a fault in its last element spoils the whole batch`() {
        #expect(Self.decode(##"[{"event":"a"},{"event":"b"]"##) == ["raw notJSON"])
        #expect(Self.decode(##"[{"event":"a"},]"##) == ["raw notJSON"])
        #expect(Self.decode(##"[{"event":"a"}] x"##) == ["raw notJSON"])
    }

    @Test func `a batch past its limit is raw`() {
        let decoder = ClientDecoder(limits: DecodingLimits(batchElements: 2))
        #expect(DecodedText("[{},{}]").fromClient(decoder) == ["raw notPacket", "raw notPacket"])
        #expect(DecodedText("[{},{},{}]").fromClient(decoder) == ["raw tooManyPackets"])
    }

    @Test func `depth counts from the outermost bracket, whatever the packet`() {
        let decoder = ClientDecoder(limits: DecodingLimits(depth: 3))
        #expect(DecodedText(##"{"event":"a","data":[[]]}"##).fromClient(decoder) == ["event a data=[[]] cid=-"])
        #expect(DecodedText(##"{"event":"a","data":[[[]]]}"##).fromClient(decoder) == ["raw tooDeep"])
        #expect(
            DecodedText(##"{"event":"a","data":{"data":{}}}"##).fromClient(decoder) == [
                ##"event a data={"data":{}} cid=-"##
            ])
        #expect(DecodedText(##"{"event":"a","data":{"data":{"x":{}}}}"##).fromClient(decoder) == ["raw tooDeep"])
        #expect(DecodedText(##"[{"event":"a","data":{}}]"##).fromClient(decoder) == ["event a data={} cid=-"])
        #expect(DecodedText(##"[{"event":"a","data":{"x":[]}}]"##).fromClient(decoder) == ["raw tooDeep"])
        let shallow = ClientDecoder(limits: DecodingLimits(depth: 1))
        #expect(DecodedText(##"{"event":"a","data":{}}"##).fromClient(shallow) == ["raw tooDeep"])
        #expect(DecodedText(##"{"event":"a","data":1}"##).fromClient(shallow) == ["event a data=1 cid=-"])
    }

    @Test func `twenty thousand brackets are raw and nothing worse`() {
        let text = ##"{"event":"a","data":"## + String(repeating: "[", count: 20_000)
        #expect(Self.decode(text) == ["raw tooDeep"])
    }
}
