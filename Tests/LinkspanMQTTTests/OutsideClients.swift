import LinkspanBridgeKit
import TestSupport

/// `mosquitto_sub`: what an external consumer sees.
final class OutsideSubscriber: Sendable {
    let lines: EventLog<String>
    private let process: ChildProcess

    /// Starts one and waits until its subscription stands.
    ///
    /// - Parameter format: of `mosquitto_sub -F`.
    init(_ server: LocalServer, _ topic: String, format: String = "%t %p", _ more: [String] = []) async throws {
        self.process = try ChildProcess(
            // Into a pipe mosquitto_sub would write its lines by blocks.
            "stdbuf",
            [
                "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", "\(server.port)", "-V", "5", "-t", topic, "-F", format,
                "-d",
            ] + more)
        self.lines = self.process.output
        _ = try await self.lines.first("subscription of mosquitto_sub") { $0.hasPrefix("Subscribed") }
    }

    /// The lines in our format; `-d` mixes in the client's own, which start with `Client` or `Subscribed`.
    func received(_ count: Int) async throws -> [String] {
        try await eventually(every: .milliseconds(5), "\(count) lines of mosquitto_sub") {
            let lines = self.lines.events.filter { !$0.hasPrefix("Client ") && !$0.hasPrefix("Subscribed ") }
            return lines.count >= count ? lines : nil
        }
    }
}

extension LocalServer {
    /// `mosquitto_pub`, run to its end.
    func publish(_ topic: String, _ payload: String?, version: String = "5", _ more: [String] = []) async throws {
        let content = payload.map { $0.isEmpty ? ["-n"] : ["-m", $0] } ?? []
        try await ChildProcess.run(
            "mosquitto_pub",
            ["-h", "127.0.0.1", "-p", "\(self.port)", "-V", version, "-q", "1", "-t", topic] + content + more)
    }

    /// The same with a header in user properties.
    func publish(_ topic: String, _ payload: String, properties: [(String, String)]) async throws {
        try await self.publish(
            topic, payload, properties.flatMap { ["-D", "publish", "user-property", $0.0, $0.1] })
    }

    /// Reads one figure of the broker's own, such as `subscriptions/count`.
    func figure(_ name: String) async throws -> Int? {
        let lines = try await ChildProcess.run(
            "mosquitto_sub",
            ["-h", "127.0.0.1", "-p", "\(self.port)", "-t", "$SYS/broker/\(name)", "-C", "1", "-W", "5"])
        return lines.first.flatMap { Int($0) }
    }
}
