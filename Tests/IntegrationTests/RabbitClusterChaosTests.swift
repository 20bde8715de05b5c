internal import Foundation
internal import TestSupport
internal import Testing

/// A RabbitMQ cluster that loses nodes. Three nodes take minutes of CPU time, so this is for `make chaos`.
@Suite(
    .serialized, .enabled(if: ProcessInfo.processInfo.environment["LINKSPAN_CHAOS"] != nil), .timeLimit(.minutes(15)))
struct RabbitClusterChaosTests {
    @Test func `nodes with the leaders of quorum queues are killed: at_least_once loses and doubles nothing`()
        async throws
    {
        let cluster = try await RabbitCluster()
        let urls = cluster.urls.map { "\"\($0)\"" }.joined(separator: ", ")
        let brokers = """
              up:
                type: amqp
                urls: [\(urls)]
                username: guest
                password: guest
                amqp: { queue_type: quorum }
            """
        let traffic = try await CountedTraffic(
            brokers,
            [
                "bare": "broker: up, guarantee: at_least_once",
                "kept": "broker: up, guarantee: at_least_once, \(CountedTraffic.repair)",
            ])
        try await traffic.publish(rounds: 200)
        // The instances talk to the first of the URLs, and a queue has its leader where it was declared.
        let leader = try await cluster.leader(of: "linkspan.two.kept")
        try #require(leader === cluster.nodes[0])

        async let publishing: Void = traffic.publish(rounds: 500)
        try await leader.kill()
        try await publishing
        try await traffic.publishUntilEverythingFlows()
        try #require(try await cluster.leader(of: "linkspan.two.kept") !== leader)
        try await leader.restart()

        let next = try await cluster.leader(of: "linkspan.two.kept")
        async let more: Void = traffic.publish(rounds: 500)
        try await next.kill()
        try await more
        try await traffic.publishUntilEverythingFlows()
        try await traffic.expectAccounts(losing: [], exempt: ["bare"])
        // RabbitMQ holds what it handed to a connection whose node died until that node is back.
        try await next.restart()
        try await traffic.expectEverything(in: "bare")
        try await traffic.stop()
    }
}
