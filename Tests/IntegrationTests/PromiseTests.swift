internal import Foundation
internal import TestSupport
internal import Testing

/// A broker that does not keep what the guarantee rests on, as an operator meets it.
@Suite(.enabled(if: ServerKind.redis.canBeTested))
struct PromiseTests {
    private static let key = "0123456789abcdef0123456789abcdef"

    private func instance(
        _ upstream: RedisUpstream, operatorPort: Int, promises: String
    ) async throws -> Instance {
        try await Instance(
            promises,
            brokers: upstream.configuration.replacing("redis: {", with: "redis: { mode: streams, review: 200ms,"),
            bridges: """
                  up:
                    broker: up
                    guarantee: at_least_once
                    promises: \(promises)
                    required: true
                    retry: { initial: 50ms, max: 200ms }
                    probe: { every: 500ms, deadline: 30s }
                """, server: "  operator: { port: \(operatorPort), key: \"\(Self.key)\" }")
    }

    private func status(_ instance: Instance) async throws -> String {
        try await Instance.run("status", "--config", instance.file).joined(separator: "\n")
    }

    @Test func `a Redis that forgets is not used until it remembers, and the status says why`() async throws {
        let upstream = try await RedisUpstream()
        try await upstream.ask("CONFIG", "SET", "appendonly", "no")
        let strict = try await self.instance(upstream, operatorPort: TestPorts.next(), promises: "enforced")
        _ = try await strict.process.errors.first("the reason in the log") {
            $0.contains("error.code=promise") && $0.contains("appendonly yes")
        }
        let refused = try await eventually("the broken promise") { () -> String? in
            let text = try await self.status(strict)
            return text.contains("\n  promise  persistence  broken: Redis has no append-only file") ? text : nil
        }
        #expect(refused.contains("not ready: bridge up"), "\(refused)")
        #expect(refused.contains("last error: persistence: Redis has no append-only file"), "\(refused)")

        let lenient = try await self.instance(upstream, operatorPort: TestPorts.next(), promises: "reported")
        let used = try await eventually("readiness") { () -> String? in
            let text = try await self.status(lenient)
            return text.contains("  ready\n") ? text : nil
        }
        #expect(used.contains("\n  promise  persistence  broken: "), "\(used)")
        try await lenient.stop()

        try await upstream.ask("CONFIG", "SET", "appendonly", "yes")
        let ready = try await eventually("readiness") { () -> String? in
            let text = try await self.status(strict)
            return text.contains("  ready\n") ? text : nil
        }
        #expect(ready.contains("\n  promise  persistence  kept: append-only file"), "\(ready)")
        let explained = try await Instance.run("explain", "--config", strict.file, "--live", "news")
        #expect(explained.contains { $0.hasPrefix("  promise  persistence  kept: ") }, "\(explained)")
        try await strict.stop()
    }

    @Test func `a Redis that begins to forget is left until it remembers again`() async throws {
        let upstream = try await RedisUpstream()
        let instance = try await self.instance(upstream, operatorPort: TestPorts.next(), promises: "enforced")
        try await self.wait(for: "  ready\n", of: instance)

        try await upstream.ask("CONFIG", "SET", "appendonly", "no")
        let text = try await self.wait(for: "last error: persistence: Redis has no append-only file", of: instance)
        #expect(text.contains("not ready: bridge up"), "\(text)")
        #expect(text.contains("\n  promise  persistence  broken: "), "\(text)")

        try await upstream.ask("CONFIG", "SET", "appendonly", "yes")
        try await self.wait(for: "  ready\n", of: instance)

        try await upstream.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try await upstream.ask("CONFIG", "SET", "maxmemory", "100mb")
        try await self.wait(
            for: "\n  promise  eviction  broken: a full Redis drops the stream (allkeys-lru)", of: instance)
        try await instance.stop()
    }

    @discardableResult
    private func wait(for words: String, of instance: Instance) async throws -> String {
        try await eventually("\(words) in the status") {
            let text = try await self.status(instance)
            return text.contains(words) ? text : nil
        }
    }
}
