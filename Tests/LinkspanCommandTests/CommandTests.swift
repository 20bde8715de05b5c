internal import Foundation
internal import TestSupport
internal import Testing

/// The built program, as a shell sees it: output, errors, exit status.
struct CommandTests {
    @Test func `version is one line`() async throws {
        let run = try await Program.run("version")
        #expect(run.exit == .status(0))
        #expect(run.output.count == 1)
    }

    @Test func `check takes the example of the repository`() async throws {
        let example = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "../../bridges.yaml")
        let run = try await Program.run("check", "--strict", example.path)
        #expect(run.exit == .status(0), "\(run.errors)")
        #expect(run.output.last?.hasSuffix("right; 1 broker, 1 bridge") == true)
    }

    @Test func `what the example has commented out is right as well`() async throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "../../bridges.yaml")
        var isExample = false
        let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n").map { line in
            if line == "  # hub:" || line == "  # audit:" { isExample = true }
            if !line.hasPrefix("  # ") { isExample = false }
            return isExample ? "  " + line.dropFirst("  # ".count) : line
        }
        let run = try await Program.run("check", "--strict", try Self.write(lines.joined(separator: "\n")))
        #expect(run.exit == .status(0), "\(run.errors)")
        #expect(run.output.last?.hasSuffix("right; 3 brokers, 3 bridges") == true)
    }

    @Test func `check tells everything that is wrong and exits with 78`() async throws {
        let file = try Self.write("version: 1\nserver: { clients: { port: x } }\nbridgs: {}")
        let run = try await Program.run("check", "--config", file)
        #expect(run.exit == .status(78))
        #expect(run.output == [])
        #expect(
            run.errors == [
                "\(file):2:28: server.clients.port: expected a whole number from 0 to 65535, found \"x\"",
                "\(file):3:1: unknown key \"bridgs\" in the file",
                "    did you mean \"bridges\"?  allowed: bridges, brokers, hooks, instance, permissions, server, version",
            ])
    }

    @Test func `check says the same as JSON`() async throws {
        let file = try Self.write("version: 1\nbridgs: {}")
        let run = try await Program.run("check", "--json", file)
        #expect(run.exit == .status(78))
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(run.output.joined().utf8)) as? [String: Any])
        #expect(report["ok"] as? Bool == false)
        let problem = try #require((report["problems"] as? [[String: Any]])?.first)
        #expect(problem["line"] as? Int == 2)
        #expect(problem["column"] as? Int == 1)
        #expect(problem["message"] as? String == "unknown key \"bridgs\" in the file")
    }

    @Test func `strict takes a warning for an error`() async throws {
        let file = try Self.write(
            "version: 1\nbrokers: { h: { type: mqtt, urls: \"mqtt://h\", username: u, password: geheim } }")
        let lenient = try await Program.run("check", file)
        #expect(lenient.exit == .status(0))
        #expect(lenient.errors.first?.contains("warning: broker \"h\": password is written in the file") == true)
        #expect(try await Program.run("check", "--strict", file).exit == .status(78))
        #expect(!lenient.errors.joined().contains("geheim"))
    }

    @Test func `a file that is not there is told`() async throws {
        for command in ["check", "serve"] {
            let run = try await Program.run(command, "--config", "/nowhere/bridges.yaml")
            #expect(run.exit == .status(78))
            #expect(
                run.errors == [
                    "/nowhere/bridges.yaml: cannot be read: No such file or directory",
                    "    give another file with --config FILE",
                ])
        }
    }

    @Test func `a misspelled variable keeps the server from starting`() async throws {
        let file = try Self.write("version: 1")
        let run = try await Program.run("serve", "--config", file, environment: ["LINKSPAN_SERVER_CLIENT_PORT": "1"])
        #expect(run.exit == .status(78))
        #expect(
            run.errors == [
                "LINKSPAN_SERVER_CLIENT_PORT: unknown environment variable",
                "    did you mean LINKSPAN_SERVER_CLIENTS_PORT?",
            ])
    }

    @Test func `the file may be named by a variable`() async throws {
        let file = try Self.write("version: 2")
        let run = try await Program.run("check", environment: ["LINKSPAN_CONFIG": file])
        #expect(run.exit == .status(78))
        #expect(run.errors.first?.hasPrefix(file) == true)
    }

    @Test func `a port in use is told with what to do`() async throws {
        try await Program.serving { port, file in
            let run = try await Program.run("serve", "--config", file, "--port", "\(port)", "--instance", "other")
            #expect(run.exit == .status(71))
            #expect(
                run.errors.suffix(2) == [
                    "cannot listen on 127.0.0.1:\(port): address already in use",
                    "    choose another port with --port, or stop what listens there: ss -ltnp 'sport = :\(port)'",
                ])
        }
    }

    @Test func `serve starts without its broker, tells what to try, and ends in order on SIGTERM`() async throws {
        let port = TestPorts.next()
        let file = try Self.write(
            """
            version: 1
            server: { clients: { host: 127.0.0.1 } }
            brokers: { plant: { type: mqtt, urls: "mqtt://127.0.0.1:\(TestPorts.next())" } }
            bridges: { plant: { broker: plant } }
            """)
        let serve = try Program.start("serve", "--config", file, "--port", "\(port)", "--hints", "--log-format", "json")
        _ = try await serve.errors.first("hint") { $0.contains("mosquitto_pub") && $0.contains("-t 'sc/news'") }
        let lines = serve.errors.events.filter { $0.hasPrefix("{") }
        for line in lines { _ = try JSONSerialization.jsonObject(with: Data(line.utf8)) }
        #expect(!lines.isEmpty)
        #expect(try await serve.stop() == .status(0))
    }

    @Test func `publish and subscribe meet in a channel`() async throws {
        try await Program.serving { port, _ in
            let url = "ws://127.0.0.1:\(port)/socketcluster/"
            let subscribe = try Program.start("subscribe", "--url", url, "--count", "4", "news")
            _ = try await subscribe.errors.first("subscription") { $0 == "subscribed to news" }
            #expect(try await Program.run("publish", "--url", url, "news", "{\"a\": 1}").exit == .status(0))
            #expect(try await Program.run("publish", "--url", url, "--text", "news", "a \"b\"").exit == .status(0))
            let lines = try await Program.run("publish", "--url", url, "news", "-", input: "1\n\nnope\n[2]")
            #expect(lines.exit == .status(65))
            #expect(lines.errors == ["line 3: the data is not JSON: unexpected character at byte 1"])
            #expect(try await subscribe.exit() == .status(0))
            #expect(
                try await subscribe.output.all(within: .seconds(60)) == ["{\"a\": 1}", "\"a \\\"b\\\"\"", "1", "[2]"])
        }
    }

    @Test func `several channels are told apart`() async throws {
        try await Program.serving { port, _ in
            let url = "ws://127.0.0.1:\(port)/socketcluster/"
            let labelled = try Program.start("subscribe", "--url", url, "--count", "2", "a", "b\tc")
            let objects = try Program.start("subscribe", "--url", url, "--count", "2", "--json", "a", "b\tc")
            for process in [labelled, objects] {
                try await process.errors.wait(count: 3, "line of the connection and of each subscription")
            }
            #expect(try await Program.run("publish", "--url", url, "a", "1").exit == .status(0))
            #expect(try await Program.run("publish", "--url", url, "b\tc", "[1,\n2]").exit == .status(0))
            #expect(try await labelled.exit() == .status(0))
            #expect(try await objects.exit() == .status(0))
            #expect(try await labelled.output.all(within: .seconds(60)) == ["a\t1", "\"b\\tc\"\t[1, 2]"])
            #expect(
                try await objects.output.all(within: .seconds(60))
                    == ["{\"channel\":\"a\",\"data\":1}", "{\"channel\":\"b\\tc\",\"data\":[1, 2]}"])
        }
    }

    @Test func `subscribe comes back after a restart of the server`() async throws {
        let port = TestPorts.next()
        let url = "ws://127.0.0.1:\(port)/socketcluster/"
        let subscribe = try Program.start("subscribe", "--url", url, "--count", "1", "news")
        _ = try await subscribe.errors.first("failed attempt") {
            $0.contains("connection refused; is the server running?")
        }
        try await Program.serving(port: port) { _, _ in
            _ = try await subscribe.errors.first("subscription") { $0 == "subscribed to news" }
        }
        let seen = subscribe.errors.count
        try await Program.serving(port: port) { _, _ in
            _ = try await subscribe.errors.first(from: seen, "second subscription") { $0 == "subscribed to news" }
            #expect(try await Program.run("publish", "--url", url, "news", "1").exit == .status(0))
            #expect(try await subscribe.exit() == .status(0))
        }
    }

    @Test func `publish without a server says so at once and exits with 69`() async throws {
        let run = try await Program.run("publish", "--url", "ws://127.0.0.1:\(TestPorts.next())/", "news", "1")
        #expect(run.exit == .status(69))
        #expect(run.errors.count == 1)
        #expect(run.errors.first?.hasSuffix("connection refused; is the server running?") == true)
    }

    @Test func `data that is not JSON is refused before anything is connected`() async throws {
        let run = try await Program.run("publish", "--url", "ws://127.0.0.1:1/", "news", "hello")
        #expect(run.exit == .status(65))
        #expect(
            run.errors == [
                "the data is not JSON: unexpected character at byte 0",
                "    quote it for the shell, as in '{\"hello\":\"world\"}', or send it as a string with --text",
            ])
    }

    @Test func `what the server refuses exits with 77`() async throws {
        try await Program.serving(server: "client_publish: false") { port, _ in
            let url = "ws://127.0.0.1:\(port)/socketcluster/"
            let publish = try await Program.run("publish", "--url", url, "news", "1")
            #expect(publish.exit == .status(77))
            #expect(publish.errors == ["not published: InvalidActionError: Client publish feature is disabled"])
            #expect(try await Program.run("subscribe", "--url", url, "$linkspan/probe").exit == .status(77))
        }
    }

    @Test(arguments: [
        ["publish", "news"], ["subscribe"], ["subscribe", "--count", "0", "a"],
        ["subscribe", "--url", "http://h", "a"], ["nonsense"],
        ["publish", "--timeout", "5", "a", "1"], ["serve", "--log-level", "loud"],
    ])
    func `wrong usage exits with 64`(_ arguments: [String]) async throws {
        let run = try await Program.run(arguments)
        #expect(run.exit == .status(64))
        #expect(run.output == [])
    }

    private static func write(_ text: String) throws -> String {
        try TestFolder("command").write(text, to: "bridges.yaml")
    }
}
