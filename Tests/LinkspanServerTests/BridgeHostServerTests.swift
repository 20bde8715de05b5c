import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import TestSupport
import Testing

/// Two whole servers that share channels through one upstream, seen by their clients.
@Suite struct BridgeHostServerTests {
    private struct Instance {
        let server: LinkspanServer
        let host: BridgeHost

        init(_ name: String, upstream: String) throws {
            let id = try #require(InstanceID(name))
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            var rule = BridgeRule(name: "b", upstream: "u")
            // The filters counted below are those of channels.
            rule.probe = nil
            var settings = LinkspanSettings(
                instance: InstanceSettings(id: id),
                upstreams: [
                    "u": UpstreamSettings(
                        type: LoopbackBridge.kind, urls: [UpstreamURL(scheme: "loopback", host: upstream, port: 1)],
                        options: ["batch": .integer(64)])
                ],
                bridges: [rule])
            settings.server.host = "127.0.0.1"
            settings.server.port = 0
            settings.server.eventLoops = 2
            self.host = try BridgeHost(settings: settings, bridges: [LoopbackBridge.self], logger: logger)
            self.server = LinkspanServer(
                settings: settings.server, instance: id, bridgePlane: self.host, logger: logger)
            self.host.attach(self.server.broker)
        }
    }

    private static func copy(_ channel: String, _ data: String) -> String {
        ##"{"event":"#publish","data":{"channel":"\##(channel)","data":\##(data)}}"##
    }

    private func running(_ body: @Sendable ([Instance], [RawClient]) async throws -> Void) async throws {
        let upstream = uniqueUpstream()
        let instances = [try Instance("fra", upstream: upstream), try Instance("ams", upstream: upstream)]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for instance in instances {
                group.addTask { try await instance.server.run() }
                group.addTask { try await instance.host.run() }
            }
            defer { group.cancelAll() }
            var clients: [RawClient] = []
            for instance in instances { clients.append(try await RawClient.ready(try await instance.server.address)) }
            try await body(instances, clients)
        }
        for status in instances.flatMap(\.host.statuses) {
            #expect(status.ingress.isBalanced && status.egress.isBalanced)
        }
    }

    /// Publishes on both sides until both hear each other.
    private func warmUp(_ clients: [RawClient], _ channel: String) async throws {
        _ = try await eventually("both sides hear each other") {
            try await clients[0].publish(channel, "\"from 0\"")
            try await clients[1].publish(channel, "\"from 1\"")
            let hears = clients[0].texts.contains(Self.copy(channel, "\"from 1\""))
            return hears && clients[1].texts.contains(Self.copy(channel, "\"from 0\"")) ? true : nil
        }
    }

    @Test func `clients of two servers share channels, each message once and in order`() async throws {
        let channels = (0..<10).map { "room/\($0)" }
        try await self.running { instances, clients in
            for (index, channel) in channels.enumerated() {
                for client in clients { try await client.subscribe(channel, callID: 100 + index) }
            }
            for channel in channels { try await self.warmUp(clients, channel) }
            for number in 1...200 {
                for (side, client) in clients.enumerated() {
                    try await client.send(all: channels.map { RawClient.publish($0, "[\(side),\(number)]") })
                }
            }
            for client in clients {
                for side in 0...1 {
                    for channel in channels {
                        let last = Self.copy(channel, "[\(side),200]")
                        _ = try await client.log.first("the last message") { $0 == .text(last) }
                        let expected = (1...200).map { Self.copy(channel, "[\(side),\($0)]") }
                        let start = "\"channel\":\"\(channel)\",\"data\":[\(side),"
                        #expect(client.texts.filter { $0.contains(start) } == expected)
                    }
                }
            }
            for instance in instances {
                let ingress = instance.host.statuses[0].ingress
                #expect(ingress.delivered >= 2000 && ingress.duplicate == 0 && ingress.refused.total == 0)
            }
        }
    }

    @Test func `many clients are one upstream subscription`() async throws {
        try await self.running { instances, clients in
            let address = try await instances[0].server.address
            try await clients[0].subscribe("news")
            for _ in 0..<5 { try await RawClient.ready(address).subscribe("news") }
            #expect(instances[0].host.statuses[0].interestCount == 2, "marks, and the channel")
            #expect(instances[1].host.statuses[0].interestCount == 1)
        }
    }
}
