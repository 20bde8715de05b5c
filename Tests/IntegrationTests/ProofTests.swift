internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer
internal import TestSupport
internal import Testing

/// What probes find out about real brokers whose connections look healthy.
@Suite(.serialized)
struct ProofTests {
    private static func bridges(_ further: String = "") -> String {
        """
          up:
            broker: up
            required: true
            retry: { initial: 50ms, max: 500ms }
            probe: { every: 500ms, deadline: 2s }
            \(further)
        """
    }

    /// The bridges' own signs of life come too late to be what finds the fault.
    private static func patient(_ configuration: String) -> String {
        configuration.replacing("keepalive: 5s", with: "keepalive: 10m")
            .replacing("ping_interval: 1s, ping_timeout: 3s", with: "ping_interval: 5m, ping_timeout: 10m")
            .replacing("heartbeat: 2s", with: "heartbeat: 5m")
    }

    private func proven(_ instance: EmbeddedInstance, after restarts: UInt64 = 0) async throws {
        do {
            _ = try await eventually(within: .seconds(60), "proof") { () -> Bool? in
                guard let probe = instance.bridge.probe else { return nil }
                return instance.bridge.isReady && probe.restartCount >= restarts && probe.returnedCount > 0 ? true : nil
            }
        } catch let error as TimedOut {
            throw TimedOut(what: error.what, limit: error.limit, seen: "\(instance.bridge)")
        }
    }

