import LinkspanAMQP
import LinkspanBridgeKit
import NIOCore
import TestSupport
import Testing

@testable import LinkspanBridgeTesting

/// One call of `run(on:)`, with the host's side played by the conformance suite.
typealias Talk = LinkspanBridgeTesting.Conversation

extension Talk {
    static let patience = Duration.seconds(60)

    /// Starts a conversation and waits until it is connected.
    static func connected(_ settings: BridgeSettings) async throws -> Talk {
        let talk = Talk.start(try AMQPBridge(settings: settings), upstream: settings.urls[0])
        try await talk.wait(for: "a connection", atMost: Self.patience) { !$0.facts.isEmpty }
        return talk
    }

    /// The error with which a conversation ended.
    static func error(of settings: BridgeSettings) async throws -> UpstreamError {
        try await Talk.start(try AMQPBridge(settings: settings), upstream: settings.urls[0]).error()
    }

    func error(atMost limit: Duration = Talk.patience) async throws -> UpstreamError {
        guard case .failure(let error)? = await self.end(atMost: limit) else {
            throw TimedOut(what: "an upstream error", limit: limit)
        }
        return try #require(error as? UpstreamError)
    }

    func subscribe(_ filters: UpstreamFilter...) async throws {
        self.add(interest: filters.map(InterestChange.subscribe))
        try await self.wait(for: "subscriptions", atMost: Self.patience) { state in
            filters.allSatisfy { state.settled[$0] != nil }
        }
    }

    func receive(count: Int, atMost limit: Duration = Talk.patience) async throws -> [String] {
        try await self.wait(for: "\(count) messages", atMost: limit) { $0.received.count >= count }
        return self.read { $0.received.map(\.text) }
    }

    /// Texts in the order of their first arrival, as soon as there are as many different ones.
    func receive(distinct count: Int, atMost limit: Duration = Talk.patience) async throws -> [String] {
        try await self.wait(for: "\(count) different messages", atMost: limit) { state in
            Set(state.received.lazy.map(\.text)).count >= count
        }
        var seen: Set<String> = []
        return self.read { $0.received.map(\.text) }.filter { seen.insert($0).inserted }
    }

    /// Sends one message for each ticket and waits until all are settled.
    func send(_ tickets: ClosedRange<UInt64>, to name: String, atMost limit: Duration = Talk.patience) async throws {
        self.add(egress: tickets.map { message($0, name) })
        try await self.settle(tickets, atMost: limit)
    }

    func settle(_ tickets: ClosedRange<UInt64>, atMost limit: Duration = Talk.patience) async throws {
        try await self.wait(for: "\(tickets) to be settled", atMost: limit) { state in
            tickets.allSatisfy { state.confirmed.contains($0) || state.refused[$0] != nil }
        }
    }

    /// Ends it as the host does.
    func finish() async throws {
        self.cancel()
        guard case .success? = await self.end(atMost: Self.patience) else {
            throw TimedOut(what: "the end of a cancelled conversation", limit: Self.patience)
        }
        #expect(self.read { $0.misuse } == [])
    }
}
