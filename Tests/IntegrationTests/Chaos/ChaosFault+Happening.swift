internal import Glibc
internal import NIOCore
internal import TestSupport

extension ChaosFault {
    /// Returns when what was hurt is there again.
    func happen(to run: ChaosRun) async throws {
        let server = run.upstream.server
        switch self {
        case .brokerKilled:
            try await server.kill()
            try await run.send(further: run.count)
            try await server.restart()
        case .brokerFrozen:
            server.pause()
            try await run.send(further: run.count)
            server.resume()
        case .instanceKilled:
            try await run.kill(run.two)
            try await run.send(further: run.count, by: [run.one])
            try await run.restart(run.two)
        case .bothKilled:
            for side in [run.one, run.two] { try await run.kill(side) }
            for side in [run.one, run.two] { try await run.restart(side) }
        case .clockBack:
            try await run.stop(run.two)
            try await run.send(further: run.count, by: [run.one])
            try await run.restart(run.two, hoursBack: 1)
        case .instanceFrozen:
            run.two.instance.process.signal(SIGSTOP)
            try await run.send(further: run.count)
            run.two.instance.process.signal(SIGCONT)
        case .partition:
            try await Self.partition(run.proxy.port) { try await run.send(further: run.count) }
        case .halfOpen:
            run.proxy.stall()
            try await run.send(further: run.count)
            run.proxy.cut()
        case .slowLink:
            run.proxy.delay(.milliseconds(400))
            try await run.send(further: run.count)
            run.proxy.delay(nil)
        case .connectionsClosed:
            for kind in ["pubsub", "normal"] { try await server.redis("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") }
            try await run.send(further: run.count)
        case .login:
            try await run.scenario.revokeLogin(at: run.upstream)
            try await run.send(further: run.count)
            try await run.scenario.giveLogin(at: run.upstream)
        case .memory:
            try await Self.memoryLimit(server, isReached: true)
            try await run.send(further: run.count)
            try await Self.memoryLimit(server, isReached: false)
        case .disk:
            try await self.fillDisk(of: run)
        case .queueLimit:
            try await self.limitQueues(of: run)
        case .queueDeleted, .exchangeDeleted, .streamTrimmed, .sessionTaken:
            try await self.loseMessages(of: run)
        case .failover:
            try await server.kill()
            try await run.send(further: run.count)
        }
    }

    /// The packets of all connections to a port on loopback are lost, both ways.
    private static func partition(_ port: Int, _ body: () async throws -> Void) async throws {
        let rules = ["--dport", "--sport"].map { ["INPUT", "-i", "lo", "-p", "tcp", $0, "\(port)", "-j", "DROP"] }
        for rule in rules { try await ChildProcess.run("iptables", ["-w", "-I"] + rule) }
        let result: Result<Void, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        for rule in rules { try await ChildProcess.run("iptables", ["-w", "-D"] + rule) }
        try result.get()
    }

    private static func memoryLimit(_ server: LocalServer, isReached: Bool) async throws {
        switch server.kind {
        // One byte of memory, and nothing may be evicted.
        case .redis: try await server.redis("CONFIG", "SET", "maxmemory", isReached ? "1" : "0")
        // With no memory left it cannot read its configuration any more.
        case .mosquitto:
            try server.configure("memory_limit \(isReached ? 1 : 0)")
            if isReached { server.signal(SIGHUP) } else { try await server.restart() }
        case .rabbitMQ:
            try await server.control("set_vm_memory_high_watermark", "absolute", isReached ? "1MB" : "2GB")
        }
    }

    /// The broker keeps hardly anything for who is away, and one instance is.
    private func limitQueues(of run: ChaosRun) async throws {
        let server = run.upstream.server
        run.two.instance.process.signal(SIGSTOP)
        // mosquitto was started so.
        if let upstream = run.upstream as? AMQPUpstream {
            try await server.control(
                "set_policy", "-p", upstream.virtualHost, "short", "linkspan", #"{"max-length":200}"#, "--apply-to",
                "queues")
        }
        try await run.send(further: run.count)
        run.two.instance.process.signal(SIGCONT)
        if let upstream = run.upstream as? AMQPUpstream {
            try await server.control("clear_policy", "-p", upstream.virtualHost, "short")
        }
    }

    private func fillDisk(of run: ChaosRun) async throws {
        let server = run.upstream.server
        guard server.kind != .rabbitMQ else {
            try await server.control("set_disk_free_limit", "100000GB")
            try await run.send(further: run.count)
            try await server.control("set_disk_free_limit", "50MB")
            return
        }
        let filler = "\(run.dataFolder ?? server.folder.path)/filler"
        _ = try? await ChildProcess.run("dd", ["if=/dev/zero", "of=\(filler)", "bs=4096"])
        // Whether it ends itself, as Redis with `appendfsync always`, or goes on without writing, is for it to decide.
        try await run.send(further: run.count)
        try await ChildProcess.run("rm", [filler])
        try await server.restart()
    }

    /// What the broker held is gone.
    private func loseMessages(of run: ChaosRun) async throws {
        let server = run.upstream.server
        switch (self, run.upstream) {
        case (.queueDeleted, let upstream as AMQPUpstream):
            let names = try await server.control(
                "list_queues", "-p", upstream.virtualHost, "name", "--no-table-headers")
            for name in names where !name.isEmpty {
                try await server.control("delete_queue", "-p", upstream.virtualHost, name)
            }
            try await run.send(further: run.count)
        case (.exchangeDeleted, let upstream as AMQPUpstream):
            try await server.evaluate(
                """
                rabbit_exchange:delete(rabbit_misc:r(<<"\(upstream.virtualHost)">>, exchange, <<"linkspan">>), \
                false, <<"test">>).
                """)
            try await run.send(further: run.count)
        case (.sessionTaken, _):
            let taker = try ChildProcess(
                "mosquitto_sub", ["-p", "\(server.port)", "-i", "linkspan-two-up", "-t", "other"] + run.scenario.login)
            try await run.send(further: run.count)
            try await taker.stop()
            try await run.send(further: run.count)
        default:
            run.two.instance.process.signal(SIGSTOP)
            try await run.send(further: run.count)
            try await server.redis("XTRIM", "sc/stream", "MAXLEN", "0")
            run.two.instance.process.signal(SIGCONT)
        }
    }
}