    @Test(arguments: [(UpstreamKind.mqtt, false), (.redis, false), (.redis, true), (.amqp, true)])
    func `connections that stand and carry nothing are found, and begun anew`(
        _ kind: UpstreamKind, _ isKept: Bool
    ) async throws {
        guard kind.isAvailable else { return }
        try await kind.withCalm { upstream in
            let proxy = try await StallingProxy(to: upstream.server.port)
            var brokers = Self.patient(upstream.configuration)
                .replacing(":\(upstream.server.port)", with: ":\(proxy.port)")
            if isKept { brokers.replace("redis: {", with: "redis: { mode: streams,") }
            let instance = try await EmbeddedInstance(
                "one", brokers: brokers, bridges: Self.bridges(isKept ? "guarantee: at_least_once" : ""))
            try await self.proven(instance)
            let before = instance.bridge.probe?.restartCount ?? 0
            proxy.stall()
            try await self.proven(instance, after: before + 1)
            instance.expectBalance()
            try await instance.stop()
            try await proxy.stop()
        }
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `a broker that accepts and forgets is shown as broken until it does its work again`() async throws {
        var options = ServerOptions()
        options.users = ["linkspan": "secret"]
        options.accessList = "user linkspan\ntopic readwrite sc/#\n"
        let server = try await LocalServer.start(.mosquitto, options)
        let brokers = """
              up:
                type: mqtt
                urls: ["\(server.url)"]
                username: linkspan
                password: secret
            """
        let instance = try await EmbeddedInstance("one", brokers: brokers, bridges: Self.bridges())
        try await self.proven(instance)

        _ = try server.folder.write("user linkspan\ntopic readwrite sc/news\n", to: "acl", mode: 0o600)
        server.signal(SIGHUP)
        _ = try await eventually(within: .seconds(60), "broken") { () -> Bool? in
            let probe = instance.bridge.probe
            return probe?.egress == .broken && probe?.ingress == .broken ? true : nil
        }
        #expect(!instance.bridge.isReady)
        _ = try await eventually(within: .seconds(60), "a new attempt") {
            (instance.bridge.probe?.restartCount ?? 0) > 0 ? true : nil
        }

        _ = try server.folder.write("user linkspan\ntopic readwrite sc/#\n", to: "acl", mode: 0o600)
        server.signal(SIGHUP)
        try await self.proven(instance, after: 1)
        try await instance.stop()
    }

    @Test(.enabled(if: ServerKind.rabbitMQ.canBeTested), arguments: ["both", "in"])
    func `bindings that somebody removes come back`(_ direction: String) async throws {
        try await UpstreamKind.amqp.withCalm { upstream in
            guard let upstream = upstream as? AMQPUpstream else { return }
            let instance = try await EmbeddedInstance(
                "one", brokers: Self.patient(upstream.configuration),
                bridges: Self.bridges("direction: \(direction)"))
            try await self.proven(instance)
            let exchange = "rabbit_misc:r(<<\"\(upstream.virtualHost)\">>, exchange, <<\"linkspan\">>)"
            try await upstream.server.evaluate(
                "[rabbit_binding:remove(B, <<\"test\">>) || B <- rabbit_binding:list_for_source(\(exchange))].")
            try await upstream.wait(for: 1, subscriptionsTo: [ControlChannel.probe.channel.string])
            let returned = instance.bridge.probe?.returnedCount ?? 0
            _ = try await eventually(within: .seconds(60), "a probe that returns") {
                instance.bridge.probe?.returnedCount ?? 0 > returned ? true : nil
            }
            try await instance.stop()
        }
    }

    @Test(.enabled(if: ServerKind.rabbitMQ.canBeTested), arguments: Guarantee.allCases)
    func `the binding of one channel that somebody removes comes back, and the connection stays`(
        _ guarantee: Guarantee
    ) async throws {
        try await UpstreamKind.amqp.withCalm { upstream in
            guard let upstream = upstream as? AMQPUpstream else { return }
            let instance = try await EmbeddedInstance(
                "one", brokers: Self.patient(upstream.configuration),
                bridges: Self.bridges("guarantee: \(guarantee.rawValue)"))
            let checker = try Checker()
            try await checker.open("a", instance.url)
            try await checker.subscribe("a", ["news"])
            try await self.proven(instance)
            try await upstream.wait(for: 1, subscriptionsTo: ["news"])
            let connects = instance.bridge.connects
            try await upstream.server.deleteBinding(
                upstream.name(of: "news"), of: "linkspan.one.up", virtualHost: upstream.virtualHost)
            try await upstream.wait(for: 1, subscriptionsTo: ["news"])
            try await upstream.publish("1", to: "news")
            #expect(try await checker.message("a", "news") == 1)
            #expect(instance.bridge.connects == connects, "\(instance.bridge)")
            try await instance.stop()
        }
    }

    @Test(.enabled(if: ServerKind.rabbitMQ.canBeTested))
    func `a bridge that only receives notices that its exchange was deleted`() async throws {
        try await UpstreamKind.amqp.withCalm { upstream in
            guard let upstream = upstream as? AMQPUpstream else { return }
            let instance = try await EmbeddedInstance(
                "one", brokers: Self.patient(upstream.configuration), bridges: Self.bridges("direction: in"))
            let checker = try Checker()
            try await checker.open("a", instance.url)
            try await checker.subscribe("a", ["news"])
            try await self.proven(instance)
            let connects = instance.bridge.connects
            try await upstream.server.evaluate(
                """
                rabbit_exchange:delete(rabbit_misc:r(<<"\(upstream.virtualHost)">>, exchange, <<"linkspan">>), \
                false, <<"test">>).
                """)
            _ = try await eventually(within: .seconds(60), "a new connection") {
                instance.bridge.connects > connects ? true : nil
            }
            try await self.proven(instance)
            try await upstream.wait(for: 1, subscriptionsTo: ["news"])
            try await upstream.publish("1", to: "news")
            #expect(try await checker.message("a", "news") == 1)
            try await instance.stop()
        }
    }

    @Test(.enabled(if: ServerKind.redis.canBeTested))
    func `instances see each other, and find out that two have one id`() async throws {
        let upstream = try await RedisUpstream()
        let one = try await EmbeddedInstance("one", brokers: upstream.configuration, bridges: Self.bridges())
        let two = try await EmbeddedInstance("two", brokers: upstream.configuration, bridges: Self.bridges())
        for (instance, other) in [(one, "two"), (two, "one")] {
            let peer = try await eventually(within: .seconds(60), "the other one") {
                instance.bridge.probe?.peers.first { $0.heard == .proven && $0.hears == .proven }
            }
            #expect(peer.sender == ProbeSender(instance: InstanceID(other)!, bridge: "up"))
            #expect(peer.roundTrip != nil)
        }
        let twin = try await EmbeddedInstance("two", brokers: upstream.configuration, bridges: Self.bridges())
        for instance in [two, twin] {
            _ = try await eventually(within: .seconds(60), "the twin") {
                instance.bridge.probe?.duplicates.isEmpty == false ? true : nil
            }
        }
        #expect(one.bridge.probe?.duplicates == [])
        for instance in [one, two, twin] { try await instance.stop() }
    }
}
