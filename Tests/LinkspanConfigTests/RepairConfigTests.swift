import LinkspanCore
import Testing

/// `bridges.<name>.repair`.
@Suite struct RepairConfigTests {
    private func repair(_ lines: String...) throws -> RepairSettings? {
        try #require(settings(withBridge(lines.joined(separator: "\n    "))).bridges.first).repair
    }

    @Test func `it is off unless it is named, and has defaults then`() throws {
        #expect(try self.repair() == nil)
        #expect(try self.repair("repair: {}") == RepairSettings())
        var expected = RepairSettings()
        expected.hold = .zero
        #expect(try self.repair("repair: { hold: 0s }") == expected)
        expected.window = .seconds(60)
        expected.sizeBytes = 1 << 20
        #expect(try self.repair("repair: { window: 1m, size: 1MiB, hold: 0s }") == expected)
    }

    @Test func `the environment names it too`() throws {
        let settings = try settings(withBridge(), environment: ["LINKSPAN_BRIDGES_ONE_REPAIR_HOLD": "1s"])
        #expect(settings.bridges.first?.repair?.hold == .seconds(1))
    }

    @Test func `nothing waits longer than it is remembered`() {
        #expect(
            complaints(withBridge("repair: { window: 1s, hold: 2s }"))
                == """
                bridges.yaml:7:27: bridge "one": repair.hold is not shorter than repair.window
                    what is no longer remembered is not worth waiting for
                """)
    }
}
