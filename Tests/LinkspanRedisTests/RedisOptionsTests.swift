import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanRedis
import Testing

@Suite struct RedisOptionsTests {
    private static let url = UpstreamURL(scheme: "redis", host: "127.0.0.1", port: 6379)

    private static func problems(_ change: (inout BridgeSettings) -> Void) -> [String] {
        var settings = BridgeSettings(testing: RedisBridge.self, url: Self.url)
        change(&settings)
        do throws(ConfigurationError) {
            _ = try RedisBridge(settings: settings)
            return []
        } catch {
            return error.problems.map { "\($0.path): \($0.message)" + ($0.hint.map { " (\($0))" } ?? "") }
        }
    }

    @Test func `the defaults are accepted`() {
        #expect(Self.problems { _ in } == [])
    }

    @Test func `a promise that Pub/Sub cannot keep is refused`() {
        #expect(
            Self.problems { $0.guarantee = .atLeastOnce } == [
                "brokers.conformance.redis.mode: guarantee at_least_once is not possible with redis mode pubsub "
                    + "(choose redis mode streams, or guarantee at_most_once)"
            ])
    }

    @Test func `sharded Pub/Sub needs a cluster, and streams have no use for it`() {
        let cluster = UpstreamURL(scheme: "rediss+cluster", host: "127.0.0.1", port: 6379)
        #expect(
            Self.problems { settings in
                settings.options["sharded"] = .boolean(true)
                settings.urls = [cluster]
            } == [])
        #expect(
            Self.problems { settings in
                settings.options["sharded"] = .boolean(true)
                settings.urls = [cluster, Self.url]
            } == [
                "brokers.conformance.redis.sharded: redis://127.0.0.1:6379 is not a cluster, which sharded Pub/Sub needs "
                    + "(leave out sharded, or write redis+cluster://)"
            ])
        #expect(
            Self.problems { settings in
                settings.options["sharded"] = .boolean(true)
                settings.options["mode"] = .text("streams")
                settings.urls = [cluster]
            } == [
                "brokers.conformance.redis.sharded: a stream is at one node of a cluster "
                    + "(leave out sharded, or choose mode pubsub)"
            ])
    }

    @Test func `every problem is reported at once`() {
        let problems = Self.problems { settings in
            settings.guarantee = .atLeastOnce
            settings.username = "bridge"
            settings.options["ping_timeout"] = .duration(.seconds(5))
            settings.options["client_name"] = .text("two words")
        }
        #expect(problems.count == 4)
    }
}
