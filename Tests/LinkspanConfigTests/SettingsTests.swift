internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import Testing

/// What a right configuration becomes.
struct SettingsTests {
    @Test func `a file with only a version has every default`() throws {
        let settings = try settings("version: 1")
        #expect(settings.instance.id.string == "host-1")
        #expect(settings.server == ServerSettings())
        #expect(settings.upstreams.isEmpty)
        #expect(settings.bridges.isEmpty)
    }

    @Test func `every key of the server arrives`() throws {
        let server = try settings(
            """
            version: 1
            server:
              clients:
                { host: 127.0.0.1, port: 1, path: /x, protocol: 1, codec: minbin, compression: { level: 1, minimum: 2KiB } }
              listeners:
                old: { host: "::1", port: 2, path: /y, protocol: 2, codec: json }
                plain: { port: 3, compression: {} }
              origins: [ "https://a.example", "http://b.example:8080" ]
              client_publish: false
              strict_handshake: false
              event_loops: 3
              io_uring: false
              timing:
                { handshake_timeout: 1s, ping_interval: 2s, ping_timeout: 3s, ping_timeout_disabled: true, ack_timeout: 4s }
              limits:
                connections: 1
                channels_per_connection: 2
                channel_name: 3B
                message: 4KiB
                outbound: 5KiB
                json_depth: 6
                publishes_per_second: 7
                batch: 8
              batching:
                { on_handshake: true, handshake_duration: 1s, interval: 2ms, size: 3KiB, subscribe_window: 4ms }
            """
        ).server
        var expected = ServerSettings()
        expected.host = "127.0.0.1"
        expected.port = 1
        expected.path = "/x"
        expected.protocolChoice = .v1
        expected.codec = .minBin
        expected.compression = CompressionSettings(level: 1, minimumBytes: 2048)
        var old = ListenerSettings(port: 2)
        old.host = "::1"
        old.path = "/y"
        old.protocolChoice = .v2
        old.codec = .json
        var plain = ListenerSettings(port: 3)
        plain.compression = CompressionSettings()
        expected.moreListeners = [old, plain]
        expected.origins = ["https://a.example", "http://b.example:8080"]
        expected.allowsClientPublish = false
        expected.requiresHandshakeFirst = false
        expected.eventLoops = 3
        expected.usesIOUring = false
        expected.timing.handshakeTimeout = .seconds(1)
        expected.timing.pingInterval = .seconds(2)
        expected.timing.pingTimeout = .seconds(3)
        expected.timing.pingTimeoutDisabled = true
        expected.timing.ackTimeout = .seconds(4)
        expected.limits.connections = 1
        expected.limits.channelsPerConnection = 2
        expected.limits.channelNameBytes = 3
        expected.limits.messageBytes = 4096
        expected.limits.outboundBytes = 5120
        expected.limits.jsonDepth = 6
        expected.limits.publishesPerSecond = 7
        expected.limits.batchElements = 8
        expected.batching.onHandshake = true
        expected.batching.handshakeDuration = .seconds(1)
        expected.batching.interval = .milliseconds(2)
        expected.batching.bytes = 3072
        expected.batching.subscribeWindow = .milliseconds(4)
        #expect(server == expected)
    }

