import LinkspanAMQP
import LinkspanBridgeKit
import LinkspanBridgeTesting
import Testing

struct SettingsTests {
    private func problems(_ change: (inout BridgeSettings) -> Void) -> [String] {
        var settings = BridgeSettings(
            testing: AMQPBridge.self, url: UpstreamURL(scheme: "amqp", host: "localhost", port: 5672))
        change(&settings)
        do throws(ConfigurationError) {
            _ = try AMQPBridge(settings: settings)
            return []
        } catch {
            return error.problems.map { "\($0.path): \($0.message)" }
        }
    }

    @Test func `the defaults are accepted`() {
        #expect(self.problems { _ in } == [])
    }

    @Test func `what AMQP cannot express is refused, all at once`() {
        let long = String(repeating: "x", count: 256)
        let problems = self.problems { settings in
            settings.options["exchange"] = .text(long)
            settings.name = long
            settings.urls[0].path = long
            settings.username = "a\u{0}b"
            settings.password = Secret("a\u{0}b")
        }
        #expect(problems.count == 5)
        #expect(problems[0] == "brokers.conformance.amqp.exchange: longer than the 255 bytes that AMQP allows")
        #expect(!problems.contains { $0.contains("a\u{0}b") })
    }

    @Test func `the default exchange is refused`() {
        #expect(
            self.problems { $0.options["exchange"] = .text("") }
                == ["brokers.conformance.amqp.exchange: the default exchange routes by queue name, not by channel"])
    }

    @Test func `at_least_once needs an exchange that survives the broker`() throws {
        #expect(self.problems { $0.options["exchange_durable"] = .boolean(false) } == [])
        let problems = self.problems { settings in
            settings.options["exchange_durable"] = .boolean(false)
            settings.guarantee = .atLeastOnce
        }
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix("brokers.conformance.amqp.exchange_durable: guarantee at_least_once") == true)
    }
}
