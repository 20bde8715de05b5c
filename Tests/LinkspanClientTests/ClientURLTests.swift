internal import TestSupport
internal import Testing

@testable internal import LinkspanClient

struct ClientURLTests {
    @Test(arguments: [
        ("ws://h", "ws://h:80/socketcluster/"), ("wss://h", "wss://h:443/socketcluster/"),
        ("WS://h:8000/", "ws://h:8000/"),
        ("ws://h:8000/a/b?c=d#e", "ws://h:8000/a/b?c=d"), ("ws://h?x=1", "ws://h:80/socketcluster/?x=1"),
        ("ws://[::1]:8000/x", "ws://[::1]:8000/x"), ("wss://[::1]/x", "wss://[::1]:443/x"),
        ("ws://127.0.0.1:1", "ws://127.0.0.1:1/socketcluster/"),
    ])
    func `what a URL leaves out is SocketCluster's default`(_ text: String, _ expected: String) throws {
        #expect(try ClientURL(text).description == expected)
    }

    @Test(arguments: [
        ("http://h/", "expected ws://host:port/ or wss://host:port/, found \"http://h/\""),
        ("", "expected ws://host:port/ or wss://host:port/, found \"\""),
        ("ws://", "\"ws://\" names no host"), ("ws://:80", "\"ws://:80\" names no host"),
        ("ws://h:0", "\"ws://h:0\" has no port from 1 to 65535"),
        ("ws://h:65536", "\"ws://h:65536\" has no port from 1 to 65535"),
        ("ws://h:x", "\"ws://h:x\" has no port from 1 to 65535"), ("ws://h h/", "\"ws://h h/\" names no host"),
        ("ws://h/a b", "the path of \"ws://h/a b\" has characters that must be percent escapes"),
        ("ws://h/a\r\nX: y", "the path of \"ws://h/a\r\nX: y\" has characters that must be percent escapes"),
    ])
    func `a bad URL is refused with words`(_ text: String, _ message: String) {
        #expect(throws: ClientError(.badURL, message)) { try ClientURL(text) }
    }

    @Test func `credentials are refused and not repeated`() {
        #expect {
            try ClientURL("ws://user:geheim@h/")
        } throws: { error in
            !"\(error)".contains("geheim")
        }
    }

    @Test func `pauses double up to their limit, each between half and all of it`() {
        var random = SeededRandom(for: "pauses")
        for _ in 0..<200 {
            var pause = ReconnectPause(initial: .milliseconds(100), maximum: .milliseconds(900))
            for whole in [100, 200, 400, 800, 900, 900] {
                let delay = pause.failed(using: &random)
                #expect(delay >= .milliseconds(whole) / 2 && delay <= .milliseconds(whole))
            }
            pause.succeeded()
            #expect(pause.failed(using: &random) <= .milliseconds(100))
        }
    }
}