    @Test func `a broker arrives with the defaults of its options`() throws {
        let broker = try #require(
            try settings(
                """
                version: 1
                brokers:
                  hub:
                    type: plain
                    urls: [ "plain://a", "plains://[::1]:5/x%2Fy" ]
                    username: u
                    password: "${SECRET}"
                    tls: { ca: ca.pem, certificate: c.pem, key: k.pem }
                    plain: { mode: streams, keepalive: 1m, retain: true }
                """, environment: ["SECRET": "geheim"]
            ).upstreams["hub"])
        #expect(
            broker.urls == [
                UpstreamURL(scheme: "plain", host: "a", port: 1000),
                UpstreamURL(scheme: "plains", host: "::1", port: 5, path: "x/y"),
            ])
        #expect(broker.username == "u")
        #expect(broker.password == Secret("geheim"))
        #expect(broker.tls == TLSFiles(authorities: "ca.pem", certificate: "c.pem", key: "k.pem"))
        #expect(broker.optionsPath == "brokers.hub.plain")
        #expect(
            broker.options == [
                "mode": .text("streams"), "window": .integer(10), "keepalive": .duration(.seconds(60)),
                "block": .size(4096),
                "retain": .boolean(true), "client": .text("linkspan"),
            ])
    }

    @Test func `every key of a bridge arrives`() throws {
        let rule = try #require(
            try settings(
                withBridge(
                    "channels: { include: [ \"a/**\" ], exclude: [ \"a/b\" ] }", "direction: out",
                    "events: [ publish, subscribe ]", "name: \"x/{channel}\"", "interest: on_demand", "linger: 1s",
                    "buffer: { type: memory, size: 1MiB, age: 2m, when_full: drop_newest }",
                    "retry: { initial: 1s, max: 2s }",
                    "max_hops: 3", "required: true", "promises: reported",
                    "transit: [ two ]") + "  two: { broker: hub, channels: a }"
            ).bridges.first)
        #expect(rule.name == "one")
        #expect(rule.upstream == "hub")
        #expect(rule.include == ["a/**"])
        #expect(rule.exclude == ["a/b"])
        #expect(rule.direction == .egress)
        #expect(rule.events == [.publish, .subscribe])
        #expect(rule.nameTemplate == "x/{channel}")
        #expect(rule.interest == .onDemand)
        #expect(rule.linger == .seconds(1))
        #expect(rule.buffer.sizeBytes == 1 << 20)
        #expect(rule.buffer.age == .seconds(120))
        #expect(rule.buffer.whenFull == .dropNewest)
        #expect(rule.retryInitial == .seconds(1))
        #expect(rule.retryMaximum == .seconds(2))
        #expect(rule.maximumHops == 3)
        #expect(rule.isRequired)
        #expect(rule.promises == .reported)
        #expect(rule.transit == ["two"])
    }

    @Test func `channels may be a list, a single glob or a block`() throws {
        for (text, include) in [
            ("[ \"a\", \"b\" ]", ["a", "b"]), ("a", ["a"]), ("{ include: a }", ["a"]), ("", ["**"]),
        ] {
            #expect(try settings(withBridge("channels: \(text)")).bridges[0].include == include)
        }
    }

    @Test func `bridges keep the order of the file`() throws {
        let text = "version: 1\nbrokers: { h: { type: plain, urls: plain://h } }\nbridges:\n"
        let names = ["z", "a", "m", "b"]
        let settings = try settings(text + names.map { "  \($0): { broker: h }\n" }.joined())
        #expect(settings.bridges.map(\.name) == names)
    }

    @Test func `aliases repeat what an anchor names`() throws {
        let settings = try settings(
            """
            version: 1
            brokers: { h: { type: plain, urls: plain://h } }
            bridges:
              a: { broker: h, retry: &slow { initial: 5s, max: 50s } }
              b: { broker: h, retry: *slow }
            """)
        #expect(settings.bridges.map(\.retryMaximum) == [.seconds(50), .seconds(50)])
    }

    @Test(arguments: [
        ("500ms", Duration.milliseconds(500)), ("5s", .seconds(5)), ("2m", .seconds(120)), ("1h", .seconds(3600)),
        ("1h30m", .seconds(5400)), ("0s", .zero),
    ])
    func `durations are read as people write them`(_ text: String, _ duration: Duration) {
        #expect(Quantity.duration(text) == duration)
    }

    @Test(arguments: ["", "5", "s", "5 s", "-5s", "1.5s", "5S", "5s5", "99999999999999999999s", "9223372036854775807h"])
    func `anything else is no duration`(_ text: String) {
        #expect(Quantity.duration(text) == nil)
    }

    @Test(arguments: [("1B", 1), ("64KiB", 65_536), ("10MB", 10_000_000), ("2GiB", 2 << 30), ("3kB", 3000)])
    func `sizes are read as people write them`(_ text: String, _ bytes: Int) {
        #expect(Quantity.size(text) == bytes)
    }

    @Test(arguments: ["", "5", "KiB", "-1B", "1.5MiB", "1kib", "99999999999999999999B", "9223372036854775807GiB"])
    func `anything else is no size`(_ text: String) {
        #expect(Quantity.size(text) == nil)
    }
}
