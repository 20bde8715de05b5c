import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanRedis
import TestSupport
import Testing

@Suite(.enabled(if: ServerKind.redis.canBeTested), .timeLimit(.minutes(5)))
struct RedisConformanceTests {
    @Test func `Pub/Sub keeps the contract`() async throws {
        let server = try await LocalServer.start(.redis)
        let settings = BridgeSettings(testing: RedisBridge.self, url: server.redisURL, options: RedisSide.patient)
        try await BridgeConformance(settings: settings) { try RedisBridge(settings: $0) }.runAll()
    }

    @Test func `Pub/Sub keeps the contract with a user and a password`() async throws {
        var options = ServerOptions()
        options.accessList = """
            user default off
            user bridge on >s3cret resetchannels &sc/* +publish +subscribe +psubscribe +unsubscribe +punsubscribe +ping +quit
            """
        let server = try await LocalServer.start(.redis, options)
        let settings = BridgeSettings(
            testing: RedisBridge.self, url: server.redisURL, username: "bridge", password: Secret("s3cret"),
            options: RedisSide.patient)
        let conformance = BridgeConformance(settings: settings) { try RedisBridge(settings: $0) }
        // Redis allows this user only the pattern `sc/*` itself.
        try await conformance.run(
            BridgeCheck.allCases.filter { ![.prefixFilter, .overlappingFilters, .unsubscribes].contains($0) })
    }

    @Test(arguments: Guarantee.allCases) func `Streams keep the contract`(guarantee: Guarantee) async throws {
        let server = try await LocalServer.start(.redis)
        let settings = BridgeSettings(
            testing: RedisBridge.self, url: server.redisURL, guarantee: guarantee,
            options: RedisSide.patient.merging(["mode": .text("streams")]) { $1 })
        try await BridgeConformance(settings: settings) { try RedisBridge(settings: $0) }.runAll()
    }
}
