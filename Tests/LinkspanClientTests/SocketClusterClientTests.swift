internal import LinkspanBridgeKit
internal import LinkspanClient
internal import LinkspanCore
internal import LinkspanServer
internal import Logging
internal import TestSupport
internal import Testing

/// The client against a real server of ours.
struct SocketClusterClientTests {
    @Test func `a client receives what it publishes, and each publish is acknowledged`() async throws {
        let port = TestPorts.next()
        try await withServer(port: port) { _ in
            try await withClient(port: port, channels: ["news", "other"]) { client, log in
                try await log.subscribed(["news", "other"])
                try await client.publish("news", json: #"{"a": [1, 2.50]}"#)
                try await client.publish("nobody", json: "1")
                try await client.publish("other", json: nil)
                let messages = try await log.messages(2)
                #expect(
                    messages == [
                        ChannelMessage(channel: "news", data: Array(#"{"a": [1, 2.50]}"#.utf8)),
                        ChannelMessage(channel: "other", data: nil),
                    ])
            }
        }
    }

    @Test func `thousands of publishes keep their order`() async throws {
        let port = TestPorts.next()
        try await withServer(port: port) { _ in
            try await withClient(port: port, channels: ["news"]) { client, log in
                try await log.subscribed(["news"])
                let answers = EventLog<Bool>()
                for number in 0..<5000 {
                    client.enqueue("news", json: "\(number)") { result in answers.append((try? result.get()) != nil) }
                }
                try await answers.wait(count: 5000, "answer")
                #expect(answers.events.allSatisfy { $0 })
                #expect(try await log.messages(5000).map(\.text) == (0..<5000).map(String.init))
            }
        }
    }

    @Test func `after a restart of the server every channel is subscribed again`() async throws {
        let port = TestPorts.next()
        try await withClient(port: port, channels: ["a", "b"]) { client, log in
            try await withServer(port: port) { _ in
                try await log.subscribed(["a", "b"])
                client.subscribe("c")
                try await log.subscribed(["c"])
                client.unsubscribe("b")
            }
            _ = try await log.first("loss") { if case .disconnected = $0 { true } else { false } }
            let seen = log.count
            try await withServer(port: port) { server in
                try await log.subscribed(["a", "c"], from: seen)
                try await client.publish("b", json: "0")
                try await client.publish("c", json: "1")
                #expect(try await log.messages(1).map(\.text) == ["1"])
                #expect(server.counters.subscriptions == 2)
            }
        }
    }

    @Test func `publishes wait for a connection and then leave in their order`() async throws {
        let port = TestPorts.next()
        try await withClient(port: port, channels: ["news"]) { client, log in
            let answers = EventLog<Bool>()
            for number in 0..<10 {
                client.enqueue("news", json: "\(number)") { result in answers.append((try? result.get()) != nil) }
            }
            _ = try await log.first("failed attempt") { if case .disconnected = $0 { true } else { false } }
            #expect(answers.count == 0)
            try await withServer(port: port) { _ in
                #expect(try await log.messages(10).map(\.text) == (0..<10).map(String.init))
                try await answers.wait(count: 10, "answer")
            }
        }
    }

    @Test func `a publish that finds no server in time fails`() async throws {
        var settings = ClientSettings(url: ClientURL(usesTLS: false, host: "127.0.0.1", port: TestPorts.next()))
        settings.ackTimeout = .milliseconds(300)
        try await withClient(settings, channels: []) { client, _ in
            await #expect(throws: ClientError(.timedOut, "no connection in time")) {
                try await client.publish("news", json: "1")
            }
        }
    }

    @Test func `only so many publishes may wait`() async throws {
        var settings = ClientSettings(url: ClientURL(usesTLS: false, host: "127.0.0.1", port: TestPorts.next()))
        settings.waitingPublishes = 2
        try await withClient(settings, channels: []) { client, _ in
            client.enqueue("news", json: "1") { _ in }
            client.enqueue("news", json: "2") { _ in }
            await #expect(throws: ClientError(.tooMany, "2 publishes wait already")) {
                try await client.publish("news", json: "3")
            }
        }
    }

