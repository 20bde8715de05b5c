import LinkspanBridgeKit
import LinkspanBridgeTesting
import LinkspanRedis
import NIOCore
import TestSupport
import Testing

/// One bridge to a server, conversing, with the host's side in the hands of the test.
final class RedisSide: Sendable {
    let conversation: Conversation
    let limit: Duration = .seconds(40)

    /// Starts a conversation and waits until Redis has let it in.
    static func connected(to server: LocalServer, _ change: (inout BridgeSettings) -> Void = { _ in }) async throws
        -> RedisSide
    {
        let side = try RedisSide(server.redisURL, change)
        try await side.conversation.wait(for: "a connection", atMost: side.limit) { !$0.facts.isEmpty }
        return side
    }

    init(_ url: UpstreamURL, _ change: (inout BridgeSettings) -> Void = { _ in }) throws {
        var settings = BridgeSettings(testing: RedisBridge.self, url: url, options: Self.patient)
        change(&settings)
        self.conversation = .start(try RedisBridge(settings: settings), upstream: settings.urls[0])
    }

    /// A busy machine may take long to accept; what a test waits for has limits of its own.
    static let patient: [String: OptionValue] = ["connect_timeout": .duration(.seconds(30))]

    /// Limits so short that a test can wait for silence.
    static func impatient(_ settings: inout BridgeSettings) {
        settings.options["ping_interval"] = .duration(.milliseconds(500))
        settings.options["ping_timeout"] = .duration(.seconds(6))
    }

    func subscribe(_ filters: UpstreamFilter...) async throws {
        self.conversation.add(interest: filters.map(InterestChange.subscribe))
        try await self.conversation.wait(for: "\(filters.count) subscriptions", atMost: self.limit) { state in
            filters.allSatisfy { state.settled[$0] != nil }
        }
    }

    func unsubscribe(_ filters: UpstreamFilter...) {
        self.conversation.add(interest: filters.map(InterestChange.unsubscribe))
    }

    func send(_ texts: [String], to name: String, firstTicket: UInt64 = 1) {
        self.conversation.add(
            egress: texts.enumerated().map { index, text in
                EgressMessage(
                    ticket: firstTicket + UInt64(index), name: name, payload: ByteBuffer(string: text), header: nil)
            })
    }

    func confirmed(_ count: Int) async throws {
        try await self.conversation.wait(for: "\(count) confirmations", atMost: self.limit) {
            $0.confirmed.count == count
        }
    }

    func received(_ count: Int) async throws -> [String] {
        try await self.conversation.wait(for: "\(count) messages", atMost: self.limit) { $0.received.count >= count }
        return self.conversation.read { $0.received.map { String(buffer: $0.payload) } }
    }

    /// The error that ended it.
    func upstreamError() async throws -> UpstreamError {
        let end = await self.conversation.end(atMost: self.limit)
        guard case .failure(let error as UpstreamError)? = end else {
            throw Finding("expected an upstream error, got \(end.map { "\($0)" } ?? "nothing")")
        }
        return error
    }

    func leave() async {
        self.conversation.cancel()
        let end = await self.conversation.end(atMost: self.limit)
        #expect(end?.isSuccess == true, "\(end.map { "\($0)" } ?? "it did not end")")
        #expect(self.conversation.read { $0.misuse } == [])
    }
}

extension Result {
    var isSuccess: Bool {
        if case .success = self { true } else { false }
    }
}

extension LocalServer {
    var redisURL: UpstreamURL { UpstreamURL(scheme: "redis", host: "127.0.0.1", port: self.port) }
    var redisTLSURL: UpstreamURL { UpstreamURL(scheme: "rediss", host: "localhost", port: self.tlsPort) }

    /// What redis-cli prints.
    @discardableResult
    func cli(_ arguments: String...) async throws -> [String] {
        try await ChildProcess.run("redis-cli", ["-p", "\(self.port)"] + arguments)
    }

    /// The ids of the clients whose last command was `command`, as `CLIENT LIST` shows it.
    func clients(lastCommand: String) async throws -> [String] {
        try await self.cli("CLIENT", "LIST").filter { $0.contains("cmd=\(lastCommand) ") }.compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("id=") }.map { String($0.dropFirst(3)) }
        }
    }
}
