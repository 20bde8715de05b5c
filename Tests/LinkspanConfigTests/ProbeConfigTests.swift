import LinkspanConfig
import LinkspanCore
import Testing

/// `bridges.<name>.probe`.
struct ProbeConfigTests {
    private func probe(_ lines: String...) throws -> ProbeSettings? {
        try #require(settings(withBridge(lines.joined(separator: "\n    "))).bridges.first).probe
    }

    @Test func `probes go out every five seconds unless told otherwise`() throws {
        #expect(try self.probe() == ProbeSettings(every: .seconds(5), deadline: .seconds(15)))
        #expect(
            try self.probe("probe: { every: 500ms, deadline: 2s }")
                == ProbeSettings(every: .milliseconds(500), deadline: .seconds(2)))
    }

    @Test func `a slow pace alone brings a deadline that fits`() throws {
        #expect(try self.probe("probe: { every: 1m }") == ProbeSettings(every: .seconds(60), deadline: .seconds(180)))
        #expect(try self.probe("probe: { every: 1s }") == ProbeSettings(every: .seconds(1), deadline: .seconds(15)))
    }

    @Test func `zero turns them off`() throws {
        #expect(try self.probe("probe: { every: 0s }") == nil)
    }

    @Test func `a deadline that one late probe would miss is refused`() {
        #expect(
            complaints(withBridge("probe: { every: 5s, deadline: 9s }"))
                == """
                bridges.yaml:7:25: bridge "one": probe.deadline is shorter than two times probe.every
                    one probe that is late would end the connection
                """)
    }
}
