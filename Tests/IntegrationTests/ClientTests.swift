internal import TestSupport
internal import Testing

/// Stock clients of both protocol generations, unmodified, on one port.
struct ClientTests {
    /// A stall of the machine shorter than the timeout closes nobody.
    private static let impatient = "  timing: { ping_interval: 1s, ping_timeout: 8s }"

    @Test
    func `10: the Python clients of both generations share a channel and stay past three ping timeouts`() async throws {
        let instance = try await Instance("one", server: Self.impatient)
        let clients = try ["v1", "v2"].map { generation in
            try ChildProcess(
                Clients.python(generation),
                [Clients.path("stock_client.py"), instance.url, "news", "from \(generation)"])
        }
        for client in clients {
            for wanted in ["open", "subscribed", "published"] {
                let line = try await client.output.first(wanted) { $0.contains("\"event\": \"\(wanted)\"") }.event
                let event = try JSON(parsing: line)
                #expect(["", .null].contains(event["error"]), "\(event)")
            }
        }

        // A witness counts the pings: one each second, so 25 of them are past three timeouts.
        let witness = try Checker()
        try await witness.open("witness", instance.url)
        try await witness.subscribe("witness", ["news"])
        var mark = witness.mark
        for _ in 1...25 {
            _ = try await witness.event("ping", of: "witness", from: mark)
            mark = witness.mark
        }

        for (index, client) in clients.enumerated() {
            client.send("{\"still\":\(index)}\n")
            #expect(
                try await witness.message("witness", "news", where: { $0["still"].int == index })["still"].int == index)
            for receiver in clients {
                _ = try await receiver.output.first("the other's message") { $0.contains("\"still\": \(index)") }
            }
            #expect(client.isRunning)
            #expect(!client.output.events.contains { $0.contains("\"event\": \"closed\"") })
        }
        for client in clients { try await client.stop() }
        try await instance.stop()
    }

    @Test func `36: the Python clients of both generations return to a server that was killed, and to their channels`()
        async throws
    {
        let instance = try await Instance("one")
        let clients = try ["v1", "v2"].map { generation in
            try ChildProcess(
                Clients.python(generation),
                [Clients.path("stock_client.py"), "--return", instance.url, "news", "from \(generation)"])
        }
        for client in clients {
            _ = try await client.output.first(within: .seconds(60), "published") { $0.contains(#""published""#) }
        }
        let marks = clients.map(\.output.count)
        instance.process.signal(9)
        _ = try await instance.process.exit()
        let again = try await Instance("one", port: instance.port)

        // The library subscribes before it tells that it is open, and what one connection sends is handled in order.
        for (index, client) in clients.enumerated() {
            _ = try await client.output.first(from: marks[index], within: .seconds(60), "open") {
                $0.contains(#""open""#)
            }
            client.send("{\"own\":\(index)}\n")
            _ = try await client.output.first(from: marks[index], within: .seconds(60), "its own message") {
                $0.contains(#""own": \#(index)"#)
            }
        }
        clients[0].send("{\"both\":true}\n")
        for (index, client) in clients.enumerated() {
            _ = try await client.output.first(from: marks[index], within: .seconds(60), "the message to both") {
                $0.contains(#""both": true"#)
            }
        }
        for client in clients { try await client.stop() }
        try await again.stop()
    }

    @Test(arguments: [1, 2])
    func `a client that answers no ping is closed with 4001`(_ version: Int) async throws {
        let instance = try await Instance("one", server: Self.impatient)
        let checker = try Checker()
        try await checker.open("mute", instance.url, protocol: version, ["pong": false])
        #expect(try await checker.event("closed", of: "mute")["code"] == 4001)
        try await instance.stop()
    }
}
