internal import Glibc
internal import TestSupport
internal import Testing

struct LocalServerTests {
    @Test(arguments: [ServerKind.mosquitto, .redis])
    func `a server is killed, comes back on its port, freezes, thaws and stops`(_ kind: ServerKind) async throws {
        guard kind.canBeTested else { return }
        let server = try await LocalServer.start(kind)
        #expect(TestPorts.accepts(server.port))
        let first = server.identifier

        try await server.kill()
        #expect(!TestPorts.accepts(server.port))
        try await server.restart()
        #expect(TestPorts.accepts(server.port))
        #expect(server.identifier != first)

        server.pause()
        server.resume()
        try await server.stop()
        #expect(!TestPorts.accepts(server.port))
    }

    @Test(.enabled(if: ServerKind.redis.canBeTested))
    func `a password keeps strangers out of Redis`() async throws {
        var options = ServerOptions()
        options.users = ["bridge": "s3cret"]
        let server = try await LocalServer.start(.redis, options)
        let port = ["-p", "\(server.port)"]
        #expect(try await ChildProcess.run("redis-cli", port + ["ping"]).joined().contains("NOAUTH"))
        let known = port + ["--user", "bridge", "-a", "s3cret", "--no-auth-warning", "ping"]
        #expect(try await ChildProcess.run("redis-cli", known) == ["PONG"])
    }

    @Test(.enabled(if: ServerKind.mosquitto.canBeTested))
    func `mosquitto asks for its password and shows its certificate`() async throws {
        let certificates = try await TestCertificates.make()
        var options = ServerOptions()
        options.users = ["bridge": "s3cret"]
        options.accessList = "user bridge\ntopic readwrite sc/#\n"
        options.tls = (certificates.server, authority: certificates.authority)
        let server = try await LocalServer.start(.mosquitto, options)
        let message = ["-t", "sc/news", "-m", "1"]
        await #expect(throws: ChildProcess.LaunchFailure.self) {
            try await ChildProcess.run("mosquitto_pub", ["-p", "\(server.port)"] + message)
        }
        try await ChildProcess.run(
            "mosquitto_pub",
            [
                "-h", "localhost", "-p", "\(server.tlsPort)", "--cafile", certificates.authority, "-u", "bridge", "-P",
                "s3cret",
            ]
                + message)
    }

    @Test(.enabled(if: ServerKind.rabbitMQ.canBeTested))
    func `RabbitMQ gives each test a virtual host of its own`() async throws {
        try await SharedRabbitMQ.withVirtualHost { server, one in
            let other = try await server.makeVirtualHost()
            #expect(one != other)
            try await ChildProcess.run(
                "amqp-declare-queue", ["-u", server.url(virtualHost: one), "-q", "here"])
            #expect(try await server.control("list_queues", "-p", one, "name", "--no-table-headers") == ["here"])
            #expect(try await server.control("list_queues", "-p", other, "name", "--no-table-headers") == [])
        }
    }

    @Test(.enabled(if: ServerKind.rabbitMQ.canBeTested))
    func `a RabbitMQ that a test killed runs again for the next one`() async throws {
        try await SharedRabbitMQ.withFaults { server, _ in try await server.kill() }
        try await SharedRabbitMQ.withFaults { server, _ in
            #expect(TestPorts.accepts(server.port))
        }
    }
}

struct ChildProcessTests {
    @Test func `lines arrive while the program runs, and its end is told`() async throws {
        let child = try ChildProcess("sh", ["-c", "echo ready; read answer; echo \"got $answer\" >&2; exit 3"])
        #expect(try await child.output.first("ready").event == "ready")
        #expect(child.isRunning)
        child.send("yes\n")
        #expect(try await child.errors.first("answer").event == "got yes")
        #expect(try await child.exit() == .status(3))
    }

    @Test func `a signal ends it`() async throws {
        let child = try ChildProcess("sleep", ["600"])
        child.signal(SIGKILL)
        #expect(try await child.exit() == .signal(SIGKILL))
    }

    @Test func `waiting for a line that never comes fails at once when the program has ended`() async throws {
        let child = try ChildProcess("true")
        await #expect(throws: TimedOut.self) { try await child.output.first(within: .seconds(60), "a line") }
    }

    @Test func `a deadline ends a wait`() async throws {
        let log = EventLog<Int>()
        await #expect(throws: TimedOut.self) { try await log.first(within: .milliseconds(20), "an event") }
    }
}

struct ManualClockTests {
    @Test func `a sleeper wakes when the clock has been moved far enough`() async throws {
        let clock = ManualClock()
        let woken = EventLog<Int>()
        async let one: Void = {
            try await clock.sleep(for: .seconds(5))
            woken.append(1)
        }()
        try await clock.sleeps(1)
        clock.advance(by: .seconds(4))
        #expect(woken.events.isEmpty)
        clock.advance(by: .seconds(1))
        try await one
        #expect(woken.events == [1])
    }
}
