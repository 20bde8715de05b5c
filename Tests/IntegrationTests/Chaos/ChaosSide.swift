internal import Foundation
internal import TestSupport

/// One of the two sides: an instance, and a client of it that publishes and receives.
final class ChaosSide {
    /// Of the client, and of what it publishes.
    let client: String
    let name: String
    private let brokers: String
    private let bridges: String
    private let server: String
    private let operatorPort = TestPorts.next()
    private(set) var instance: Instance
    /// When each life of the instance began, in its own milliseconds since 1970: its epoch is not before.
    private(set) var starts: [UInt64]
    /// How many messages the first life had published into each channel before its numbered ones.
    var greetings: [String: Int] = [:]

    private static let key = "0123456789abcdef0123456789abcdef"

    init(_ name: String, client: String, brokers: String, bridges: String, data: String) async throws {
        self.name = name
        self.client = client
        self.brokers = brokers
        self.bridges = bridges
        self.server = "  data: \(data)\n  operator: { port: \(self.operatorPort), key: \"\(Self.key)\" }"
        self.starts = [Self.now]
        self.instance = try await Instance(name, brokers: brokers, bridges: bridges, server: self.server)
    }

    private static var now: UInt64 { UInt64(Date().timeIntervalSince1970 * 1000) }

    func kill() async throws {
        self.instance.process.signal(SIGKILL)
        _ = try await self.instance.process.exit()
    }

    /// Starts the instance again, on the same port and data.
    /// - Parameter hoursBack: how much earlier it believes that it is.
    func restart(hoursBack: Int = 0) async throws {
        self.starts.append(Self.now - UInt64(hoursBack) * 3_600_000)
        self.instance = try await Instance(
            self.name, brokers: self.brokers, bridges: self.bridges, server: self.server, port: self.instance.port,
            wrapper: hoursBack > 0 ? Self.clock(hoursBack: hoursBack) : [])
    }

    /// What the program faketime does, but for staying the parent, which would take the signals and leave the instance running. The second
    /// `env` is the first program with the library, which changes the environment there; Swift would not find its arguments after that.
    private static func clock(hoursBack: Int) -> [String] {
        ["env", "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1", "FAKETIME=-\(hoursBack)h", "env"]
    }

    /// - Throws: what it said last, when it ended by itself.
    func expectToRun() throws {
        let process = self.instance.process
        guard !process.isRunning else { return }
        let lines = process.errors.events
        let first = lines.firstIndex { $0.contains("Fatal error") } ?? max(lines.count - 30, 0)
        throw TimedOut(
            what: "instance \(self.name) running", limit: nil,
            seen: lines[first...].prefix(60).joined(separator: "\n"))
    }

    /// Which life of the instance an epoch is of.
    func life(of epoch: UInt64) -> Int? {
        self.starts.indices.filter { self.starts[$0] <= epoch }.max { self.starts[$0] < self.starts[$1] }
    }

    /// Its only bridge as the operator sees it.
    var status: JSON {
        get async throws {
            try self.expectToRun()
            let answer = try await HTTP.get(
                "http://127.0.0.1:\(self.operatorPort)/status", headers: ["Authorization: Bearer \(Self.key)"])
            guard answer.status == 200 else { throw Unexpected(.string(answer.text)) }
            return try answer.body["bridges"][0]
        }
    }
}
