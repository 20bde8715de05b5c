internal import Foundation
internal import TestSupport

/// The clients of `Clients/checker.py`, an implementation of the protocol that shares nothing with ours.
final class Checker: Sendable {
    private let process: ChildProcess

    /// What a collector found out about floods.
    struct Report: Equatable, CustomStringConvertible {
        var received: Int
        var missing: Int
        var doubled: Int
        var disordered: Int
        /// Channels whose end mark did not come.
        var unfinished: Int
        /// Why the connection had ended; null if it stood.
        var closure: JSON = .null
        var examples: JSON = .null

        static func complete(_ count: Int) -> Report {
            Report(received: count, missing: 0, doubled: 0, disordered: 0, unfinished: 0, examples: [])
        }

        var description: String {
            "received \(self.received), missing \(self.missing), doubled \(self.doubled), disordered \(self.disordered), "
                + "unfinished \(self.unfinished), such as \(self.examples), closure \(self.closure)"
        }
    }

    init() throws {
        self.process = try ChildProcess("python3", [Clients.path("checker.py")])
    }

    /// Connects and shakes hands.
    func open(_ client: String, _ url: String, protocol version: Int = 2, _ options: [String: JSON] = [:]) async throws
    {
        let from = self.mark
        try self.command(
            "open", client, ["url": .string(url), "protocol": .number(Double(version))].merging(options) { $1 })
        let raw = options["handshake"] == false
        _ = try await self.event(raw ? "connected" : "open", of: client, from: from)
    }

    func subscribe(_ client: String, _ channels: [String]) async throws {
        let from = self.mark
        try self.command("subscribe", client, ["channels": .array(channels.map { .string($0) })])
        let event = try await self.event("subscribed", of: client, from: from)
        guard event["errors"] == [] else { throw Unexpected(event) }
    }

    func unsubscribe(_ client: String, _ channels: [String]) async throws {
        let from = self.mark
        try self.command("unsubscribe", client, ["channels": .array(channels.map { .string($0) })])
        _ = try await self.event("unsubscribed", of: client, from: from)
    }

    /// Publishes and returns when the server has answered.
    func publish(_ client: String, _ channel: String, _ data: JSON) async throws {
        let from = self.mark
        try self.command("publish", client, ["channel": .string(channel), "data": data])
        let event = try await self.event("published", of: client, from: from)
        guard event["errors"] == [] else { throw Unexpected(event) }
    }

    /// Publishes `each` numbered messages and an end mark to every channel; returns when all are answered.
    func flood(_ client: String, label: String, channels: [String], each: Int) async throws {
        let from = self.mark
        try self.command(
            "flood", client,
            [
                "label": .string(label), "channels": .array(channels.map { .string($0) }),
                "each": .number(Double(each)),
            ])
        let event = try await self.event("flooded", of: client, from: from, within: .seconds(120))
        guard event["errors"] == [] else { throw Unexpected(event) }
    }

    /// Waits for the end marks of floods, and tells what came before them.
    /// - Parameter whole: whether to wait for everything else as well, which may come later than the mark by another way.
    func collect(
        _ client: String, labels: [String], channels: [String], each: Int, whole: Bool = false,
        within limit: Duration = .seconds(120)
    ) async throws -> Report {
        let from = self.mark
        try self.command(
            "collect", client,
            [
                "labels": .array(labels.map { .string($0) }), "channels": .array(channels.map { .string($0) }),
                "each": .number(Double(each)), "whole": .boolean(whole),
                "within": .number(Double(limit.components.seconds)),
            ])
        let event = try await self.event("collected", of: client, from: from, within: limit + .seconds(10))
        return Report(
            received: event["received"].int ?? -1, missing: event["missing"].int ?? -1,
            doubled: event["doubled"].int ?? -1, disordered: event["disordered"].int ?? -1,
            unfinished: event["unfinished"].int ?? -1, closure: event["closure"], examples: event["examples"])
    }

    /// The data of the next message in a channel.
    func message(
        _ client: String, _ channel: String, from index: Int = 0, within limit: Duration = .seconds(60),
        where accepts: @escaping @Sendable (JSON) -> Bool = { _ in true }
    ) async throws -> JSON {
        try await self.event("message", of: client, from: index, within: limit) {
            $0["channel"].string == channel && accepts($0["data"])
        }["data"]
    }

    /// The data of all messages a client has shown so far.
    func messages(_ client: String, _ channel: String) -> [JSON] {
        self.events.filter {
            $0["client"].string == client && $0["event"] == "message" && $0["channel"].string == channel
        }
        .map { $0["data"] }
    }

    /// Where to look for what comes next.
    var mark: Int { self.process.output.count }

    func event(
        _ name: String, of client: String, from index: Int = 0, within limit: Duration = .seconds(60),
        where accepts: @escaping @Sendable (JSON) -> Bool = { _ in true }
    ) async throws -> JSON {
        try await self.indexed(name, of: client, from: index, within: limit, where: accepts).event
    }

    /// The same, with its place, from behind which to go on looking.
    func indexed(
        _ name: String, of client: String, from index: Int = 0, within limit: Duration = .seconds(60),
        where accepts: @escaping @Sendable (JSON) -> Bool = { _ in true }
    ) async throws -> (index: Int, event: JSON) {
        let found = try await self.process.output.first(from: index, within: limit, "\(name) of \(client)") { line in
            guard let event = try? JSON(parsing: line), event["client"].string == client else { return false }
            return event["event"] == "failed" || (event["event"].string == name && accepts(event))
        }
        let event = try JSON(parsing: found.event)
        guard event["event"].string == name else { throw Unexpected(event) }
        return (found.index, event)
    }

    /// Messages that a client received more than once; every message of these tests is unlike all others.
    func repeated(_ client: String, _ channel: String) -> [JSON] {
        var seen: Set<JSON> = []
        return self.messages(client, channel).filter { !seen.insert($0).inserted }
    }

    /// Everything that happened, to any client.
    var events: [JSON] { self.process.output.events.compactMap { try? JSON(parsing: $0) } }

    func command(_ name: String, _ client: String, _ arguments: [String: JSON] = [:]) throws {
        let command = arguments.merging(["do": .string(name), "client": .string(client)]) { $1 }
        self.process.send(JSON.object(command).text + "\n")
    }
}

/// Where the clients are that the tests run.
enum Clients {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Clients")

    static func path(_ name: String) -> String { self.folder.appending(path: name).path }

    /// The interpreter of the virtual environment that `make test` made, `v1` or `v2`.
    static func python(_ generation: String) -> String {
        self.folder.appending(path: "../../../.venv/\(generation)/bin/python").standardized.path
    }
}

/// An answer that was not the one asked for.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ event: JSON) { self.description = "unexpected: \(event)" }
}
