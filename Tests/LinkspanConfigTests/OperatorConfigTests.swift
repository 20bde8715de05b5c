internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import Testing

/// `server.operator`: off unless given, and never without a key.
struct OperatorConfigTests {
    private static let key = "0123456789abcdef0123456789abcdef"

    @Test func `there is no operator port unless it is given`() throws {
        #expect(try settings("version: 1\nserver: { clients: { port: 1 } }").server.operatorPort == nil)
    }

    @Test func `every key of operator arrives`() throws {
        let files = ["/run/secrets/operator": Self.key + "\n"]
        let text =
            "version: 1\nserver: { operator: { host: 0.0.0.0, port: 9, key: \"${file:/run/secrets/operator}\" } }"
        var expected = OperatorSettings(key: Secret(Self.key))
        expected.host = "0.0.0.0"
        expected.port = 9
        #expect(try settings(text, files: files).server.operatorPort == expected)
    }

    @Test func `a key in the environment is enough, and the port stays on loopback`() throws {
        let server = try settings("version: 1", environment: ["LINKSPAN_SERVER_OPERATOR_KEY": Self.key]).server
        #expect(server.operatorPort == OperatorSettings(key: Secret(Self.key)))
        #expect(server.operatorPort?.host == "127.0.0.1")
    }

    @Test func `a port without a key is refused`() {
        #expect(
            complaints("version: 1\nserver: { operator: { port: 9 } }")
                == """
                bridges.yaml:2:21: server.operator: a key is needed, also on loopback
                    make one with openssl rand -hex 32, and give it as LINKSPAN_SERVER_OPERATOR_KEY or a file
                """)
    }

    @Test func `a short key is warned about, and not shown`() {
        let text = complaints("version: 1\nserver: { operator: { key: geheim } }")
        #expect(text.contains("server.operator: key has less than 16 bytes and may be guessed"))
        #expect(!text.contains("geheim"))
    }
}
