internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import Testing

/// Default, file, environment, flag: the later one wins.
struct PrecedenceTests {
    private let text = "version: 1\nserver: { clients: { port: 1 } }"
    private let flag = ["server.clients.port": FlagOverride(name: "--port", text: "3")]

    @Test func `a flag wins over the environment, that over the file, that over the default`() throws {
        let environment = ["LINKSPAN_SERVER_CLIENTS_PORT": "2"]
        #expect(try settings("version: 1").server.port == 8000)
        #expect(try settings(self.text).server.port == 1)
        #expect(try settings(self.text, environment: environment).server.port == 2)
        #expect(try settings(self.text, environment: environment, flags: self.flag).server.port == 3)
    }

    @Test func `an empty variable is one that is not set`() throws {
        #expect(try settings(self.text, environment: ["LINKSPAN_SERVER_CLIENTS_PORT": ""]).server.port == 1)
        #expect(try settings(self.text, environment: ["LINKSPAN_NONSENSE": ""]).server.port == 1)
    }

    @Test func `variables reach into brokers and bridges by name`() throws {
        let settings = try settings(
            "version: 1\nbrokers: { plant-a: { type: plain, urls: plain://h } }\nbridges: { plant.a: { broker: plant-a } }"
                .replacing("plant.a", with: "plant"),
            environment: [
                "LINKSPAN_BROKERS_PLANT_A_URLS": "plain://x,plain://y", "LINKSPAN_BROKERS_PLANT_A_PLAIN_WINDOW": "7",
                "LINKSPAN_BROKERS_PLANT_A_PASSWORD": "geheim", "LINKSPAN_BRIDGES_PLANT_RETRY_MAX": "10s",
                "LINKSPAN_BRIDGES_PLANT_CHANNELS_INCLUDE": "a/**, b",
            ])
        let broker = try #require(settings.upstreams["plant-a"])
        #expect(broker.urls.map(\.host) == ["x", "y"])
        #expect(broker.options["window"] == .integer(7))
        #expect(broker.password == Secret("geheim"))
        #expect(settings.bridges[0].retryMaximum == .seconds(10))
        #expect(settings.bridges[0].include == ["a/**", "b"])
    }

    @Test func `an unknown variable is an error with a suggestion`() {
        #expect(
            complaints(withBridge(), environment: ["LINKSPAN_BRIDGES_ONE_RETRY_MAXX": "10s"])
                == "LINKSPAN_BRIDGES_ONE_RETRY_MAXX: unknown environment variable\n    did you mean LINKSPAN_BRIDGES_ONE_RETRY_MAX?"
        )
    }

    @Test func `a wrong value of a variable is told by its name`() {
        #expect(
            complaints("version: 1", environment: ["LINKSPAN_SERVER_CLIENTS_PORT": "many"])
                == "LINKSPAN_SERVER_CLIENTS_PORT: server.clients.port: expected a whole number from 0 to 65535, found \"many\""
        )
    }

    @Test func `a variable that may mean two values is refused`() {
        let text =
            "version: 1\nbrokers:\n  a-b: { type: plain, urls: plain://h }\n  a_b: { type: plain, urls: plain://h }"
        #expect(
            complaints(text, environment: ["LINKSPAN_BROKERS_A_B_USERNAME": "u"])
                == "LINKSPAN_BROKERS_A_B_USERNAME: it may mean brokers.a-b.username or brokers.a_b.username\n    set them in the file"
        )
    }

    @Test func `text is completed from the environment and from files`() throws {
        let site = { (text: String) in
            try settings(
                "version: 1\ninstance: { id: a, site: \"\(text)\" }", environment: ["A": "alpha", "EMPTY": ""],
                files: ["/f": "file\n", "/g": "two\r\n"]
            ).instance.site
        }
        #expect(try site("${A}") == "alpha")
        #expect(try site("<${A}|${A}>") == "<alpha|alpha>")
        #expect(try site("${B:-beta}") == "beta")
        #expect(try site("${EMPTY:-beta}") == "beta")
        #expect(try site("${A:-beta}") == "alpha")
        #expect(try site("${A:?no}") == "alpha")
        #expect(try site("${file:/f}") == "file")
        #expect(try site("${file:/g}") == "two")
        #expect(try site("$$5 and $SYS and ${EMPTY}.") == "$5 and $SYS and .")
        #expect(try settings("version: 1\ninstance: { id: \"${HOSTNAME}\" }").instance.id.string == "host-1")
        #expect(try settings("version: 1\nserver: { clients: { port: \"${P:-9}\" } }").server.port == 9)
    }

    @Test func `what a variable or file says is not shown when it is wrong`() {
        let text = "version: 1\nserver: { clients: { port: \"${file:/secret}\" } }"
        let complaint = complaints(text, files: ["/secret": "geheim"])
        #expect(!complaint.contains("geheim"))
        #expect(
            complaint
                == "bridges.yaml:2:28: server.clients.port: expected a whole number from 0 to 65535, "
                + "found the value of \"${file:/secret}\", which is not shown")
    }

    @Test func `a password is never printed`() throws {
        let settings = try settings(
            "version: 1\nbrokers: { h: { type: plain, urls: plain://h, password: \"${P}\" } }",
            environment: ["P": "geheim"])
        var dumped = ""
        dump(settings, to: &dumped)
        #expect(!dumped.contains("geheim"))
        #expect(!"\(settings)".contains("geheim"))
        #expect("\(settings)".contains("<redacted>"))
    }
}
