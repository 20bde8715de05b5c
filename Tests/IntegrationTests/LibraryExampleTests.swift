internal import TestSupport
internal import Testing

/// The example of the library, used by stock clients of both protocol generations.
struct LibraryExampleTests {
    @Test(arguments: ["v1", "v2"])
    func `the example serves log-in, calls and private channels to the Python client`(_ generation: String) async throws
    {
        let port = TestPorts.next()
        let program = try ChildProcess(
            Instance.program(named: "PrivateChannels"),
            environment: ["PORT": "\(port)", "HOST": "127.0.0.1", "AUTH_KEY": "not-a-secret"])
        _ = try await eventually("the example on port \(port)") {
            guard program.isRunning else {
                throw TimedOut(
                    what: "the example", limit: nil, seen: program.errors.events.joined(separator: "\n"))
            }
            return TestPorts.accepts(port) ? true : nil
        }

        let ann = try self.client(generation, port, "ann", "blue", "bob")
        #expect(try await self.told("open", by: ann)["authenticated"] == .boolean(false))
        for event in ["stranger", "pry", "direct", "after"] {
            let error = try await self.told(event, by: ann)["error"]
            #expect(error["name"] == .string("PrivateChannelError"), "\(event): \(error)")
        }
        #expect(try await self.told("pry", by: ann)["error"]["message"] == .string("private/bob is private"))
        #expect(try await self.told("unsent", by: ann)["error"] == .string("log in first"))
        #expect(try await self.told("guess", by: ann)["error"]["name"] == .string("LoginError"))
        #expect(try await self.told("login", by: ann)["data"]["channel"] == .string("private/ann"))
        for event in ["mine", "sent", "logout"] {
            let error = try await self.told(event, by: ann)["error"]
            #expect(["", .null].contains(error), "\(event): \(error)")
        }
        let letter = try JSON(parsing: #"{"from":"ann","text":"note to self"}"#)
        #expect(try await self.message(in: "private/ann", to: ann) == letter)
        #expect(try await self.message(in: "seen", to: ann) == JSON(parsing: #"{"by":"ann","text":"note to self"}"#))
        #expect(try await self.told("kicked", by: ann)["data"]["message"] == .string("logged out"))
        try await ann.stop()

        // The token that it was given opens the next connection.
        let token = try #require(try await self.told("token", by: ann)["token"].string)
        let again = try self.client(generation, port, "ann", "blue", "bob", token)
        #expect(try await self.told("open", by: again)["authenticated"] == .boolean(true))
        #expect(try await self.message(in: "private/ann", to: again) == letter)
        try await again.stop()
        try await program.stop()
    }

    private func client(_ generation: String, _ port: Int, _ arguments: String...) throws -> ChildProcess {
        try ChildProcess(
            Clients.python(generation),
            [Clients.path("stock_letters.py"), "ws://127.0.0.1:\(port)/socketcluster/"] + arguments)
    }

    private func told(_ event: String, by client: ChildProcess) async throws -> JSON {
        try JSON(parsing: try await client.output.first(event) { $0.contains("\"event\": \"\(event)\"") }.event)
    }

    private func message(in channel: String, to client: ChildProcess) async throws -> JSON {
        let line = try await client.output.first("message in \(channel)") {
            $0.contains("\"channel\": \"\(channel)\", \"data\"")
        }
        return try JSON(parsing: line.event)["data"]
    }
}