    @Test func `data that is not JSON does not leave`() async throws {
        let client = SocketClusterClient(
            settings: ClientSettings(url: ClientURL(usesTLS: false, host: "127.0.0.1", port: 1)), logger: quiet)
        await #expect(throws: ClientError(.refused, "the data is not JSON: unexpectedByte at byte 1")) {
            try await client.publish("news", json: "nope")
        }
    }

    @Test func `what the server refuses is told with its words`() async throws {
        let port = TestPorts.next()
        try await withServer(port: port, { $0.allowsClientPublish = false }) { _ in
            try await withClient(port: port, channels: ["$linkspan/probe"]) { client, log in
                _ = try await log.first("refusal") {
                    if case .subscribeRefused("$linkspan/probe", _) = $0 { true } else { false }
                }
                await #expect(throws: ClientError(.refused, "InvalidActionError: Client publish feature is disabled")) {
                    try await client.publish("news", json: "1")
                }
            }
        }
    }

    @Test func `stopping the client fails what waits`() async throws {
        let answers = EventLog<ClientError?>()
        try await withClient(port: TestPorts.next(), channels: []) { client, _ in
            client.enqueue("news", json: "1") { result in
                if case .failure(let error) = result { answers.append(error) } else { answers.append(nil) }
            }
        }
        #expect(try await answers.first("answer").event?.code == .stopped)
    }

    @Test func `the wrong path is told with what the server says`() async throws {
        let port = TestPorts.next()
        try await withServer(port: port) { _ in
            let settings = ClientSettings(
                url: ClientURL(usesTLS: false, host: "127.0.0.1", port: port, target: "/wrong"))
            try await withClient(settings, channels: []) { _, log in
                let event = try await log.first("refusal") { if case .disconnected = $0 { true } else { false } }.event
                guard case .disconnected(let error, _) = event else { return }
                #expect(error.code == .notAccepted)
                #expect(error.message.contains("HTTP status 400 Bad Request"))
            }
        }
    }

    @Test func `pings of both protocols keep the connection open past three timeouts`() async throws {
        // Side by side, since what is awaited is time itself.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for choice in ProtocolChoice.allCases { group.addTask { try await self.staysOpen(choice) } }
            try await group.waitForAll()
        }
    }

    private func staysOpen(_ choice: ProtocolChoice) async throws {
        let port = TestPorts.next()
        try await withServer(
            port: port,
            {
                $0.protocolChoice = choice
                $0.timing.pingInterval = .seconds(1)
                $0.timing.pingTimeout = .seconds(8)
            }
        ) { server in
            try await withClient(port: port, channels: ["news"]) { client, log in
                try await log.subscribed(["news"])
                try await Task.sleep(for: .seconds(25))
                try await client.publish("news", json: "1")
                #expect(!log.events.contains { if case .disconnected = $0 { true } else { false } })
                #expect(server.counters.connectionsAccepted == 1)
            }
        }
    }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs a server as long as `body`.
func withServer(
    port: Int, _ change: (inout ServerSettings) -> Void = { _ in },
    _ body: @escaping @Sendable (LinkspanServer) async throws -> Void
) async throws {
    var settings = ServerSettings()
    settings.host = "127.0.0.1"
    settings.port = port
    settings.eventLoops = 2
    change(&settings)
    let server = LinkspanServer(settings: settings, instance: try #require(InstanceID("test")), logger: quiet)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        _ = try await server.address
        try await body(server)
        group.cancelAll()
        try await group.waitForAll()
    }
}

func withClient(
    port: Int, channels: [String],
    _ body: @escaping @Sendable (SocketClusterClient, EventLog<ClientEvent>) async throws -> Void
) async throws {
    var settings = ClientSettings(url: ClientURL(usesTLS: false, host: "127.0.0.1", port: port))
    settings.retryInitial = .milliseconds(10)
    settings.retryMaximum = .milliseconds(50)
    settings.ackTimeout = .seconds(60)
    try await withClient(settings, channels: channels, body)
}

/// Runs a client as long as `body`.
func withClient(
    _ settings: ClientSettings, channels: [String],
    _ body: @escaping @Sendable (SocketClusterClient, EventLog<ClientEvent>) async throws -> Void
) async throws {
    let client = SocketClusterClient(settings: settings, logger: quiet)
    let log = EventLog<ClientEvent>()
    for channel in channels { client.subscribe(channel) }
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await client.run { log.append($0) } }
        try await body(client, log)
        group.cancelAll()
        try await group.waitForAll()
    }
}

extension EventLog where Event == ClientEvent {
    func subscribed(_ channels: [String], from index: Int = 0) async throws {
        for channel in channels {
            _ = try await self.first(from: index, "subscription to \(channel)") {
                if case .subscribed(channel) = $0 { true } else { false }
            }
        }
    }

    /// The first `count` messages.
    func messages(_ count: Int) async throws -> [ChannelMessage] {
        var messages: [ChannelMessage] = []
        var index = 0
        while messages.count < count {
            let found = try await self.first(from: index, "message \(messages.count + 1)") {
                if case .message = $0 { true } else { false }
            }
            if case .message(let message) = found.event { messages.append(message) }
            index = found.index + 1
        }
        return messages
    }
}

extension ChannelMessage {
    var text: String { String(decoding: self.data ?? [], as: UTF8.self) }
}
