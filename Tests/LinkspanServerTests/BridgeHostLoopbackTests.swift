import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import TestSupport
import Testing

/// Two instances over one upstream, with everything but the channel owners real.
@Suite struct BridgeHostLoopbackTests {
    private struct Instance {
        let id: InstanceID
        let host: BridgeHost
        let acceptor: RecordingAcceptor

        init(_ name: String, upstream: String, rules: Int = 1) throws {
            let id = try #require(InstanceID(name))
            let broker = UpstreamSettings(
                type: LoopbackBridge.kind, urls: [UpstreamURL(scheme: "loopback", host: upstream, port: 1)],
                options: ["batch": .integer(64)])
            self.id = id
            self.host = try BridgeHost(
                settings: LinkspanSettings(
                    instance: InstanceSettings(id: id), upstreams: ["u": broker],
                    bridges: (0..<rules).map { BridgeRule(name: "b\($0)", upstream: "u") }),
                bridges: [LoopbackBridge.self], logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            self.acceptor = RecordingAcceptor(instance: id)
            self.host.attach(self.acceptor)
        }

        /// What an owner does with a publish of its own clients.
        func publish(_ text: String, to channel: ChannelName, sequence: UInt64) {
            for route in self.host.egressRoutes(for: channel) {
                self.host.offer(
                    [
                        EgressOffer(
                            name: route.name, data: ByteBuffer(string: text), header: .test(self.id, sequence: sequence)
                        )
                    ],
                    to: route.bridge)?()
            }
        }

        func received(_ channel: ChannelName) -> [String] {
            self.acceptor.delivered.events.filter { $0.channel == channel }.map { String(buffer: $0.data) }
        }
    }

    private func exchange(rules: Int) async throws {
        let upstream = uniqueUpstream()
        let instances = [
            try Instance("fra", upstream: upstream, rules: rules),
            try Instance("ams", upstream: upstream, rules: rules),
        ]
        let channels = (0..<5).map { ChannelName("room/\($0)") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for instance in instances { group.addTask { try await instance.host.run() } }
            defer { group.cancelAll() }
            for channel in channels {
                for instance in instances { instance.host.channelSubscribed(channel) }
            }
            let first = try await self.warmUp(instances, channels)
            for number in 0..<200 {
                for instance in instances {
                    for channel in channels {
                        instance.publish("\(number)", to: channel, sequence: first + UInt64(number))
                    }
                }
            }
            for instance in instances {
                for channel in channels {
                    _ = try await instance.acceptor.delivered.first("the last message") {
                        $0.channel == channel && String(buffer: $0.data) == "199"
                    }
                }
            }
        }
        for instance in instances {
            for channel in channels {
                #expect(instance.received(channel).filter { $0 != "-1" } == (0..<200).map { "\($0)" })
            }
            let statuses = instance.host.statuses
            #expect(statuses.allSatisfy { $0.ingress.isBalanced && $0.egress.isBalanced })
            #expect(statuses.reduce(0) { $0 + $1.ingress.delivered } == instance.acceptor.delivered.count)
            #expect(statuses.reduce(0) { $0 + $1.ingress.looped } > 0, "its own messages came back and were recognised")
        }
    }

    /// Publishes until everybody hears everybody, since an upstream gives nothing to who is not subscribed yet; returns the next sequence number.
    private func warmUp(_ instances: [Instance], _ channels: [ChannelName]) async throws -> UInt64 {
        var sequence: UInt64 = 1
        return try await eventually("everybody is subscribed") {
            for instance in instances {
                for channel in channels { instance.publish("-1", to: channel, sequence: sequence) }
            }
            sequence += 1
            let hears = instances.allSatisfy { instance in
                channels.allSatisfy { channel in instance.received(channel).contains("-1") }
            }
            return hears ? sequence : nil
        }
    }

    @Test func `each instance receives the other's messages once and in order, and none of its own`() async throws {
        try await self.exchange(rules: 1)
    }

    @Test func `two bridges with the same channels deliver one copy`() async throws {
        try await self.exchange(rules: 2)
    }
}
