import LinkspanBridgeKit
import LinkspanBridgeTesting
import TestSupport
import Testing

@testable import LinkspanRedis

@Suite struct StreamPromiseTests {
    private static func judge(
        _ info: String = "", _ settings: [String: String] = [:], failsOver: Bool = false
    ) -> [String: UpstreamPromise] {
        var promises = StreamPromises(failsOver: failsOver)
        promises.infoReceived(info)
        for (name, value) in settings { promises.settingReceived(name, value) }
        return Dictionary(uniqueKeysWithValues: promises.findings.map { ($0.name, $0) })
    }

    @Test func `a server that tells nothing is assumed to keep all`() {
        let promises = Self.judge()
        #expect(promises.mapValues(\.state) == ["version": .assumed, "persistence": .assumed, "eviction": .assumed])
        #expect(promises.values.allSatisfy { $0.reason.contains("this user may") })
    }

    @Test(arguments: [("7.0.15", UpstreamPromise.State.kept), ("5.0.0", .kept), ("4.0.14", .broken), ("x", .assumed)])
    func `streams came with Redis 5`(version: String, state: UpstreamPromise.State) {
        #expect(Self.judge("# Server\r\nredis_version:\(version)\r\n")["version"]?.state == state)
    }

    @Test func `an append-only file is what makes answers last`() {
        #expect(Self.judge("aof_enabled:0")["persistence"]?.state == .broken)
        #expect(Self.judge("", ["appendonly": "no"])["persistence"]?.state == .broken)
        #expect(Self.judge("", ["appendonly": "yes"])["persistence"]?.state == .kept)
        // What runs counts more than what is configured: a rewrite may be under way.
        #expect(Self.judge("aof_enabled:0", ["appendonly": "yes"])["persistence"]?.state == .broken)
        for (rule, words) in [("always", "before Redis answers"), ("everysec", "last second"), ("no", "power failure")]
        {
            let promise = Self.judge("aof_enabled:1", ["appendfsync": rule])["persistence"]
            #expect(promise?.state == .kept && promise?.reason.contains(words) == true)
        }
        #expect(Self.judge("aof_enabled:1")["persistence"]?.reason.contains("may not ask how soon") == true)
    }

    @Test(
        arguments: [
            ("0", "allkeys-lru", .kept), ("100", "noeviction", .kept), ("100", "allkeys-lru", .broken),
            ("100", "volatile-ttl", .broken), (nil, nil, .assumed), ("100", nil, .assumed), ("0", nil, .kept),
        ] as [(String?, String?, UpstreamPromise.State)])
    func `a full server must not drop the stream`(limit: String?, policy: String?, state: UpstreamPromise.State) {
        let info = [limit.map { "maxmemory:\($0)" }, policy.map { "maxmemory_policy:\($0)" }].compactMap { $0 }
        #expect(Self.judge(info.joined(separator: "\r\n"))["eviction"]?.state == state)
        let settings = ["maxmemory": limit, "maxmemory-policy": policy].compactMapValues { $0 }
        #expect(Self.judge("", settings)["eviction"]?.state == state)
    }

    @Test func `replicas are never more than assumed, and alone there is nothing to say`() {
        #expect(Self.judge("connected_slaves:0")["replication"] == nil)
        for (settings, words) in [
            (["min-replicas-to-write": "0"], "min-replicas-to-write 0"),
            (["min-replicas-to-write": "2"], "fewer than 2"),
            ([:], "may not ask"),
        ] {
            for promise in [
                Self.judge("connected_slaves:1", settings)["replication"],
                Self.judge("", settings, failsOver: true)["replication"],
            ] {
                #expect(promise?.state == .assumed && promise?.reason.contains(words) == true)
            }
        }
    }

    @Test func `at_most_once asks nothing, and at_least_once asks on one connection`() throws {
        var settings = BridgeSettings(testing: RedisBridge.self, url: UpstreamURL(scheme: "redis", host: "h", port: 1))
        settings.options["mode"] = .text("streams")
        let options = try RedisOptions(settings)
        #expect(!options.login().commands.contains { $0.first == "CONFIG" })
        let login = options.login(promises: StreamPromises(failsOver: false))
        #expect(login.commands.filter { $0.first == "CONFIG" }.map { $0[2] } == StreamPromises.settings)
        #expect(login.commands.last == ["INFO"])
    }
}

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct StreamPromiseServerTests {
    private static func promises(
        _ server: LocalServer, _ change: (inout BridgeSettings) -> Void = { _ in }
    ) async throws -> [String: UpstreamPromise] {
        let side = try await RedisSide.connected(to: server) { settings in
            settings.guarantee = .atLeastOnce
            settings.options["mode"] = .text("streams")
            change(&settings)
        }
        let facts = side.conversation.read { $0.facts[0] }
        await side.leave()
        return Dictionary(uniqueKeysWithValues: facts.promises.map { ($0.name, $0) })
    }

    @Test func `what a running server is configured to do is found at every connect`() async throws {
        let server = try await LocalServer.start(.redis)
        let bare = try await Self.promises(server)
        #expect(bare.mapValues(\.state) == ["version": .kept, "persistence": .broken, "eviction": .kept])
        #expect(bare["persistence"]?.reason.contains("set appendonly yes") == true)

        try await server.cli("CONFIG", "SET", "appendonly", "yes")
        try await server.cli("CONFIG", "SET", "maxmemory", "100mb")
        try await server.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        let later = try await Self.promises(server)
        #expect(later.mapValues(\.state) == ["version": .kept, "persistence": .kept, "eviction": .broken])
        #expect(later["persistence"]?.reason.contains("everysec") == true)
        #expect(later["eviction"]?.reason.contains("allkeys-lru") == true)
    }

    @Test func `a user who may ask nothing gets in, and all is assumed`() async throws {
        var options = ServerOptions()
        options.accessList = """
            user default off
            user bridge on >s3cret ~* &* +@all -info -config
            user half on >s3cret ~* &* +@all -info
            """
        let server = try await LocalServer.start(.redis, options)
        func promises(_ user: String) async throws -> [String: UpstreamPromise.State] {
            try await Self.promises(server) { settings in
                settings.username = user
                settings.password = Secret("s3cret")
            }.mapValues(\.state)
        }
        #expect(try await promises("bridge") == ["version": .assumed, "persistence": .assumed, "eviction": .assumed])
        #expect(try await promises("half") == ["version": .assumed, "persistence": .broken, "eviction": .kept])
    }
}
