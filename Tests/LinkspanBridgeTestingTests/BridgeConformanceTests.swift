import LinkspanBridgeKit
import LinkspanBridgeTesting
import Testing

@Suite struct BridgeConformanceTests {
    static func settings(_ host: String) -> BridgeSettings {
        BridgeSettings(testing: LoopbackBridge.self, url: UpstreamURL(scheme: "loopback", host: host, port: 1))
    }

    @Test(.timeLimit(.minutes(1))) func `the loopback bridge keeps the contract`() async throws {
        try await BridgeConformance(settings: Self.settings("contract")) { settings in
            try LoopbackBridge(settings: settings)
        }.runAll()
    }

    @Test(.timeLimit(.minutes(1))) func `the loopback bridge keeps the contract where a password is asked for`()
        async throws
    {
        LoopbackUpstream.named("password").requirePassword("s3cret")
        var settings = Self.settings("password")
        settings.password = Secret("s3cret")
        try await BridgeConformance(settings: settings) { settings in try LoopbackBridge(settings: settings) }.runAll()
    }

    @Test(.timeLimit(.minutes(1)), arguments: Fault.allCases)
    func `a bridge with a fault fails the check for it`(fault: Fault) async throws {
        let host = "fault-\(fault.rawValue)"
        var settings = Self.settings(host)
        if fault == .acceptsAnyPassword {
            settings.password = Secret("s3cret")
        }
        var conformance = BridgeConformance(settings: settings) { settings in
            try BrokenBridge(settings, fault: fault)
        }
        conformance.patience = .milliseconds(500)
        conformance.goodbyeLimit = .milliseconds(500)
        let failure = await #expect(throws: ConformanceFailure.self) {
            try await conformance.run([fault.expectedCheck])
        }
        #expect(failure?.findings.map(\.check) == [fault.expectedCheck])
        #expect(
            failure?.findings.first?.message.contains(fault.expectedWords) == true,
            "it said: \(failure?.description ?? "")")
    }

    @Test(.timeLimit(.minutes(1))) func `a fault in one place leaves the other checks alone`() async throws {
        var conformance = BridgeConformance(settings: Self.settings("alone")) { settings in
            try BrokenBridge(settings, fault: .losesUnsubscribes)
        }
        conformance.patience = .seconds(2)
        let failure = await #expect(throws: ConformanceFailure.self) { try await conformance.runAll() }
        #expect(failure?.findings.map(\.check) == [.unsubscribes], "it said: \(failure?.description ?? "")")
    }
}
